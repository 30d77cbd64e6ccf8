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

from mmdefect.datasets import DefectPreservingDataset
from mmdefect.hooks import QuotaMonitorHook, QuotaScheduleHook
from mmdefect.metrics import DefectImageMetric
from mmdefect.resume import QuotaResumeHook
from mmdefect.samplers import DefectPoolSampler, QuotaBatchSampler
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
