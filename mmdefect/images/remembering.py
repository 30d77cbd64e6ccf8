"""Transforms of MMDetection that boxes do not notice, made to tell them."""

from __future__ import annotations

import copy
from typing import Any, Callable

import numpy as np

from mmdefect.images.transforms import (
    changed_inside,
    effect_of,
    is_random_crop,
    is_stock,
)
from mmdefect.pools.walk import walk_transforms


def remembering(step: Any) -> Any:
    """A transform after which boxes know what it took from them.

    ``RandomCrop(recompute_bbox=True)`` and ``CopyPaste`` make boxes anew from masks and
    ``RandomErasing`` from numbers, which remember nothing; ``CutOut`` leaves the boxes
    as they are and paints over what they hold.
    """
    if _forgets(step):
        return _Remembering(step)
    held = walk_transforms(step, '') if hasattr(step, 'transforms') else ()
    if any(_forgets(part) for _, part in held):
        return changed_inside(step, lambda steps: map(remembering, steps))
    return step


def _forgets(step: Any) -> bool:
    if is_random_crop(step):
        return step.recompute_bbox
    return is_stock(step) and effect_of(step).paints


class _Remembering:
    # While the transform runs, the boxes that are there are numbered -1, -2, ... in
    # place of their labels: what it does with labels, it does with boxes.

    def __init__(self, step: Callable) -> None:
        self._step = step

    def __call__(self, results: dict) -> Any:
        if not is_traced(results):
            return self._step(results)
        boxes, labels = results['gt_bboxes'], results['gt_bboxes_labels']
        paints = effect_of(self._step).paints
        before = results['img'].copy() if paints else None
        numbers = -1 - np.arange(len(labels))
        results = self._step({**results, 'gt_bboxes_labels': numbers})
        if results is None:
            return None
        numbers = results['gt_bboxes_labels']
        old = numbers < 0
        origin = -1 - numbers[old]
        numbers[old] = labels[origin]

        new, shape = results['gt_bboxes'], results['img_shape'][:2]
        traced = hasattr(new, 'visible_share')
        shares = new.visible_share(shape) if traced else np.ones(len(new))
        # The transform has moved and cut the boxes that it was given.
        shares[old] = boxes.visible_share(shape)[origin]
        if paints:
            shares[old] *= 1 - _painted(before, results['img'], boxes)[origin]
        results['gt_bboxes'] = type(boxes).showing(new, shape, shares)
        return results


def _painted(before: Any, after: np.ndarray, boxes: Any) -> np.ndarray:
    # Share of the pixels of each box that have changed.
    changed = before != after
    return boxes.covered(changed.any(axis=2) if changed.ndim == 3 else changed)


def with_memory(results: Any) -> Any:
    """What was just loaded, with boxes that remember what is left of them."""
    if not isinstance(results, dict):
        return results
    boxes: Any = results.get('gt_bboxes')
    traced = _traced_type(boxes) if 'img_shape' in results else None
    if traced:
        # A dataset may hand out the dict that it keeps.
        results = copy.copy(results)
        results['gt_bboxes'] = traced.showing(boxes, results['img_shape'][:2])
    return results


def _traced_type(boxes: Any) -> Any:
    # What such boxes are that remember. MMRotate may not be installed.
    if type(boxes).__name__ == 'HorizontalBoxes':
        from mmdefect.images.boxes import TracedBoxes

        return TracedBoxes
    if type(boxes).__name__ in ('RotatedBoxes', 'QuadriBoxes'):
        from mmdefect.images.turned_boxes import TRACED

        return TRACED.get(type(boxes))
    return None


def is_traced(results: dict) -> bool:
    """Whether the boxes of an image remember."""
    boxes: Any = results.get('gt_bboxes')
    return hasattr(boxes, 'visible_share') and 'gt_bboxes_labels' in results


def without_memory(results: Any) -> Any:
    """What is delivered, with plain boxes."""
    if not isinstance(results, dict):
        return results
    if hasattr(results.get('gt_bboxes'), 'plain'):
        results['gt_bboxes'] = results['gt_bboxes'].plain()
    sample = results.get('data_samples')
    for name in ('gt_instances', 'ignored_instances'):
        instances: Any = getattr(sample, name, {})
        if hasattr(instances.get('bboxes'), 'plain'):
            instances.bboxes = instances.bboxes.plain()
    return results
