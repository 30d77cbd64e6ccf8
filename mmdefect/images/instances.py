"""The instances of an image that a pipeline has loaded: add some, crop them."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch


def photograph(results: dict) -> tuple[int, int]:
    """Height and width of what is no padding, which is on the right and at the bottom.

    Args:
        results (dict): An image, and what was done to it.
    """
    height, width = results['img'].shape[:2]
    if 'pad_shape' in results and 'ori_shape' in results:
        across, along = results.get('scale_factor', (1.0, 1.0))
        rows, columns = results['ori_shape'][:2]
        height = min(height, round(rows * along))
        width = min(width, round(columns * across))
    return height, width


def boxes_of(results: dict) -> np.ndarray:
    """The boxes of an image, float64 of shape (n, 4)."""
    boxes = results['gt_bboxes']
    boxes = getattr(boxes, 'tensor', boxes)
    return np.asarray(boxes, np.float64).reshape(len(boxes), 4)


def add_instance(results: dict, box: np.ndarray, label: int, mask: Any) -> None:
    """Add an instance to those of an image.

    Args:
        results (dict): The image and its instances.
        box (np.ndarray): Its box, x1, y1, x2, y2 in pixels.
        label (int): Its label.
        mask (np.ndarray, optional): Where it is, uint8 of the image's size.
    """
    boxes = results['gt_bboxes']
    if mask is not None and mask.any():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    new = torch.as_tensor(box, dtype=torch.float32)[None]
    if isinstance(boxes, np.ndarray):
        results['gt_bboxes'] = np.concatenate([boxes, new.numpy()])
    else:
        box_type = type(boxes)
        results['gt_bboxes'] = (
            boxes.cat([boxes, box_type(new)]) if len(boxes) else box_type(new)
        )
    for key, value in (('gt_bboxes_labels', label), ('gt_ignore_flags', False)):
        if key in results:
            results[key] = np.append(
                results[key], np.array([value], results[key].dtype)
            )
    if 'gt_masks' in results:
        results['gt_masks'] = _with_mask(results['gt_masks'], mask)


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


def crop(results: dict, window: Sequence[int], kept: np.ndarray) -> dict:
    """Crop an image."""
    from mmdet.structures.bbox import HorizontalBoxes

    left, top, right, bottom = window
    part = slice(top, bottom), slice(left, right)
    for key in ('img', 'gt_seg_map'):
        if results.get(key) is not None:
            results[key] = results[key][part].copy()
    shape = results['img_shape'] = results['img'].shape[:2]
    boxes = HorizontalBoxes(torch.as_tensor(boxes_of(results)[kept]).float())
    boxes.translate_([-left, -top])
    boxes.clip_(shape)
    inside = ((boxes.widths > 0) & (boxes.heights > 0)).numpy()
    array = isinstance(results['gt_bboxes'], np.ndarray)
    results['gt_bboxes'] = boxes[inside].numpy() if array else boxes[inside]
    for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
        if key in results:
            results[key] = results[key][kept[inside]]
    if 'gt_masks' in results:
        masks = results['gt_masks'][kept[inside]]
        results['gt_masks'] = masks.crop(np.array(window))
    return results
