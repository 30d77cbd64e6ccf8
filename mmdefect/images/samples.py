"""What the images of a batch show, however it was collated."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from mmengine.structures import BaseDataElement, InstanceData


def samples_of(batch: Any) -> Sequence[Any]:
    """The annotations of each image of a batch."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    if isinstance(samples, Mapping) and 'bboxes_labels' in samples:
        boxes = samples['bboxes_labels']
        return [_sample(boxes[boxes[:, 0] == n]) for n in range(len(batch['inputs']))]
    if isinstance(samples, (list, tuple)) and samples and 'gt_instances' in samples[0]:
        return samples
    return ()


def upright(instances: Any) -> Any:
    """Boxes (x1, y1, x2, y2) of what a sample shows, a tensor (n, 4), or None."""
    boxes = instances.get('bboxes')
    if hasattr(boxes, 'convert_to'):
        boxes = boxes.convert_to('hbox').tensor
    return None if boxes is None or boxes.shape[-1] != 4 else boxes


def _sample(boxes: Any) -> BaseDataElement:
    labels = boxes[:, 1].long()
    return BaseDataElement(
        gt_instances=InstanceData(labels=labels, bboxes=boxes[:, 2:])
    )
