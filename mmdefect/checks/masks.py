"""Whether instances have the masks that a pipeline asks for."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

import numpy as np

from mmdefect.checks.finding import Finding
from mmdefect.images.transforms import loads_masks
from mmdefect.pools.source import source_of
from mmdefect.pools.wrappers import describe

# A fault's key -> what is said of the images, why it matters, and the cure.
FAULTS = {
    'none': (
        'without "segmentation"',
        'LoadAnnotations(with_mask=True) fails for them',
        '"segmentation" in each annotation, or with_mask=False',
    ),
    'odd': (
        'of which the polygon in "segmentation" has an odd number of coordinates',
        'MMDetection ignores such instances',
        'x and y of each point',
    ),
    'line': (
        'of which the polygon in "segmentation" has fewer than three points',
        'MMDetection ignores such instances',
        'x and y of three points or more',
    ),
}


def check_masks(dataset: Any, images: np.ndarray) -> Iterable[Finding]:
    """Check the masks of images where a pipeline loads them."""
    if not loads_masks(dataset):
        return
    found: dict[tuple[str, str], list[str]] = {}
    held = source_of(dataset)
    for chosen in images.tolist():
        leaf, index = held.leaf_of(chosen)
        info = leaf.get_data_info(index)
        source = getattr(leaf, 'ann_file', None) or describe(leaf)
        faults = {_fault(each) for each in info.get('instances') or ()}
        for fault in faults - {None}:
            found.setdefault((source, str(fault)), []).append(info['img_path'])
    for (source, fault), paths in found.items():
        what, why, fix = FAULTS[fault]
        yield Finding(
            source,
            f'defect images with boxes {what}: {len(paths):,} of {len(images):,}, '
            f'such as {paths[0]}',
            why,
            fix,
            refused=fault == 'none',
        )


def _fault(instance: Mapping[str, Any]) -> str | None:
    mask = instance.get('mask')
    if mask is None:
        return 'none'
    if not isinstance(mask, list):  # counts of pixels, for example
        return None
    for polygon in mask:
        if len(polygon) % 2:
            return 'odd'
        if len(polygon) < 6:
            return 'line'
    return None
