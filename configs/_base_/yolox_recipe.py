# How the pretrained YOLOX configs train: augmentation, optimizer, averaged weights.
_base_ = ['mmdet::yolox/yolox_s_8xb8-300e_coco.py', './defect_data.py']

model = dict(data_preprocessor=dict(batch_augments=None))  # one size

grey = (114.0, 114.0, 114.0)
# No Mosaic: with few defect images the boxes came out half as good (one seed; see
# "What was tried on the way" in README.md).
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=None, keep_ratio=True),  # scale: the config's
    dict(type='Pad', pad_to_square=True, pad_val=dict(img=grey)),
    dict(
        type='RandomAffine',
        max_rotate_degree=10,
        max_translate_ratio=0.1,
        scaling_ratio_range=(0.8, 1.2),
        max_shear_degree=2,
        border_val=grey,
    ),
    dict(type='YOLOXHSVRandomAug'),
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1, 1), keep_empty=False),
    dict(type='PackDetInputs'),
]

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=0.002, weight_decay=0.05),
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
        begin=1,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

val_evaluator = _base_.evaluators
test_evaluator = val_evaluator
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
    dict(type='QuotaMonitorHook'),
    dict(type='QuotaResumeHook'),
]
