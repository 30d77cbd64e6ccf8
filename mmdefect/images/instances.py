"""The instances of an image that a pipeline has loaded: which, some, one more."""

from __future__ import annotations

from typing import Any, Collection, Sequence

import numpy as np
import torch

# What holds a row for each instance.
ROWS = ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks')


def photograph(results: dict) -> tuple[int, int]:
    """Height and width without padding, which is on the right and at the bottom."""
    height, width = results['img'].shape[:2]
    if 'pad_shape' in results and 'ori_shape' in results:
        across, along = results.get('scale_factor', (1.0, 1.0))
        rows, columns = results['ori_shape'][:2]
        height = min(height, round(rows * along))
        width = min(width, round(columns * across))
    return height, width


def boxes_of(results: dict) -> np.ndarray:
    """The boxes of an image, x1, y1, x2, y2 in pixels, float64 of shape (n, 4)."""
    boxes = results['gt_bboxes']
    boxes = boxes.convert_to('hbox').tensor if hasattr(boxes, 'tensor') else boxes
    return np.asarray(boxes, np.float64).reshape(len(boxes), 4)


def labelled(results: dict, labels: Collection[int] | None) -> np.ndarray:
    """Which instances have one of some labels, or any, bool of shape (n,)."""
    # An image has few: np.isin would take ten times as long.
    own = np.asarray(results['gt_bboxes_labels']).tolist()
    return np.array([labels is None or label in labels for label in own], bool)


def ignored_in(results: dict) -> np.ndarray:
    """Which instances are ignored, bool of shape (n,)."""
    none = np.zeros(len(results['gt_bboxes_labels']))
    return np.asarray(results.get('gt_ignore_flags', none), bool)


def shown_of(
    labels: Any,
    boxes: Any,
    shape: Sequence[int],
    ratio: float,
    counted: Any = True,
    corner: Sequence[int] = (0, 0),
) -> set[int]:
    """Labels of what is visible by a share of its box, where boxes know that."""
    traced = hasattr(boxes, 'visible_share')
    shares = boxes.visible_share(shape, corner) if traced else np.ones(len(labels))
    return set(np.asarray(labels)[counted & (shares > 0) & (shares >= ratio)].tolist())


def add_instance(results: dict, box: np.ndarray, label: int, mask: Any) -> None:
    """Add an instance; its mask is uint8 of the image's size, or None."""
    boxes = results['gt_bboxes']
    if mask is not None and mask.any():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    new = torch.as_tensor(box, dtype=torch.float32)[None]
    if isinstance(boxes, np.ndarray):
        results['gt_bboxes'] = np.concatenate([boxes, new.numpy()])
    else:
        new = type(boxes)(new)
        results['gt_bboxes'] = boxes.cat([boxes, new]) if len(boxes) else new
    for key, value in (('gt_bboxes_labels', label), ('gt_ignore_flags', False)):
        if key in results:
            results[key] = np.append(
                results[key], np.array([value], results[key].dtype)
            )
    if 'gt_masks' in results:
        results['gt_masks'] = _with_mask(results['gt_masks'], mask)


def keep_instances(results: dict, chosen: np.ndarray) -> None:
    """Leave out all instances but some, chosen by number or by bool."""
    results.update({key: results[key][chosen] for key in ROWS if key in results})


def _with_mask(masks: Any, mask: np.ndarray) -> Any:
    from mmdet.structures.mask import BitmapMasks

    one = BitmapMasks(mask[None], *mask.shape)
    if isinstance(masks, BitmapMasks):
        return masks.cat([masks, one])
    import cv2

    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    polygons = [_outline(contour) for contour in contours]
    return type(masks)([*masks.masks, polygons], *mask.shape)


def _outline(contour: np.ndarray) -> np.ndarray:
    # The outline of a line or a single pixel holds nothing: its rectangle does.
    import cv2

    if len(contour) > 2 and cv2.contourArea(contour):
        return contour.astype(np.float64).ravel()
    x, y, width, height = cv2.boundingRect(contour)
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return np.array(corners, np.float64)
