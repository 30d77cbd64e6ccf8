"""Which annotated boxes are found."""

from __future__ import annotations

import numpy as np


def match(ious: np.ndarray, iou_thr: float) -> np.ndarray:
    """Let boxes choose, in their order, each the annotation it overlaps most.

    Args:
        ious (np.ndarray): Of n boxes, the surest first, with m annotations, (n, m).
        iou_thr (float): IoU from which a box finds what it chose.

    Returns:
        np.ndarray: Whether each annotation is found, (m,).
    """
    found = np.zeros(ious.shape[1], bool)
    for row in ious if len(found) else ():
        left = np.where(found, 0, row)
        best = left.argmax()
        found[best] |= left[best] >= iou_thr
    return found


def overlaps(boxes: np.ndarray, true_boxes: np.ndarray) -> np.ndarray:
    """IoU of each of n boxes with each of m others, (n, m).

    Args:
        boxes (np.ndarray): (n, 4), left, top, right, bottom.
        true_boxes (np.ndarray): (m, 4).

    Returns:
        np.ndarray: (n, m).
    """
    from pycocotools import mask

    if not len(boxes) or not len(true_boxes):
        return np.zeros((len(boxes), len(true_boxes)))
    both = [np.nan_to_num(part).astype(np.float64) for part in (boxes, true_boxes)]
    # From corners to corner and size.
    sized = [np.hstack([part[:, :2], part[:, 2:] - part[:, :2]]) for part in both]
    return mask.iou(*sized, [0] * len(true_boxes))
