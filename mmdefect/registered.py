"""All classes that a config can name. Importing this module registers them."""

from mmdefect.delivery.preserving import DefectPreservingDataset
from mmdefect.forms.paste import PasteDefect
from mmdefect.forms.windows import DefectCrop
from mmdefect.hooks.hard_normals import HardNormalHook
from mmdefect.hooks.monitor import QuotaMonitorHook
from mmdefect.hooks.resume import QuotaResumeHook
from mmdefect.hooks.schedule import QuotaScheduleHook
from mmdefect.metrics.defect_image_metric import DefectImageMetric
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler

__all__ = [
    'DefectCrop',
    'DefectImageMetric',
    'DefectPoolSampler',
    'DefectPreservingDataset',
    'HardNormalHook',
    'PasteDefect',
    'QuotaBatchSampler',
    'QuotaMonitorHook',
    'QuotaResumeHook',
    'QuotaScheduleHook',
]
