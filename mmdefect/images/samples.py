"""What the images of a batch show, however it was collated."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from mmengine.structures import BaseDataElement, InstanceData


def samples_of(batch: Any) -> Sequence[Any]:
    """The annotations of each image of a batch.

    Args:
        batch (dict): What a dataloader returned: ``data_samples`` is a list, as
            ``pseudo_collate`` leaves it, or what MMYOLO's ``yolov5_collate`` makes of
            one, a dict whose ``bboxes_labels`` is a tensor of shape (n, 6): of each
            box its image in the batch, its label, x1, y1, x2, y2.

    Returns:
        Sequence[BaseDataElement]: Of each image ``gt_instances``, and its path and id
        where they were not lost in collating. Empty where there is no ground truth.
    """
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    if isinstance(samples, Mapping) and 'bboxes_labels' in samples:
        boxes = samples['bboxes_labels']
        return [_sample(boxes[boxes[:, 0] == n]) for n in range(len(batch['inputs']))]
    if isinstance(samples, (list, tuple)) and samples and 'gt_instances' in samples[0]:
        return samples
    return ()


def _sample(boxes: Any) -> BaseDataElement:
    labels = boxes[:, 1].long()
    return BaseDataElement(
        gt_instances=InstanceData(labels=labels, bboxes=boxes[:, 2:])
    )
