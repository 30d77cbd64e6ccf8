"""A window for MMDetection's RandomCrop, drawn until it keeps what is wanted."""

from __future__ import annotations

from typing import Any

from mmdefect.forms.windows import fixed
from mmdefect.images.errors import RejectedError
from mmdefect.images.instances import ignored_in, labelled, shown_of

# Windows that are drawn before the crop counts as one that cuts the defect away.
WINDOWS = 50


def aimed(step: Any, results: dict, wanted: Any, ratio: float, at_least: int) -> Any:
    """A crop whose window keeps ``at_least`` labels, ``ratio`` of a box of each.

    Windows are drawn as the crop draws them, and the first that keeps them is taken:
    what comes of it is what trying the crop until it keeps them brings, without
    cropping the image for each.
    """
    height, width = results['img'].shape[:2]
    boxes, labels = results['gt_bboxes'], results['gt_bboxes_labels']
    chosen = labelled(results, wanted) & ~ignored_in(results)
    for _ in range(WINDOWS):
        size = step._get_crop_size((height, width))
        offset = step._rand_offset((max(height - size[0], 0), max(width - size[1], 0)))
        shape = min(size[0], height - offset[0]), min(size[1], width - offset[1])
        shown = shown_of(labels, boxes, shape, ratio, chosen, offset[::-1])
        if len(shown) >= at_least:
            return fixed(step, size, offset)
    raise RejectedError(f'{type(step).__name__} cut its defect away')
