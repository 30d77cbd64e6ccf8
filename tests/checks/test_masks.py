"""Masks that a pipeline asks for are looked for before training."""

from __future__ import annotations

import pytest
from faulty_files import SECOND_HALF, edited_coco, refusal

pytest.importorskip('mmdet.datasets')

MASKS = [dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True)]
SOUND = [[2, 2, 8, 2, 8, 8]]


def segmented(folder, odd, pipeline=MASKS):
    def change(content):
        for number, annotation in enumerate(content['annotations']):
            annotation['segmentation'] = odd if number in SECOND_HALF else SOUND

    return edited_coco(folder, change, pipeline=pipeline)


def test_boxes_without_segmentation_are_refused_where_masks_are_loaded(tmp_path):
    message = refusal(segmented(tmp_path, []))
    assert 'boxes without "segmentation": 4 of 8' in message


@pytest.mark.parametrize(
    ('polygon', 'why'), [([2, 2, 8, 2, 8, 8, 2], 'odd number'), ([2, 2, 8, 8], 'fewer')]
)
def test_polygons_that_mmdetection_ignores_are_told(polygon, why, tmp_path, warnings):
    _, (message,) = warnings(segmented(tmp_path, [polygon]))
    assert why in message
    assert '4 of 8' in message


def test_no_mask_is_missed_where_none_is_loaded(tmp_path, warnings):
    boxes = [dict(type='mmdet.LoadAnnotations', with_bbox=True)]
    assert warnings(segmented(tmp_path, [], boxes))[1] == []
