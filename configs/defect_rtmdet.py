# RTMDet with a fixed number of defect images in every batch.
# Train: mim train mmdet configs/defect_rtmdet.py
_base_ = [
    'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    './_base_/defect_data.py',  # your data
]

# What you edit ---------------------------------------------------------------
img_scale = (640, 640)  # set it first: width, height in pixels, multiples of 32
batch_size = 8
quota = 3  # defect images in every batch
max_epochs = 12  # an epoch shows every normal image once
num_last_epochs = 2  # the last ones go without Mosaic
# MMDetection's COCO weights. Without internet: a file of them; None = ImageNet's.
pretrained = 'https://download.openmmlab.com/mmdetection/v3.0/rtmdet/rtmdet_tiny_8xb32-300e_coco/rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth'
# -----------------------------------------------------------------------------

model = dict(bbox_head=dict(num_classes=len(_base_.classes)))
load_from = pretrained  # but for the layers that depend on the number of classes
if pretrained:  # not ImageNet's; --resume without a checkpoint forgets load_from
    model['backbone'] = dict(
        init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint=pretrained)
    )

load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
colour_and_flip = [
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
]
crop = dict(type='RandomCrop', crop_size=img_scale, allow_negative_crop=True)
pad = dict(type='Pad', size=img_scale, pad_val=dict(img=(114, 114, 114)))
train_pipeline = [
    *load,
    dict(type='CachedMosaic', img_scale=img_scale, pad_val=114.0),
    dict(
        type='RandomResize',
        scale=(2 * img_scale[0], 2 * img_scale[1]),
        ratio_range=(0.5, 2.0),
        keep_ratio=True,
    ),
    crop,
    *colour_and_flip,
    pad,
    dict(
        type='CachedMixUp',
        img_scale=img_scale,
        ratio_range=(1.0, 1.0),
        pad_val=(114, 114, 114),
        prob=0.5,
    ),
    dict(type='PackDetInputs'),
]
last_pipeline = [
    *load,
    dict(type='RandomResize', scale=img_scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    crop,
    *colour_and_flip,
    pad,
    dict(type='PackDetInputs'),
]
_base_.test_pipeline[1].scale = img_scale  # Resize
_base_.test_pipeline[2].size = img_scale  # Pad

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    sampler=dict(type='DefectPoolSampler'),
    batch_sampler=dict(_delete_=True, type='QuotaBatchSampler', quota=quota),
    dataset=dict(
        _delete_=True,
        type='DefectPreservingDataset',
        dataset=dict(**_base_.train_data, pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    num_workers=2, dataset=dict(**_base_.val_data, pipeline=_base_.test_pipeline)
)
test_dataloader = val_dataloader
val_evaluator = _base_.evaluators
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=max_epochs, val_interval=1)
base_lr = 0.004 * batch_size / 256  # MMDetection's, for 256 images a batch
optim_wrapper = dict(optimizer=dict(lr=base_lr))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-5, by_epoch=False, begin=0, end=200),
    dict(
        type='CosineAnnealingLR',
        eta_min=base_lr * 0.05,
        begin=max_epochs // 2,
        T_max=max_epochs - max_epochs // 2,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
auto_scale_lr = dict(base_batch_size=batch_size)
default_hooks = dict(
    checkpoint=dict(
        interval=1,
        max_keep_ckpts=2,
        save_best=['defect/auroc_recall', 'defect/recall'],
        rule='greater',
    )
)
custom_hooks = [
    _base_.custom_hooks[0],  # EMAHook
    dict(
        type='PipelineSwitchHook',
        switch_epoch=max(0, max_epochs - num_last_epochs),
        switch_pipeline=last_pipeline,
    ),
    dict(type='QuotaMonitorHook'),
    dict(type='QuotaResumeHook'),
]
