"""MMDetection's own configs, edited as users edit them: sound ones and broken ones.

Each is the text of a config file. ``{data}`` is the directory of the synthetic set.
"""

from __future__ import annotations

FAMILIES = {
    'yolox': 'yolox/yolox_tiny_8xb8-300e_coco.py',
    'rtmdet': 'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'faster_rcnn': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'retinanet': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'dino': 'dino/dino-4scale_r50_8xb2-12e_coco.py',
    'mask_rcnn': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'ssd': 'ssd/ssd300_coco.py',
}
CLEARED = ('rtmdet', 'ssd')

LEAF = """
classes = ('scratch', 'pit', 'dent')
leaf = dict(
    type='CocoDataset', data_root='{data}/', ann_file='annotations/train.json',
    data_prefix=dict(img='train/'), metainfo=dict(classes=classes),
    filter_cfg=dict(filter_empty_gt=False, min_size=1))
data = dict({key: leaf[key] for key in leaf if key != 'type'})
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
small = [dict(type='Resize', scale=(64, 64), keep_ratio=True)]
pack = [dict(type='RandomFlip', prob=0.5), dict(type='PackDetInputs')]
crop = [dict(type='RandomCrop', crop_size=(40, 40), allow_negative_crop=True)]
plain = dict(leaf, pipeline=load + small + pack)
cropped = dict(leaf, pipeline=load + small + crop + pack)
mosaic = dict(
    type='MultiImageMixDataset', dataset=dict(leaf, pipeline=load),
    pipeline=[dict(type='Mosaic', img_scale=(64, 64)), *small, *pack])
"""

LOADER = """
train_dataloader = dict(
    batch_size=8, num_workers=0, persistent_workers=False,
    sampler=dict(type='DefectPoolSampler'),
    batch_sampler=dict(type='QuotaBatchSampler', quota=3),
    dataset={dataset})
"""
# The data of the base config's dataset, or a dataset in its place.
KEEP = 'dict(**data)'
KEEP_INSIDE = 'dict(dataset=dict(**data))'


# What a training validates on, which the base config has nowhere on this machine.
VALIDATION = """
val_dataloader = dict(dataset=dict(
    data_root='{data}/', ann_file='annotations/val.json',
    data_prefix=dict(img='val/'), metainfo=dict(classes=classes)))
val_evaluator = dict(ann_file='{data}/annotations/val.json')
"""


def new(dataset: str) -> str:
    """A dataset that takes the place of the base config's."""
    return f'dict(_delete_=True, **{dataset})'


def preserved(dataset: str) -> str:
    return new(f"dict(type='DefectPreservingDataset', dataset={dataset})")


def config(family: str, dataset: str, rest: str = '', loader: str = LOADER) -> str:
    """The text of a config file."""
    return '\n'.join(
        [
            f"_base_ = 'mmdet::{FAMILIES[family]}'",
            "custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)",
            LEAF,
            # These two say `batch_sampler=None`, with which no dict can be merged.
            loader.replace('{dataset}', dataset).replace(
                'batch_sampler=dict(',
                f'batch_sampler=dict({"_delete_=True, " * (family in CLEARED)}',
            ),
            VALIDATION,
            rest,
        ]
    )


def without(line: str) -> str:
    """The dataloader without one of its lines."""
    kept = [text for text in LOADER.splitlines() if line not in text]
    assert len(kept) == len(LOADER.splitlines()) - 1
    return '\n'.join(kept)


SSD = """
train_dataloader['dataset'] = dict(dataset=dict(
    **data, pipeline=load + [dict(type='MinIoURandomCrop')] + small + pack))
"""

