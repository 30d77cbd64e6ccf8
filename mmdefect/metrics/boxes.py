"""Which annotated boxes are found."""

from __future__ import annotations

import math
from typing import Callable

import numpy as np
import torch


def match(ious: np.ndarray, iou_thr: float) -> np.ndarray:
    """Let boxes choose, in their order, each the annotation it overlaps most."""
    found = np.zeros(ious.shape[1], bool)
    for row in ious if len(found) else ():
        left = np.where(found, 0, row)
        best = left.argmax()
        found[best] |= left[best] >= iou_thr
    return found


def overlaps(boxes: np.ndarray, true_boxes: np.ndarray) -> np.ndarray:
    """IoU of each of n boxes with each of m others, (n, m)."""
    if not len(boxes) or not len(true_boxes):
        return np.zeros((len(boxes), len(true_boxes)))
    both = [np.nan_to_num(part).astype(np.float64) for part in (boxes, true_boxes)]
    if all(part.shape[1] == 4 for part in both):
        from pycocotools import mask

        # From corners to corner and size.
        sized = [np.hstack([part[:, :2], part[:, 2:] - part[:, :2]]) for part in both]
        return mask.iou(*sized, [0] * len(true_boxes))
    from mmcv.ops import box_iou_rotated

    turned = [torch.tensor(_TURNED[part.shape[1]](part)).float() for part in both]
    return box_iou_rotated(*turned).double().numpy()


def hulls(boxes: np.ndarray) -> np.ndarray:
    """Upright boxes around boxes."""
    if boxes.shape[1] == 5:
        center, size, angle = boxes[:, :2], boxes[:, 2:4], boxes[:, 4:]
        cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
        half = (size * cos + size[:, ::-1] * sin) / 2
        return np.hstack([center - half, center + half])
    if boxes.shape[1] == 8:
        corners = boxes.reshape(-1, 4, 2)
        return np.hstack([corners.min(1), corners.max(1)])
    return boxes


def _turned_boxes(boxes: np.ndarray) -> np.ndarray:
    first, last = boxes[:, :2], boxes[:, 2:]
    angle = np.zeros((len(boxes), 1))
    return np.hstack([(first + last) / 2, last - first, angle])


def _least_rectangles(boxes: np.ndarray) -> list:
    import cv2

    around = [cv2.minAreaRect(box.reshape(4, 2).astype(np.float32)) for box in boxes]
    return [(*center, *size, math.radians(angle)) for center, size, angle in around]


# To center, width, height and angle, by the numbers that a box is given as.
_TURNED: dict[int, Callable] = {
    4: _turned_boxes,
    5: np.asarray,
    8: _least_rectangles,
}
