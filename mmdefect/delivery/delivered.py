"""What still shows in what a pipeline made of an image."""

from __future__ import annotations

from typing import Any


def shown_labels(sample: Any) -> list[int]:
    """Labels of what a sample shows.

    Args:
        sample (DetDataSample): What ``PackDetInputs`` packed.

    Returns:
        list[int]: The label of each instance. Boxes of less than a pixel, as
        ``FilterAnnotations`` drops them by default, do not count.
    """
    instances = sample.gt_instances
    labels = instances.labels.tolist()
    if labels and 'bboxes' in instances and instances.bboxes.shape[-1] == 4:
        boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
        sides = (boxes[:, 2:] - boxes[:, :2]).amin(1).tolist()
        return [label for label, side in zip(labels, sides) if side >= 1]
    return labels
