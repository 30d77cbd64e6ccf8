"""Defects cut out of photographs, and put into others: what is done to pixels."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

import cv2
import numpy as np

# Pixels from a defect within which another one is hardly faded.
NEAR = 4

# Least pixels around a defect, so that there are surroundings to compare.
MARGIN = 3

# By how much the contrast of the surroundings may change that of a patch.
CONTRAST = 1.5


class Patch(NamedTuple):
    """A defect or some that touch, and some of what surrounds them."""

    image: np.ndarray  # of shape (height, width) or with channels besides
    boxes: Any  # their boxes (x1, y1, x2, y2) in it, float64 of shape (n, 4)
    masks: Any = None  # where each is, n times uint8 (height, width), if that is known
    # Whether its photograph ends with it, on the left, the top, the right, the bottom.
    at_border: tuple[bool, bool, bool, bool] = (False, False, False, False)
    classes: Any = None  # its part of a map of classes, of shape (height, width)

    @property
    def box(self) -> np.ndarray:
        """np.ndarray: The box around all."""
        return hull(self.boxes)


def hull(boxes: np.ndarray) -> np.ndarray:
    """The box around some boxes of shape (n, 4)."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def touching(boxes: np.ndarray) -> list[list[int]]:
    """Of each of some boxes (n, 4): itself, then all that touch it or one another."""
    first, end = boxes[:, None, :2] - NEAR, boxes[:, None, 2:] + NEAR
    near = ((first < boxes[None, :, 2:]) & (boxes[None, :, :2] < end)).all(2)
    group = np.arange(len(boxes))
    while len(boxes):
        before, group = group, np.where(near, group, len(boxes)).min(1)
        if (group == before).all():
            break
    alike = group[:, None] == group
    return [
        [n, *(m for m in np.flatnonzero(row).tolist() if m != n)]
        for n, row in enumerate(alike)
    ]


def cut(
    image: np.ndarray,
    box: Any,
    context: float,
    mask: np.ndarray | None = None,
    classes: np.ndarray | None = None,
) -> Patch:
    """Cut defects out of a photograph, as far as that shows them."""
    height, width = image.shape[:2]
    boxes = np.asarray(box, np.float64).reshape(-1, 4).clip(0, [width, height] * 2)
    x1, y1, x2, y2 = hull(boxes)
    masks = np.zeros((1, 1, 1)) if mask is None else mask.reshape(-1, height, width)
    right, low = max(context * (x2 - x1), MARGIN), max(context * (y2 - y1), MARGIN)
    left, top = int(np.floor(x1 - right)), int(np.floor(y1 - low))
    end = int(np.ceil(x2 + right)), int(np.ceil(y2 + low))
    corners = left, top, *end
    return Patch(
        _surrounded(image, corners, 'reflect'),
        boxes - [left, top] * 2,
        # A polygon may hold no pixel, as one of three points on a line.
        [_surrounded(one, corners) for one in masks]
        if masks.any((1, 2)).all()
        else None,
        (x1 < 1, y1 < 1, x2 > width - 1, y2 > height - 1),
        None if classes is None else _surrounded(classes, corners, 'edge'),
    )


def _surrounded(
    image: np.ndarray, corners: Sequence[int], beyond: str = 'constant'
) -> np.ndarray:
    left, top, right, bottom = corners
    height, width = image.shape[:2]
    inside = image[max(top, 0) : bottom, max(left, 0) : right]
    sides = [
        (max(-top, 0), max(bottom - height, 0)),
        (max(-left, 0), max(right - width, 0)),
    ]
    return np.pad(inside, sides + [(0, 0)] * (image.ndim - 2), beyond)  # type: ignore[call-overload]


def resized(patch: Patch, scale: float) -> Patch:
    """A patch of another size."""
    height, width = patch.image.shape[:2]
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    factor = np.array([size[0] / width, size[1] / height] * 2)
    masks, classes = patch.masks, patch.classes
    if masks is not None:
        # Of a line as thin as a pixel, no new pixel may hold half.
        shares = [
            cv2.resize(np.float32(mask), size, interpolation=how) for mask in masks
        ]
        masks = [(share >= share.max() / 2).astype(np.uint8) for share in shares]
    if classes is not None:
        classes = cv2.resize(classes, size, interpolation=cv2.INTER_NEAREST)
    image = _by_channel(
        lambda pixels: cv2.resize(pixels, size, interpolation=how), patch.image
    )
    boxes = patch.boxes * factor
    return patch._replace(image=image, boxes=boxes, masks=masks, classes=classes)


