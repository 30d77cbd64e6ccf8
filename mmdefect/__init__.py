"""A fixed number of defect images in every batch, for MMDetection.

Importing this package registers its classes with MMEngine; a config does so with
``custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)``.
"""

import os
import sys
from typing import TYPE_CHECKING, Any

from mmdefect.version import __version__


def _is_command() -> bool:
    # The command `mmdefect` answers --help before torch is loaded, which takes seconds:
    # it loads the classes below when it has something to do.
    program = (getattr(sys, 'argv', None) or [''])[0]  # embedded, there may be none
    started = getattr(sys, 'orig_argv', [])  # since Python 3.10
    if '-m' in started and program == '-m':
        return started[started.index('-m') + 1] == 'mmdefect'
    return os.path.splitext(os.path.basename(program))[0] == 'mmdefect'


if TYPE_CHECKING or not _is_command():
    try:
        import mmengine as _mmengine  # noqa: F401
    except ImportError:
        raise ImportError(
            "mmdefect needs MMEngine: pip install 'mmdefect[openmmlab]' or "
            "'mmdefect[onedl]'"
        ) from None

    from mmdefect.registered import (
        DefectCrop,
        DefectImageMetric,
        DefectPoolSampler,
        DefectPreservingDataset,
        HardNormalHook,
        PasteDefect,
        QuotaBatchSampler,
        QuotaMonitorHook,
        QuotaResumeHook,
        QuotaScheduleHook,
    )
else:

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from mmdefect import registered

        return getattr(registered, name)


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
    '__version__',
]
