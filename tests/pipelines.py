"""Datasets and pipelines that lose defects, and what is asked of what they deliver."""

from __future__ import annotations

from mmcv.transforms import LoadImageFromFile
from mmdet.registry import TRANSFORMS

from mmdefect.delivery.preserving import DefectPreservingDataset
from mmdefect.pools.pools import make_pools
from mmdefect.pools.source import source_of

CLASSES = ('scratch', 'pit', 'dent')
SIZE = 96
LOAD = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
]
PACK = [dict(type='PackDetInputs', meta_keys=('img_id', 'img_path'))]
CROP = dict(
    type='RandomCrop',
    crop_type='relative_range',
    crop_size=(0.3, 0.3),
    allow_negative_crop=True,
)
# What the wrapper counts.
NOTHING = dict(retries=0, uncut=0, refused=0, partly=0, replaced=0, unreadable=0)


def leaf(root, pipeline, **options):
    return dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=CLASSES),
        pipeline=pipeline,
        **options,
    )


def plain(root, *steps):
    return leaf(root, [*LOAD, *steps, *PACK])


def yolox(root, scales=(0.1, 2)):
    # The stock pipeline of YOLOX-s.
    size = (SIZE, SIZE)
    return dict(
        type='MultiImageMixDataset',
        dataset=leaf(root, LOAD),
        pipeline=[
            dict(type='Mosaic', img_scale=size, pad_val=114.0),
            dict(
                type='RandomAffine',
                scaling_ratio_range=scales,
                border=(-SIZE // 2, -SIZE // 2),
            ),
            dict(type='MixUp', img_scale=size, ratio_range=(0.8, 1.6), pad_val=114.0),
            dict(type='YOLOXHSVRandomAug'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='Resize', scale=size, keep_ratio=True),
            dict(type='Pad', pad_to_square=True),
            dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
            *PACK,
        ],
    )


def rtmdet(root, **crop):
    # The stock pipeline of RTMDet-l.
    size = (SIZE, SIZE)
    return plain(
        root,
        dict(type='CachedMosaic', img_scale=size, pad_val=114.0),
        dict(
            type='RandomResize',
            scale=(2 * SIZE, 2 * SIZE),
            ratio_range=(0.1, 2.0),
            resize_type='Resize',
            keep_ratio=True,
        ),
        dict(type='RandomCrop', crop_size=size, **crop),
        dict(type='YOLOXHSVRandomAug'),
        dict(type='RandomFlip', prob=0.5),
        dict(type='Pad', size=size),
        dict(type='CachedMixUp', img_scale=size, ratio_range=(1.0, 1.0)),
    )


def faster_rcnn(root):
    return plain(
        root,
        dict(type='Resize', scale=(200, 120), keep_ratio=True),
        dict(type='RandomFlip', prob=0.5),
        CROP,
    )


def preserving(dataset, **options):
    return DefectPreservingDataset(dataset, **options)


def pools_of(dataset):
    return make_pools(source_of(dataset).scan, CLASSES)


def classes_of(dataset, index):
    return {i['bbox_label'] for i in dataset.get_data_info(index)['instances']}


def shown(result):
    return set(result['data_samples'].gt_instances.labels.tolist())


def path_of(dataset, index):
    return dataset.get_data_info(index)['img_path']


@TRANSFORMS.register_module(force=True)
class LosesTheFirst:
    """A user's transform that loses all boxes the first times.

    Args:
        times (int): How many times.
        returns_none (bool): Whether it returns None instead of no boxes.
    """

    def __init__(self, times, returns_none=False):
        self.times, self.returns_none, self.seen = times, returns_none, []

    def __call__(self, results):
        self.seen.append(results['img_path'])
        if len(self.seen) <= self.times:
            if self.returns_none:
                return None
            for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
                results[key] = results[key][:0]
        return results


def losing(root, times, returns_none=False):
    step = dict(type='LosesTheFirst', times=times, returns_none=returns_none)
    return plain(root, step)


@TRANSFORMS.register_module(force=True)
class CountsReading(LoadImageFromFile):
    times = 0

    def transform(self, results):
        self.times += 1
        return super().transform(results)
