"""Boxes that remember how much of them augmentation has left."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
import torch
from mmdet.structures.bbox import HorizontalBoxes, register_box


# Known to MMDetection, because masks ask what type of boxes to make.
@register_box('traced_hbox')
class TracedBoxes(HorizontalBoxes):
    """Boxes with a number beside each: the share of it that is left.

    MMDetection's transforms move boxes by their methods only. What moves, scales or
    turns a box leaves the number as it is; ``clip_`` multiplies it by the share that it
    leaves of the box. A box that is cut, turned and cut again has the product of both:
    a turned box grows, because it spans what it held, and its area before the turn says
    nothing any more.

    Args:
        data (Tensor | np.ndarray | Sequence): Boxes (x1, y1, x2, y2) in pixels, of
            shape (n, 4).
        **options: ``dtype``, ``device`` and ``clone`` of ``HorizontalBoxes``.

    Attributes:
        kept (np.ndarray): Share of each box that is left, float64 of shape (n,).
    """

    def __init__(self, data: Any, **options: Any) -> None:
        super().__init__(data, **options)
        self.kept = np.ones(len(self.tensor))

    @classmethod
    def showing(
        cls, boxes: HorizontalBoxes, shape: Sequence[int], shares: Any = 1.0
    ) -> TracedBoxes:
        """Boxes of which a known share shows in an image, wherever they reach.

        Args:
            boxes (HorizontalBoxes): The boxes.
            shape (Sequence[int]): Height and width of the image in pixels.
            shares (np.ndarray | float): Share of each box that shows. Defaults to 1.

        Returns:
            TracedBoxes: The same boxes, of which ``visible_share(shape)`` is that.
        """
        traced = cls(boxes.tensor)
        inside = traced.visible_share(shape)
        traced.kept = shares / np.where(inside > 0, inside, 1)
        return traced

    def visible_share(self, shape: Sequence[int]) -> np.ndarray:
        """Share of each box that has not been cut off.

        Args:
            shape (Sequence[int]): Height and width of the image in pixels, for boxes
                that reach beyond it.

        Returns:
            np.ndarray: Shares, float64 of shape (n,).
        """
        # An image has few boxes: vectorised, this would take three times as long.
        height, width = shape[:2]  # MMYOLO hands on those of an array with channels
        inside = [
            max(min(x2, width) - max(x1, 0), 0)
            * max(min(y2, height) - max(y1, 0), 0)
            / max((x2 - x1) * (y2 - y1), 1e-9)
            for x1, y1, x2, y2 in self.tensor.tolist()
        ]
        return self.kept * inside

    def clip_(self, img_shape: Sequence[int]) -> None:
        """Cut off what reaches beyond the image, and remember how much is left."""
        self.kept = self.visible_share(img_shape)
        super().clip_(img_shape)

    def plain(self) -> HorizontalBoxes:
        """The boxes without their memory.

        Returns:
            HorizontalBoxes: They share the data.
        """
        return HorizontalBoxes(self.tensor, clone=False)

    def convert_to(self, dst_type: Any) -> Any:
        """Boxes of another type, which remember nothing."""
        return self.plain().convert_to(dst_type)

    def __getitem__(self, index: Any) -> TracedBoxes:
        boxes = super().__getitem__(index)
        index = index.numpy() if isinstance(index, torch.Tensor) else index
        return self._remember(boxes, np.atleast_1d(self.kept[index]))

    def __deepcopy__(self, memo: dict) -> TracedBoxes:
        return self._remember(super().__deepcopy__(memo), self.kept)

    def clone(self) -> TracedBoxes:
        """A copy that shares nothing that changes."""
        return self._remember(super().clone(), self.kept)

    @classmethod
    def cat(cls, box_list: Sequence[HorizontalBoxes], dim: int = 0) -> TracedBoxes:
        """Join boxes; those that are not traced count as whole."""
        traced = [b if isinstance(b, cls) else cls(b.tensor) for b in box_list]
        kept = np.concatenate([boxes.kept for boxes in traced])
        return cls._remember(super().cat(traced, dim), kept)

    @staticmethod
    def _remember(boxes: TracedBoxes, kept: np.ndarray) -> TracedBoxes:
        boxes.kept = kept
        return boxes
