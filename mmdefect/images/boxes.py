"""Boxes that remember how much of them augmentation has left."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np
import torch
from mmdet.structures.bbox import HorizontalBoxes, register_box


class Traced:
    """Boxes with a number beside each: the share of it that is left.

    It stands before a type of boxes among the bases of a class. MMDetection's
    transforms move boxes by their methods only. What moves, scales or turns a box
    leaves the number as it is; ``clip_`` takes note of what is cut off.

    Attributes:
        kept (np.ndarray): What the share of each box inside the image is multiplied
            by to have the share that is left, float64 of shape (n,).
    """

    plain_type: Any
    remembered: tuple[str, ...] = ('kept',)
    tensor: torch.Tensor

    def __init__(self, data: Any, **options: Any) -> None:
        super().__init__(data, **options)  # type: ignore[call-arg]
        self.kept = np.ones(len(self.tensor))

    @classmethod
    def showing(cls, boxes: Any, shape: Sequence[int], shares: Any = 1.0) -> Any:
        """Boxes of which a known share shows in an image, wherever they reach."""
        traced = cls(boxes.tensor)
        inside = traced.inside(shape)
        traced.kept = shares / np.where(inside > 0, inside, 1)
        return traced

    def visible_share(
        self, shape: Sequence[int], corner: Sequence[int] = (0, 0)
    ) -> np.ndarray:
        """Share of each box that has not been cut off."""
        return self.kept * self.inside(shape, corner)

    def inside(
        self, shape: Sequence[int], corner: Sequence[int] = (0, 0)
    ) -> np.ndarray:
        """Share of each box inside an image, or a window with its corner at x, y."""
        raise NotImplementedError

    def covered(self, pixels: np.ndarray) -> np.ndarray:
        """Share of the pixels of each box that belong to a set."""
        raise NotImplementedError

    def plain(self) -> Any:
        """The boxes without their memory."""
        return self.plain_type(self.tensor, clone=False)

    def convert_to(self, dst_type: Any) -> Any:
        """Boxes of another type, which remember nothing."""
        return self.plain().convert_to(dst_type)

    def __getitem__(self, index: Any) -> Any:
        boxes = super().__getitem__(index)  # type: ignore[misc]
        index = index.numpy() if isinstance(index, torch.Tensor) else index
        return self._remind(boxes, lambda values: np.atleast_1d(values[index]))

    def __deepcopy__(self, memo: dict) -> Any:
        return self._remind(super().__deepcopy__(memo))  # type: ignore[misc]

    def clone(self) -> Any:
        """A copy that shares nothing that changes."""
        return self._remind(super().clone())  # type: ignore[misc]

    def _remind(self, boxes: Any, change: Callable = lambda values: values) -> Any:
        for name in self.remembered:
            setattr(boxes, name, change(getattr(self, name)))
        return boxes

    @classmethod
    def cat(cls, box_list: Sequence[Any], dim: int = 0) -> Any:
        """Join boxes; those that are not traced count as whole."""
        traced = [b if isinstance(b, cls) else cls(b.tensor) for b in box_list]
        joined = super().cat(traced, dim)  # type: ignore[misc]
        for name in cls.remembered:
            parts = [getattr(boxes, name) for boxes in traced]
            setattr(joined, name, np.concatenate(parts))
        return joined


# Known to MMDetection, because masks ask what type of boxes to make.
@register_box('traced_hbox')
class TracedBoxes(Traced, HorizontalBoxes):
    """Boxes (x1, y1, x2, y2) that remember.

    ``clip_`` multiplies what is kept of a box by the share that it leaves of it. A box
    that is cut, turned and cut again has the product of both: a turned box grows,
    because it spans what it held, and its area before the turn says nothing any more.
    """

    plain_type = HorizontalBoxes

    def inside(
        self, shape: Sequence[int], corner: Sequence[int] = (0, 0)
    ) -> np.ndarray:
        """See :meth:`Traced.inside`."""
        # An image has few boxes: vectorised, this would take three times as long.
        height, width = shape[:2]  # MMYOLO hands on those of an array with channels
        left, top = corner
        shares = [
            max(min(x2, left + width) - max(x1, left), 0)
            * max(min(y2, top + height) - max(y1, top), 0)
            / max((x2 - x1) * (y2 - y1), 1e-9)
            for x1, y1, x2, y2 in self.tensor.tolist()
        ]
        return np.array(shares, float)

    def covered(self, pixels: np.ndarray) -> np.ndarray:
        """See :meth:`Traced.covered`."""
        parts = [
            pixels[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))]
            for x1, y1, x2, y2 in self.tensor.clamp(min=0).tolist()
        ]
        return np.array([part.mean() if part.size else 0.0 for part in parts])

    def clip_(self, img_shape: Sequence[int]) -> None:
        """Cut off what reaches beyond the image, and remember how much is left."""
        self.kept = self.visible_share(img_shape)
        super().clip_(img_shape)
