"""A defect image, delivered without its defect: a part of it that shows none."""

from __future__ import annotations

import random
from typing import Iterator, NamedTuple, Sequence

import numpy as np

from mmdefect.forms.windows import fixed
from mmdefect.images.errors import RejectedError
from mmdefect.images.instances import (
    boxes_of,
    ignored_in,
    keep_instances,
    labelled,
    photograph,
)

# Least share of the photograph's area that a part without a defect has: a smaller one
# would be scaled up to more than twice its size.
LEAST = 0.25

# What is kept clear around a box, as a share of its sides and in pixels: boxes are
# drawn by hand.
CLEAR, PIXELS = 0.1, 2


class Window(NamedTuple):
    """A part of a photograph, in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """int: In pixels."""
        return max(self.right - self.left, 0) * max(self.bottom - self.top, 0)


def free_windows(shape: Sequence[int], boxes: np.ndarray) -> list[Window]:
    """The largest parts of a photograph that show nothing of any box."""
    height, width = shape
    least = LEAST * height * width
    windows = {Window(0, 0, width, height)}
    for box in boxes:
        clear = np.maximum(CLEAR * (box[2:] - box[:2]), PIXELS)
        x1, y1 = np.floor(box[:2] - clear).astype(int).tolist()
        x2, y2 = np.ceil(box[2:] + clear).astype(int).tolist()
        beside = {part for w in windows for part in _beside(w, Window(x1, y1, x2, y2))}
        windows = {part for part in beside if part.area >= least}
    return sorted(windows)


def _beside(window: Window, box: Window) -> Iterator[Window]:
    left, top, right, bottom = window
    if not (
        left < box.right and box.left < right and top < box.bottom and box.top < bottom
    ):
        yield window
        return
    yield Window(left, top, box.left, bottom)
    yield Window(box.right, top, right, bottom)
    yield Window(left, top, right, box.top)
    yield Window(left, box.bottom, right, bottom)


class Counterexample:
    """Crops an image to a part that shows no defect, one of the largest.

    Attributes:
        wanted (frozenset[int]): Nothing.
    """

    wanted: frozenset[int] = frozenset()

    def __init__(self, labels: Sequence[int]) -> None:
        self._labels = list(labels)

    def __call__(self, results: dict) -> dict:
        """Crop it."""
        from mmdet.datasets.transforms import RandomCrop

        hides = labelled(results, self._labels) | ignored_in(results)
        windows = free_windows(photograph(results), boxes_of(results)[hides])
        if not windows:
            raise RejectedError('no part without a defect is large enough')
        largest = max(window.area for window in windows)
        large = [window for window in windows if window.area >= largest / 2]
        keep_instances(results, ~hides)
        left, top, right, bottom = random.choice(large)
        # Its own size is not asked for.
        crop = RandomCrop((1, 1), allow_negative_crop=True)
        return fixed(crop, (bottom - top, right - left), (top, left))(results)
