"""A fixed number of defect images in every batch, for MMDetection.

Importing this package registers its classes with MMEngine; a config does so with
``custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)``.
"""

try:
    import mmengine as _mmengine  # noqa: F401
except ImportError:
    raise ImportError(
        "mmdefect needs MMEngine: pip install 'mmdefect[openmmlab]' or "
        "'mmdefect[onedl]'"
    ) from None

from mmdefect.delivery.preserving import DefectPreservingDataset
from mmdefect.hooks.monitor import QuotaMonitorHook
from mmdefect.hooks.resume import QuotaResumeHook
from mmdefect.hooks.schedule import QuotaScheduleHook
from mmdefect.metrics.defect_image_metric import DefectImageMetric
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler
from mmdefect.version import __version__

__all__ = [
    'DefectImageMetric',
    'DefectPoolSampler',
    'DefectPreservingDataset',
    'QuotaBatchSampler',
    'QuotaMonitorHook',
    'QuotaResumeHook',
    'QuotaScheduleHook',
    '__version__',
]
