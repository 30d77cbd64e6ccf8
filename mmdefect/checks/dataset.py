"""What in a dataset, its wrappers and its pipelines breaks a quota, and the fix.

Datasets are checked as built objects, which tell what a config really came to.
"""

from __future__ import annotations

from typing import Any

from mmdefect.checks.finding import Finding
from mmdefect.pools.walk import (
    DATASET,
    WRAPPER,
    is_a,
    is_sliced,
    pipelines_of,
    walk_datasets,
    walk_transforms,
)

WRAP = f"dataset=dict(_delete_=True, type='{WRAPPER}', dataset=...)"

# Transforms that can take the last defect of an image away, shrink it to nothing or
# paint over it.
CUTTING = (
    *('Mosaic', 'RandomAffine', 'RandomCrop', 'GeomTransform', 'CopyPaste'),
    *('RandomErasing', 'CutOut'),
    *('Mosaic9', 'YOLOv5RandomAffine', 'PPYOLOERandomCrop'),  # of MMYOLO
)

# Transforms that keep one box of an image, whichever class it is of.
SPARING = ('MinIoURandomCrop', 'RandomCenterCropPad', 'RandomShift')

# Arguments by which a transform returns None, and for which images.
REFUSING = {
    'FilterAnnotations': ('keep_empty', True, 'a defect image whose last box it drops'),
    'RandomCrop': ('allow_negative_crop', False, 'every normal image'),
    'Albu': ('skip_img_without_anno', True, 'every normal image'),
    'LoadImageFromFile': ('ignore_empty', True, 'an image that cannot be read'),
}


def cutting_transforms(dataset: Any) -> list[tuple[str, str]]:
    """The transforms of a dataset that may take defects away."""
    pipelines = pipelines_of(dataset)
    return [cut for where, steps in pipelines for cut in _find(CUTTING, steps, where)]


def check_dataset(dataset: Any) -> list[Finding]:
    """Check a dataset, through all wrappers, and its pipelines."""
    if is_sliced(dataset):
        return [sliced(len(dataset)), *check_dataset(dataset._dataset)]
    findings = []
    for where, part in walk_datasets(dataset):
        if dict(vars(part).get('filter_cfg') or {}).get('filter_empty_gt'):
            findings.append(
                Finding(
                    f'{where}.filter_cfg',
                    'filter_empty_gt=True',
                    'MMDetection drops every image without a box while loading, and '
                    'so the normal images',
                    'filter_cfg=dict(filter_empty_gt=False)',
                )
            )
        if is_a(part, WRAPPER) and part is not dataset:
            findings.append(
                Finding(
                    where,
                    f'{WRAPPER} inside another dataset',
                    'it retries an image for the indices of the sampler, which are '
                    'those of the outermost dataset: it stands there, and only there',
                    f'{where.rsplit(".", 1)[-1]}=....dataset',
                )
            )
    preserved = is_a(dataset, WRAPPER)
    for where, pipeline in pipelines_of(dataset):
        findings += check_pipeline(pipeline, where, preserved)
    return findings


def check_outermost(dataset: Any) -> None:
    """Check that ``DefectPreservingDataset`` stands around everything else."""
    for where, part in walk_datasets(dataset):
        if is_a(part, WRAPPER) and where != DATASET:
            raise ValueError(
                f'{where} is a {WRAPPER} inside a '
                f'{type(dataset).__name__}: expected it outermost and once. Write '
                f"{DATASET}=dict(type='{WRAPPER}', dataset=dict(type="
                f'{type(dataset).__name__!r}, ...))'
            )


def check_pipeline(pipeline: Any, where: str, preserved: bool) -> list[Finding]:
    """Check one pipeline."""
    findings = []
    for place, transform in walk_transforms(pipeline, where):
        for name, (argument, value, images) in REFUSING.items():
            if not is_a(transform, name) or getattr(transform, argument, None) != value:
                continue
            why = f'it returns None for {images}, and MMDetection takes any other'
            if preserved:
                why = 'normal images are then read three times, and go uncropped'
            if not preserved or 'normal' in images:
                what = f'{type(transform).__name__}({argument}={value})'
                fix = f'{argument}={not value}'
                findings.append(Finding(f'{place}.{argument}', what, why, fix))
    for kinds, breaks, why in (
        (CUTTING, True, 'drawn defect images may reach the model without a defect'),
        (SPARING, False, 'an image drawn for one class may keep only a box of another'),
    ):
        names = [name for _, name in _find(kinds, pipeline, where)]
        if names and not preserved:
            what = f'no {WRAPPER} around {", ".join(dict.fromkeys(names))} of {where}'
            findings.append(Finding(DATASET, what, why, WRAP, breaks))
    return findings


def sliced(number: int, unit: str = 'images') -> Finding:
    """The finding that ``num_batch_per_epoch`` is."""
    return Finding(
        'train_dataloader.num_batch_per_epoch',
        f'it keeps the first {number:,} {unit} of the dataset and no other',
        'the pools never hold the rest; num_batches of QuotaBatchSampler shortens an '
        'epoch without that',
        'num_batch_per_epoch=None',
    )


def _find(kinds: tuple[str, ...], pipeline: Any, where: str) -> list[tuple[str, str]]:
    return [
        (place, type(transform).__name__)
        for place, transform in walk_transforms(pipeline, where)
        if any(is_a(transform, kind) for kind in kinds)
    ]