SOUND = {
    'YOLOX without Mosaic': config(
        'yolox', 'dict(dataset=dict(**data), pipeline=small + pack)'
    ),
    'RTMDet on resized images': config(
        'rtmdet',
        new('plain'),
        'custom_hooks = [dict(type="PipelineSwitchHook", switch_epoch=1, '
        'switch_pipeline=load + small + pack)]',
    ),
    'Faster R-CNN': config('faster_rcnn', KEEP),
    'RetinaNet': config('retinanet', KEEP),
    'RetinaNet on a ConcatDataset': config(
        'retinanet', new("dict(type='ConcatDataset', datasets=[plain, plain])")
    ),
    'RetinaNet in iterations': config(
        'retinanet',
        KEEP,
        "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=9)\n"
        "train_dataloader['batch_sampler']['infinite'] = True",
    ),
    'DINO without its crop': config('dino', new('plain')),
    'Mask R-CNN': config('mask_rcnn', KEEP),
    'SSD with its own crop': config('ssd', KEEP_INSIDE, SSD),
}
# With DefectPreservingDataset, the transforms that cut may stay.
PRESERVED = {
    'YOLOX': config('yolox', preserved('mosaic')),
    'RTMDet': config(
        'rtmdet',
        preserved('cropped'),
        'custom_hooks = [dict(type="PipelineSwitchHook", switch_epoch=1, '
        'switch_pipeline=load + small + crop + pack)]',
    ),
    'DINO': config('dino', preserved('cropped')),
    'a dataloader built anew': config(
        'yolox',
        preserved('cropped'),
        'custom_hooks = [dict(type="QuotaMonitorHook"), dict('
        'type="YOLOXModeSwitchHook", new_train_pipeline=load + small + crop + pack)]',
    ),
    'SSD': config(
        'ssd', preserved("dict(type='RepeatDataset', times=5, dataset=cropped)")
    ),
    'RetinaNet on one of three classes': config(
        'retinanet',
        new(
            "dict(type='DefectPreservingDataset', defect_classes=['pit'], "
            'dataset=cropped)'
        ),
        "train_dataloader['sampler']['defect_classes'] = ['pit']",
    ),
    'RetinaNet on one of three classes, as the sampler has it': config(
        'retinanet',
        preserved('cropped'),
        "train_dataloader['sampler']['defect_classes'] = ['pit']",
    ),
    'RetinaNet on every class by its name': config(
        'retinanet',
        new(
            "dict(type='DefectPreservingDataset', "
            'defect_classes=list(classes), dataset=cropped)'
        ),
    ),
}

