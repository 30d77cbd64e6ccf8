"""Defects that the model sees too small are told, with a scale that helps."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import Resize
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from mmdefect.analysis.box_sizes import (
    BoxSizes,
    check_boxes,
    measure_boxes,
    smallest_stride,
)

CLASSES = ('dent', 'crack')


def resized(**options):
    return [dict(type='mmdet.Resize', **options)]


@pytest.fixture
def measured(coco):
    """The boxes of real files, 40 x 48 pixels, after a pipeline."""

    def measure(pipeline, classes=CLASSES, **cfg):
        dataset = coco.dataset(pipeline=pipeline)
        assert isinstance(dataset, CocoDataset)
        return measure_boxes(
            ConfigDict(cfg),
            SimpleNamespace(
                dataset=dataset,
                defect_classes=classes,
                pools={'defect': np.arange(len(dataset))},
            ),
        )

    return measure


@pytest.mark.parametrize(
    'step',
    [
        dict(scale=(96, 96), keep_ratio=True),
        dict(scale=(96, 30), keep_ratio=True),
        dict(scale=(24, 100), keep_ratio=False),
    ],
    ids=str,
)
def test_sides_are_those_that_the_pipeline_makes(measured, coco, step):
    init_default_scope('mmdet')
    sizes = measured(resized(**step))
    dataset = coco.dataset(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            *resized(**step),
        ]
    )
    expected = []
    for index in range(len(dataset)):
        image = dataset[index]
        boxes = image['gt_bboxes'].tensor[~image['gt_ignore_flags']].numpy()
        expected += (boxes[:, 2:] - boxes[:, :2]).min(1).tolist()
    assert isinstance(dataset.pipeline.transforms[-1], Resize)
    # mmcv rounds the sizes of images to whole pixels.
    assert sorted(sizes.all) == pytest.approx(sorted(expected), rel=0.03)
    assert sizes.split == 'training'


def test_the_scale_that_is_advised_is_the_smallest_that_will_do(measured):
    small = measured(resized(scale=(32, 32), keep_ratio=True))
    (note,) = check_boxes(ConfigDict(img_scale=(32, 32)), small)
    assert not note.breaks
    assert f'{small.too_small} of {len(small.all)} boxes' in note.what
    assert str(small.advised) in note.fix
    # No larger than the photographs.
    assert small.advised == (64, 64)
    large = measured(resized(scale=(480, 480), keep_ratio=True))
    assert large.advised is None
    assert check_boxes(ConfigDict(), large) == []


def test_windows_are_advised_where_no_image_could_be_large_enough():
    sizes = BoxSizes(dict(pit=np.full(9, 1.5)), (640, 640), 'training', 8, (3424, 3424))
    (note,) = check_boxes(ConfigDict(img_scale=(640, 640)), sizes)
    assert 'DefectCrop' in note.fix
    assert '3424' not in note.fix
    assert sizes._replace(advised=(1280, 1280)).windows == ''


def test_no_scale_is_advised_that_only_blows_the_photographs_up(measured):
    head = dict(type='YOLOXHead', strides=[64])  # no box is so large at any scale
    sizes = measured(resized(scale=(32, 32), keep_ratio=True), model=head)
    assert sizes.stride == 64
    assert sizes.advised == (64, 64)  # the photographs have 48 pixels


def test_classes_that_are_no_defects_do_not_count(measured):
    scale = resized(scale=(96, 96), keep_ratio=True)
    assert set(measured(scale).sides) == set(CLASSES)
    assert set(measured(scale, classes=('crack',)).sides) == {'crack'}


def test_where_training_has_no_fixed_size_that_of_validation_counts(measured):
    random = [
        dict(type='RandomResize', scale=(99, 99), resize_type='mmdet.Resize'),
    ]
    validated = dict(
        val_dataloader=dict(
            dataset=dict(pipeline=resized(scale=(96, 96), keep_ratio=True))
        )
    )
    assert measured(random) is None
    sizes = measured(random, **validated)
    assert (sizes.split, sizes.scale) == ('validation', (96, 96))


@pytest.mark.parametrize(
    ('model', 'stride'),
    [
        (dict(backbone=dict(type='ResNet', strides=(1, 2, 2, 2))), 8),
        (
            dict(
                rpn_head=dict(
                    anchor_generator=dict(
                        type='AnchorGenerator', strides=[4, 8, 16, 32, 64]
                    )
                )
            ),
            4,
        ),
        (
            dict(
                bbox_head=dict(
                    prior_generator=dict(
                        type='MlvlPointGenerator', strides=[(16, 16), (32, 32)]
                    )
                )
            ),
            16,
        ),
    ],
)
def test_the_stride_is_that_of_the_head(model, stride):
    assert smallest_stride(ConfigDict(model=model)) == stride
