"""What in a dataset, its wrappers and its pipelines breaks a quota, and the fix.

Datasets are checked as built objects, which tell what a config really came to.
"""

from __future__ import annotations

from typing import Any, Iterator

from mmdefect.checks.finding import Finding
from mmdefect.images.transforms import effect_of
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


def cutting_transforms(dataset: Any) -> list[tuple[str, str]]:
    """The transforms of a dataset that may take defects away."""
    pipelines = pipelines_of(dataset)
    return [
        (place, type(step).__name__)
        for where, steps in pipelines
        for place, step in _named(steps, where)
        if effect_of(step).cuts
    ]


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
    findings += inner_wrappers(dataset)
    preserved = is_a(dataset, WRAPPER)
    for where, pipeline in pipelines_of(dataset):
        findings += check_pipeline(pipeline, where, preserved)
    return findings


def inner_wrappers(dataset: Any, where: str = DATASET) -> Iterator[Finding]:
    """Find ``DefectPreservingDataset`` where it is not outermost."""
    for place, part in walk_datasets(dataset, where):
        if is_a(part, WRAPPER) and place != DATASET:
            yield Finding(
                place,
                f'{WRAPPER} inside another dataset',
                'it retries an image for the indices of the sampler, which are '
                'those of the outermost dataset: it stands there, and only there',
                f'{place.rsplit(".", 1)[-1]}=....dataset',
                refused=True,
            )


def check_pipeline(pipeline: Any, where: str, preserved: bool) -> list[Finding]:
    """Check one pipeline."""
    findings = []
    for place, transform in walk_transforms(pipeline, where):
        argument, value, images = effect_of(transform).refuses or ('', True, '')
        if getattr(transform, argument, None) != value:
            continue
        why = f'it returns None for {images}, and MMDetection takes any other'
        if preserved:
            why = 'normal images are then read three times, and are not cropped'
        if not preserved or 'normal' in images:
            what = f'{type(transform).__name__}({argument}={value})'
            fix = f'{argument}={not value}'
            findings.append(Finding(f'{place}.{argument}', what, why, fix))
    effects = [(type(s).__name__, effect_of(s)) for _, s in _named(pipeline, where)]
    mixed = any(effect.cuts for _, effect in effects)
    cut = [name for name, effect in effects if effect.cuts or (mixed and effect.mixes)]
    spared = [name for name, effect in effects if effect.spares]
    for names, breaks, why in (
        (cut, True, 'drawn defect images may reach the model without a defect'),
        (spared, False, 'an image drawn for one class may keep only a box of another'),
    ):
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


def _named(pipeline: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The transforms that a config names, and not what AutoAugment makes for itself."""
    holder = None
    for place, step in walk_transforms(pipeline, where):
        if holder is None or not place.startswith(holder):
            yield place, step
            holder = f'{place}.' if effect_of(step).holds else None
