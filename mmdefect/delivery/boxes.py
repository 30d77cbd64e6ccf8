"""Boxes that remember their size before augmentation cut anything off."""

from __future__ import annotations

from functools import wraps
from typing import Any, Callable, Sequence

import torch
from mmdet.structures.bbox import HorizontalBoxes, register_box


# Known to MMDetection, because masks ask what type of boxes to make.
@register_box('traced_hbox')
class TracedBoxes(HorizontalBoxes):
    """Boxes with a second set beside them, ``whole``, that is moved but never cut.

    MMDetection's transforms move boxes by their methods only. What scales, shifts or
    turns the boxes does the same to ``whole``; ``clip_`` does not. So the share that
    is left of each box is known after any sequence of transforms, at any scale, also
    after those that join the boxes of several images. Boxes made anew, from masks for
    example, count as whole.

    Args:
        data (Tensor | np.ndarray | Sequence): Boxes (x1, y1, x2, y2) in pixels, of
            shape (n, 4).
        **options: ``dtype``, ``device`` and ``clone`` of ``HorizontalBoxes``.
    """

    def __init__(self, data: Any, **options: Any) -> None:
        super().__init__(data, **options)
        self.whole = HorizontalBoxes(self.tensor)

    def visible_share(self, shape: Sequence[int]) -> list[float]:
        """Share of the area of each box that has not been cut off.

        Args:
            shape (Sequence[int]): Height and width of the image in pixels, for boxes
                that reach beyond it.

        Returns:
            list[float]: Shares.
        """
        # An image has few boxes: NumPy and torch would take three times as long.
        height, width = shape
        return [
            max(min(x2, width) - max(x1, 0), 0)
            * max(min(y2, height) - max(y1, 0), 0)
            / max((right - left) * (bottom - top), 1e-9)
            for (x1, y1, x2, y2), (left, top, right, bottom) in zip(
                self.tensor.tolist(), self.whole.tensor.tolist()
            )
        ]

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
        return self._remember(super().__getitem__(index), self.whole[index])

    def __deepcopy__(self, memo: dict) -> TracedBoxes:
        return self._remember(super().__deepcopy__(memo), self.whole.clone())

    def clone(self) -> TracedBoxes:
        """A copy that shares nothing."""
        return self._remember(super().clone(), self.whole.clone())

    @classmethod
    def cat(cls, box_list: Sequence[HorizontalBoxes], dim: int = 0) -> TracedBoxes:
        """Join boxes; those that are not traced count as whole."""
        traced = [b if isinstance(b, cls) else cls(b.tensor) for b in box_list]
        whole = HorizontalBoxes.cat([boxes.whole for boxes in traced], dim)
        return cls._remember(super().cat(traced, dim), whole)

    @staticmethod
    def _remember(boxes: TracedBoxes, whole: HorizontalBoxes) -> TracedBoxes:
        boxes.whole = whole
        return boxes


def _both(move: Callable[..., None]) -> Callable[..., None]:
    @wraps(move)
    def moved(self: TracedBoxes, *args: Any, **kwargs: Any) -> None:
        both = HorizontalBoxes(torch.cat([self.tensor, self.whole.tensor]), clone=False)
        move(both, *args, **kwargs)
        self.tensor, self.whole.tensor = torch.tensor_split(both.tensor, 2)

    return moved


for _move in ('flip_', 'translate_', 'rotate_', 'project_', 'rescale_', 'resize_'):
    setattr(TracedBoxes, _move, _both(getattr(HorizontalBoxes, _move)))