def _by_channel(change: Callable, image: np.ndarray) -> np.ndarray:
    # OpenCV takes four channels at most, and drops the last dimension of a single one.
    if image.ndim == 2 or image.shape[2] in (3, 4):
        return change(image)
    channels = np.moveaxis(image, 2, 0)
    return np.dstack([change(np.ascontiguousarray(pixels)) for pixels in channels])


def mirrored(patch: Patch, across: bool, along: bool, turned: bool) -> Patch:
    """A patch, flipped and turned by a right angle."""
    height, width = patch.image.shape[:2]
    x1, y1, x2, y2 = patch.boxes.T
    left, top, right, bottom = patch.at_border
    if across:
        x1, x2, left, right = width - x2, width - x1, right, left
    if along:
        y1, y2, top, bottom = height - y2, height - y1, bottom, top
    box, at_border = [x1, y1, x2, y2], (left, top, right, bottom)
    if turned:
        box, at_border = [y1, x1, y2, x2], (top, left, bottom, right)

    def moved(pixels: Any) -> Any:
        pixels = pixels[:: -1 if along else 1, :: -1 if across else 1]
        return pixels.swapaxes(0, 1) if turned else pixels

    masks = patch.masks and list(map(moved, patch.masks))
    classes = None if patch.classes is None else moved(patch.classes)
    return Patch(moved(patch.image), np.stack(box, 1), masks, at_border, classes)


def edge(patch: Patch, blur: float) -> np.ndarray:
    """How much of each pixel shows, float (H, W): all of the defect, no border."""
    height, width = patch.image.shape[:2]
    x1, y1, x2, y2 = patch.box
    # An edge that is wider than this would leave nothing of the defect.
    spread = [
        min(max(blur * side / 2, 0.5), whole / 8)
        for side, whole in ((x2 - x1, width), (y2 - y1, height))
    ]
    if patch.masks is not None:
        kernel = [2 * int(np.ceil(2 * sigma)) + 1 for sigma in spread]
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, kernel)
        inside: Any = cv2.dilate(np.max(patch.masks, 0), disc)
    else:
        inside = np.zeros((height, width), np.uint8)
        center = (x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2
        axes = width / 2 - 2 * spread[0], height / 2 - 2 * spread[1]
        # OpenCV takes sixteenths of a pixel.
        middle, radii = ([round(16 * n) for n in pair] for pair in (center, axes))
        cv2.ellipse(inside, middle, radii, 0, 0, 360, 1, -1, shift=4)
    return cv2.GaussianBlur(
        np.float32(inside),
        (0, 0),
        spread[0],
        sigmaY=spread[1],
        borderType=cv2.BORDER_CONSTANT,
    )


def looks_alike(patch: Patch, place: np.ndarray) -> np.ndarray:
    """A patch with the brightness and contrast of the place that it is put into."""
    around = np.ones(patch.image.shape[:2], bool)
    x1, y1, x2, y2 = patch.box
    around[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = False
    if not around.any():
        return patch.image
    (own, spread), (other, spread_there) = (
        (pixels[around].mean(0, np.float32), pixels[around].std(0, np.float32))
        for pixels in (patch.image, place)
    )
    gain = np.clip(spread_there / (spread + 1e-3), 1 / CONTRAST, CONTRAST)
    return patch.image * gain + (other - gain * own)


def soft(pixels: np.ndarray, place: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Blend a patch into a place by how much of it shows."""
    share = shown if place.ndim == 2 else shown[..., None]
    return _as_type(place + share * (pixels - place), place.dtype)


def _as_type(pixels: np.ndarray, dtype: Any) -> np.ndarray:
    if np.issubdtype(dtype, np.integer):
        pixels = np.clip(np.rint(pixels), np.iinfo(dtype).min, np.iinfo(dtype).max)
    return pixels.astype(dtype)
