"""MMRotate's boxes, made to remember. Imported where such boxes are met only."""

from __future__ import annotations

from typing import Any, Sequence

import cv2
import numpy as np
from mmcv.ops import box_iou_rotated
from mmdet.structures.bbox import register_box
from mmrotate.structures.bbox import QuadriBoxes, RotatedBoxes

from mmdefect.images.boxes import Traced


class Turned(Traced):
    """Boxes at any angle, which MMRotate does not cut: they reach beyond the image.

    Of a box that several transforms cut, the least share that was inside an image is
    left: where they cut on opposite sides, only the larger cut counts. A quadrilateral
    counts as the least rectangle around it, as MMRotate's conversion has it.

    Attributes:
        most (np.ndarray): Share of each box that can be left, after what was cut off,
            float64 of shape (n,).
    """

    remembered = ('kept', 'most')

    def __init__(self, data: Any, **options: Any) -> None:
        super().__init__(data, **options)
        self.most = np.full(len(self.tensor), np.inf)

    def visible_share(
        self, shape: Sequence[int], corner: Sequence[int] = (0, 0)
    ) -> np.ndarray:
        """See :meth:`Traced.visible_share`."""
        return np.minimum(self.most, super().visible_share(shape, corner))

    def inside(
        self, shape: Sequence[int], corner: Sequence[int] = (0, 0)
    ) -> np.ndarray:
        """See :meth:`Traced.inside`."""
        height, width = shape[:2]
        if not len(self.tensor):
            return np.zeros(0)
        boxes = self.convert_to('rbox').tensor.float()
        x, y = corner[0] + width / 2, corner[1] + height / 2
        image = boxes.new_tensor([[x, y, width, height, 0]])
        shares = box_iou_rotated(boxes, image, mode='iof')[:, 0]
        # Its last digits are not to be trusted: a whole box is whole.
        return shares.double().numpy().round(3)

    def covered(self, pixels: np.ndarray) -> np.ndarray:
        """See :meth:`Traced.covered`."""
        shares = []
        for corners in self.convert_to('qbox').tensor.reshape(-1, 4, 2).numpy():
            drawn = np.zeros(pixels.shape, np.uint8)
            cv2.fillConvexPoly(drawn, corners.round().astype(np.int32), 1)
            part = pixels[drawn > 0]
            shares.append(part.mean() if part.size else 0.0)
        return np.array(shares)

    def clip_(self, img_shape: Sequence[int]) -> None:
        """Remember how much of each box is left inside the image."""
        self.most = self.visible_share(img_shape)
        super().clip_(img_shape)  # type: ignore[misc]


@register_box('traced_rbox')
class TracedRotatedBoxes(Turned, RotatedBoxes):
    """Boxes (x, y, width, height, angle in radians) that remember."""

    plain_type = RotatedBoxes


@register_box('traced_qbox')
class TracedQuadriBoxes(Turned, QuadriBoxes):
    """Boxes of four corners (x, y) that remember."""

    plain_type = QuadriBoxes


TRACED = {RotatedBoxes: TracedRotatedBoxes, QuadriBoxes: TracedQuadriBoxes}