# Each with the key of the finding.
DATASET = 'train_dataloader.dataset'
BROKEN = {
    'Faster R-CNN drops the normal images': (
        config('faster_rcnn', 'dict(**dict(data, filter_cfg=dict(min_size=1)))'),
        f'{DATASET}.filter_cfg',
    ),
    'one part of a ConcatDataset drops its normal images': (
        config(
            'retinanet',
            new(
                "dict(type='ConcatDataset', datasets=[plain, "
                'dict(plain, filter_cfg=dict(filter_empty_gt=True))])'
            ),
        ),
        f'{DATASET}.datasets[1].filter_cfg',
    ),
    'FilterAnnotations refuses an image that lost its box': (
        config(
            'retinanet',
            new('plain'),
            "train_dataloader['dataset']['pipeline'] = load + small + "
            "[dict(type='FilterAnnotations', min_gt_bbox_wh=(20, 20))] + pack",
        ),
        f'{DATASET}.pipeline[3].keep_empty',
    ),
    'RandomCrop refuses normal images': (
        config(
            'faster_rcnn',
            new('plain'),
            "train_dataloader['dataset']['pipeline'] = load + small + "
            "[dict(type='RandomCrop', crop_size=(40, 40))] + pack",
        ),
        f'{DATASET}.pipeline[3].allow_negative_crop',
    ),
    "YOLOX's own Mosaic": (config('yolox', KEEP_INSIDE), DATASET),
    "RTMDet's own crop": (
        config('rtmdet', 'dict(**data)'),
        f'{DATASET}.pipeline[4].allow_negative_crop',
    ),
    "the crop of RTMDet's second stage": (
        config('rtmdet', new('plain')),
        'custom_hooks[1].switch_pipeline[3].allow_negative_crop',
    ),
    "the crop in DINO's RandomChoice": (config('dino', KEEP), DATASET),
    'a crop in RandomApply in RepeatDataset': (
        config(
            'retinanet',
            new(
                "dict(type='RepeatDataset', times=2, dataset=dict(leaf, pipeline="
                "load + small + [dict(type='RandomApply', transforms=crop)] + pack))"
            ),
        ),
        DATASET,
    ),
    'patches that may hide a defect': (
        config(
            'retinanet',
            new(
                "dict(leaf, pipeline=load + small + [dict(type='RandomErasing', "
                'n_patches=3, ratio=0.5)] + pack)'
            ),
        ),
        DATASET,
    ),
    'holes that may hide a defect': (
        config(
            'retinanet',
            new(
                "dict(leaf, pipeline=load + small + [dict(type='CutOut', "
                'n_holes=3, cutout_shape=(60, 60))] + pack)'
            ),
        ),
        DATASET,
    ),
    'a batch sampler forgotten': (
        config('yolox', new('plain'), loader=without('batch_sampler')),
        'train_dataloader.batch_sampler',
    ),
    'AspectRatioBatchSampler inherited': (
        config('faster_rcnn', KEEP, loader=without('batch_sampler')),
        'train_dataloader.batch_sampler',
    ),
    'DefaultSampler left': (
        config('retinanet', KEEP, loader=without('DefectPoolSampler')),
        'train_dataloader.sampler',
    ),
    'drop_last beside a batch sampler': (
        config('retinanet', KEEP, "train_dataloader['drop_last'] = True"),
        'train_dataloader.drop_last',
    ),
    'shuffle beside a batch sampler': (
        config('retinanet', KEEP, "train_dataloader['shuffle'] = True"),
        'train_dataloader.shuffle',
    ),
    'an epoch shortened by slicing the dataset': (
        config('retinanet', KEEP, "train_dataloader['num_batch_per_epoch'] = 20"),
        'train_dataloader.num_batch_per_epoch',
    ),
    'an epoch without end': (
        config(
            'retinanet', KEEP, "train_dataloader['batch_sampler']['infinite'] = True"
        ),
        'train_dataloader.batch_sampler.infinite',
    ),
    'a pipeline switched where nobody looks': (
        config(
            'ssd',
            new("dict(type='RepeatDataset', times=2, dataset=plain)"),
            "custom_hooks = [dict(type='PipelineSwitchHook', switch_epoch=1, "
            'switch_pipeline=load + small + pack)]',
        ),
        DATASET,
    ),
    'a YOLOX mode switched on a wrapper': (
        config(
            'yolox',
            new(
                "dict(type='RepeatDataset', times=2, dataset=dict(mosaic, "
                'pipeline=small + pack))'
            ),
        ),
        DATASET,
    ),
    'a dataloader built anew around a wrapper that takes no pipeline': (
        config(
            'ssd',
            new("dict(type='RepeatDataset', times=2, dataset=plain)"),
            "custom_hooks = [dict(type='QuotaResumeHook'), dict("
            "type='YOLOXModeSwitchHook', new_train_pipeline=load + small + pack)]",
        ),
        DATASET,
    ),
    'a dataloader built anew without a hook that hands on its seed': (
        config(
            'retinanet',
            new('plain'),
            "custom_hooks = [dict(type='YOLOXModeSwitchHook', "
            'new_train_pipeline=load + small + pack)]',
        ),
        'custom_hooks',
    ),
    'the crop of a dataloader built anew': (
        config(
            'retinanet',
            new('plain'),
            "custom_hooks = [dict(type='QuotaResumeHook'), dict("
            "type='YOLOXModeSwitchHook', new_train_pipeline=load + "
            "[dict(type='RandomCrop', crop_size=(40, 40))] + small + pack)]",
        ),
        'custom_hooks[1].new_train_pipeline[2].allow_negative_crop',
    ),
    'DefectPreservingDataset inside another dataset': (
        config(
            'ssd',
            new(
                "dict(type='RepeatDataset', times=2, dataset="
                "dict(type='DefectPreservingDataset', dataset=cropped))"
            ),
        ),
        f'{DATASET}.dataset',
    ),
    'DefectPreservingDataset keeps another class than is drawn': (
        config(
            'retinanet',
            new(
                "dict(type='DefectPreservingDataset', defect_classes=['dent'], "
                'dataset=cropped)'
            ),
            "train_dataloader['sampler']['defect_classes'] = ['pit']",
        ),
        f'{DATASET}.defect_classes',
    ),
    'normal images lose their crop in DefectPreservingDataset': (
        config(
            'retinanet',
            preserved(
                'dict(leaf, pipeline=load + small + [dict(crop[0], '
                'allow_negative_crop=False)] + pack)'
            ),
        ),
        f'{DATASET}.dataset.pipeline[3].allow_negative_crop',
    ),
}
