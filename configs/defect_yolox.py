# YOLOX with a fixed number of defect images in every batch.
# Train: mim train mmdet configs/defect_yolox.py
_base_ = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)

# What you edit ---------------------------------------------------------------
data_root = 'data/synthetic/'  # the quickstart's; yours goes here
train_ann, train_images = 'annotations/train.json', 'train/'
val_ann, val_images = 'annotations/val.json', 'val/'
classes = ('scratch', 'pit', 'dent')  # category names of the annotation file
img_scale = (160, 160)  # set it first: width, height in pixels, multiples of 32
batch_size = 8
quota = 3  # defect images in every batch
max_epochs = 6  # an epoch shows every normal image once
pretrained = None  # or a file of this very network; none is published so small
# -----------------------------------------------------------------------------

metainfo = dict(classes=classes)

# Small enough to train from scratch on two CPU cores. For a GPU: defect_yolox_s.py.
model = dict(
    data_preprocessor=dict(batch_augments=None),  # one size
    backbone=dict(deepen_factor=0.33, widen_factor=0.25),
    neck=dict(in_channels=[64, 128, 256], out_channels=64),
    bbox_head=dict(num_classes=len(classes), in_channels=64, feat_channels=64),
)
load_from = pretrained  # but for the layers that depend on the number of classes

# No Mosaic: with few defect images the boxes came out half as good (one seed; see
# "What was tried on the way" in README.md).
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
    dict(
        type='RandomAffine',
        max_rotate_degree=10,
        max_translate_ratio=0.1,
        scaling_ratio_range=(0.8, 1.2),
        max_shear_degree=2,
        border_val=(114.0, 114.0, 114.0),
    ),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=img_scale, keep_ratio=True),
    dict(type='Pad', pad_to_square=True, pad_val=dict(img=(114.0, 114.0, 114.0))),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    sampler=dict(type='DefectPoolSampler'),
    batch_sampler=dict(type='QuotaBatchSampler', quota=quota),
    dataset=dict(
        _delete_=True,
        type='DefectPreservingDataset',
        dataset=dict(
            type='CocoDataset',
            data_root=data_root,
            ann_file=train_ann,
            data_prefix=dict(img=train_images),
            metainfo=metainfo,
            filter_cfg=dict(filter_empty_gt=False, min_size=1),
            pipeline=train_pipeline,
        ),
    ),
)
val_dataloader = dict(
    num_workers=2,
    dataset=dict(
        data_root=data_root,
        ann_file=val_ann,
        data_prefix=dict(img=val_images),
        metainfo=metainfo,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type='CocoMetric',
        ann_file=data_root + val_ann,
        metric='bbox',
        metric_items=['mAP', 'mAP_50', 'mAP_75', 'AR@100'],
    ),
    dict(type='DefectImageMetric'),  # defect images missed, normal images flagged
]
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=max_epochs, val_interval=max(1, max_epochs // 2))
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.004, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=1,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.05,
        begin=min(1, max_epochs - 1),
        T_max=max(1, max_epochs - 1),
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(
    checkpoint=dict(
        interval=1,
        max_keep_ckpts=2,
        save_best=['defect/auroc_recall', 'defect/recall'],
        rule='greater',
    )
)
custom_hooks = [
    dict(type='SyncNormHook', priority=48),
    dict(
        type='EMAHook',
        ema_type='ExpMomentumEMA',
        momentum=0.005,
        gamma=200,
        update_buffers=True,
        priority=49,
    ),
]
# The quota's own hooks, unless its two lines above are deleted.
if 'batch_sampler' in train_dataloader:
    custom_hooks += [dict(type='QuotaMonitorHook'), dict(type='QuotaResumeHook')]
auto_scale_lr = dict(enable=False, base_batch_size=8)
