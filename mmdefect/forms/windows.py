"""DefectCrop: a window of a large photograph at full size, around a defect."""

from __future__ import annotations

import copy
import random
from typing import Any, Collection

import numpy as np
from mmengine.registry import TRANSFORMS

from mmdefect.arguments import number, whole_number
from mmdefect.images.instances import boxes_of, ignored_in, keep_instances, labelled


@TRANSFORMS.register_module()
class DefectCrop:
    """Cuts a window out of a photograph, around a defect where it shows one.

    Resizing a large photograph loses its small defects, and a window at a random place
    rarely holds one. This window does: it holds at least ``min_area_ratio`` of the box
    of one defect, which is at a random place in it. Of a photograph without a defect it
    may be any window. What shows less than ``min_area_ratio`` of its box is dropped. A
    photograph that is smaller than the window is padded.

    It stands right after loading. Inside ``DefectPreservingDataset`` the defect is one
    of those that the image was drawn for, without further tries. Elsewhere it may be of
    any class.

    Args:
        size (int | tuple[int, int]): Width and height of the window in pixels.
        min_area_ratio (float): Share of a box that has to show. Of a box that is larger
            than the window, as much as the window can show counts as all of it.
            Defaults to 0.5.
        pad_val (int): Grey value of the padding. Defaults to 114.

    Raises:
        TypeError: If an argument is of another type than said here.
        ValueError: If an argument is out of range.
    """

    def __init__(
        self, size: Any, min_area_ratio: float = 0.5, pad_val: int = 114
    ) -> None:
        from mmdet.datasets.transforms import Pad, RandomCrop

        self.size = self.img_scale = _check_size(size)
        self.pad_val = pad_val
        self.min_area_ratio = number(
            min_area_ratio, 'DefectCrop.min_area_ratio', least=0.01
        )
        self._crop = RandomCrop(self.size, allow_negative_crop=True)
        self._pad = Pad(size=self.size, pad_val=dict(img=pad_val, seg=255))

    def __call__(self, results: dict, wanted: Collection[int] | None = None) -> dict:
        """Cut the window; one of the ``wanted`` labels shows in it, None is any."""
        height, width = results['img'].shape[:2]
        size = np.minimum(self.size, (width, height))
        corner = np.array([random.randint(0, n) for n in (width, height) - size])
        if results.get('gt_bboxes') is not None:
            boxes = boxes_of(results).clip(0, [width, height] * 2)
            aims = boxes[labelled(results, wanted) & ~ignored_in(results)]
            aims = aims[(aims[:, 2:] > aims[:, :2]).all(1)]
            if len(aims):
                corner = self._corner(random.choice(aims), size, (width, height))
            self._drop(results, boxes, corner, size)
        left, top = corner.tolist()
        results = fixed(self._crop, size[::-1].tolist(), (top, left))(results)
        results['img'] = np.ascontiguousarray(results['img'])
        return self._pad(results) if (size < self.size).any() else results

    def _corner(self, box: np.ndarray, size: np.ndarray, photograph: Any) -> np.ndarray:
        # Left and top of a window, uniform among those that show enough of each side.
        begin, end = box[:2], box[2:]
        shown = np.minimum(np.sqrt(self.min_area_ratio) * (end - begin), size)
        last = np.subtract(photograph, size)
        least = np.ceil((begin + shown - size).clip(0, last)).astype(int)
        most = np.floor((end - shown).clip(0, last)).astype(int)
        return np.array([random.randint(min(a, b), b) for a, b in zip(least, most)])

    def _drop(
        self, results: dict, boxes: np.ndarray, corner: np.ndarray, size: np.ndarray
    ) -> None:
        sides = boxes[:, 2:] - boxes[:, :2]
        inside = boxes.clip([*corner] * 2, [*(corner + size)] * 2)
        shown = (inside[:, 2:] - inside[:, :2]).prod(1)
        most = np.minimum(sides, size).prod(1).clip(1e-9)
        if hasattr(results['gt_bboxes'], 'kept'):  # of what a window can show
            results['gt_bboxes'].kept *= sides.prod(1).clip(1e-9) / most
        enough = shown >= self.min_area_ratio * most
        keep_instances(results, enough)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


def fixed(crop: Any, size: Any, offset: Any) -> Any:
    """MMDetection's RandomCrop with a window: (height, width), (top, left)."""
    crop = copy.copy(crop)
    crop._get_crop_size = lambda image_size: size
    crop._rand_offset = lambda margin: offset
    return crop


def _check_size(size: Any) -> tuple[int, int]:
    sides = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
    if len(sides) != 2:
        raise TypeError(
            f'size={size!r}: expected one number of pixels, or (width, height); set '
            'DefectCrop.size'
        )
    width, height = (whole_number(side, 'DefectCrop.size', 1) for side in sides)
    return width, height
