"""What a detector finds on an image, and the score of the image."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from mmdefect.metrics.boxes import hulls

MOST_BOXES = 100  # kept of an image, the surest


class Found(NamedTuple):
    """What a detector finds on an image, the surest first."""

    # (n, 4), left, top, right, bottom in pixels of the file. Of a turned box, that
    # around it.
    boxes: np.ndarray
    labels: np.ndarray  # (n,)
    scores: np.ndarray  # (n,), float32

    @property
    def score(self) -> float:
        """np.float32: The highest of its scores, 0 without a box."""
        return self.scores.max(initial=np.float32(0))


def found_on(sample: Any, labels: Sequence[int]) -> Found:
    """What a prediction says of the classes that count as defects."""
    instances = sample.pred_instances.cpu()
    boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
    scores = np.nan_to_num(instances.scores.float().numpy())
    found = instances.labels.numpy()
    order = np.argsort(-scores, kind='stable')
    order = order[np.isin(found[order], labels)][:MOST_BOXES]
    # As they are written to files, so that what is read back is the same.
    boxes = np.nan_to_num(hulls(boxes.float().numpy())).round(2)
    return Found(boxes[order], found[order], scores[order])
