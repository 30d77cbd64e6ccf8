# DINO with a fixed number of defect images in every optimizer step.
# Train: mim train mmdet configs/defect_dino.py
_base_ = [
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    './_base_/defect_data.py',  # your data
]

# What you edit ---------------------------------------------------------------
img_scale = (640, 640)  # set it first: width, height in pixels
batch_size = 2  # on each GPU
over = 8  # images that train together: one optimizer step, on all GPUs
quota = 3  # defect images among them
accumulative_counts = 4  # batches to an optimizer step: over / (batch_size x GPUs)
max_epochs = 12  # an epoch shows every normal image once
# MMDetection's COCO weights. Without internet: a file of them; None = ImageNet's.
pretrained = 'https://download.openmmlab.com/mmdetection/v3.0/dino/dino-4scale_r50_8xb2-12e_coco/dino-4scale_r50_8xb2-12e_coco_20221202_182705-55b2bba2.pth'
# -----------------------------------------------------------------------------

model = dict(bbox_head=dict(num_classes=len(_base_.classes)))
load_from = pretrained  # but for the layers that depend on the number of classes
if pretrained:  # not ImageNet's; --resume without a checkpoint forgets load_from
    model['backbone'] = dict(
        init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint=pretrained)
    )

resize = dict(
    type='RandomResize', scale=img_scale, ratio_range=(0.6, 1.0), keep_ratio=True
)
crop = dict(
    type='RandomCrop',
    crop_type='relative_range',
    crop_size=(0.5, 0.5),
    allow_negative_crop=True,
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='RandomFlip', prob=0.5, direction=['horizontal', 'vertical']),
    dict(type='RandomChoice', transforms=[[resize], [crop, resize]]),
    dict(type='PackDetInputs'),
]
_base_.test_pipeline[1].scale = img_scale  # Resize

train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(type='DefectPoolSampler'),
    batch_sampler=dict(type='QuotaBatchSampler', quota=quota, over=over),
    dataset=dict(
        _delete_=True,
        type='DefectPreservingDataset',
        dataset=dict(**_base_.train_data, pipeline=train_pipeline),
    ),
)
val_dataloader = dict(dataset=dict(**_base_.val_data, pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
val_evaluator = _base_.evaluators
test_evaluator = val_evaluator

train_cfg = dict(max_epochs=max_epochs)
_base_.param_scheduler[0].update(
    milestones=[max(1, max_epochs * 11 // 12)], end=max_epochs
)
optim_wrapper = dict(accumulative_counts=accumulative_counts)
# The learning rate follows the images of an optimizer step.
auto_scale_lr = dict(enable=True, base_batch_size=16 / accumulative_counts)
default_hooks = dict(
    checkpoint=dict(
        max_keep_ckpts=2,
        save_best=['defect/auroc_recall', 'defect/recall'],
        rule='greater',
    )
)
custom_hooks = [dict(type='QuotaMonitorHook'), dict(type='QuotaResumeHook')]
