"""A detector without training: it sees spots that differ from what is around them."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from mmengine.model import BaseDataPreprocessor, BaseModel
from mmengine.registry import MODELS
from mmengine.structures import InstanceData


@MODELS.register_module(force=True)
class SpotDetector(BaseModel):
    """Boxes around the darkest and brightest spots of an image, surer the more so.

    Args:
        size (int): Of a spot, in pixels.
        most (int): Boxes of an image.
        sharpness (float): Grey levels at which it is surer than not; its only weight.
    """

    def __init__(self, size=5, most=3, sharpness=40.0, num_classes=3):
        super().__init__(data_preprocessor=BaseDataPreprocessor())
        self.size, self.most, self.num_classes = size, most, num_classes
        self.sharpness = torch.nn.Parameter(torch.tensor(sharpness))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        assert mode == 'predict'
        for image, sample in zip(inputs, data_samples):
            sample.pred_instances = self.spots(image.numpy(), sample)
        return data_samples

    def spots(self, image, sample):
        grey = image.mean(0).astype(np.float32)
        near = cv2.GaussianBlur(grey, (0, 0), self.size)
        height, width = (
            int(n) for n in np.array(sample.ori_shape) * sample.scale_factor[::-1]
        )
        around = cv2.GaussianBlur(grey, (0, 0), 4 * self.size)
        contrast = np.abs(near - around)[:height, :width]
        contrast[[0, -1]] = contrast[:, [0, -1]] = 0
        boxes, scores, labels = [], [], []
        for _ in range(self.most):
            y, x = np.unravel_index(contrast.argmax(), contrast.shape)
            level = contrast[y, x]
            mask = (contrast > level / 2).astype(np.uint8)
            _, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
            left, top, wide, high, _ = stats[parts[y, x]]
            boxes.append([left, top, left + wide, top + high])
            scores.append(1 - 2 ** (-level / float(self.sharpness)))
            labels.append(int(wide > 2 * high) if wide > high else 2)
            contrast[parts == parts[y, x]] = 0
        scale = torch.tensor([*sample.scale_factor, *sample.scale_factor])
        return InstanceData(
            bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4) / scale,
            scores=torch.tensor(scores, dtype=torch.float32),
            labels=torch.tensor(labels, dtype=torch.long) % self.num_classes,
        )
