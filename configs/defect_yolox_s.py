# YOLOX-s for one GPU with a fixed number of defect images in every batch.
# Train: mim train mmdet configs/defect_yolox_s.py
_base_ = './_base_/yolox_recipe.py'  # its data: _base_/defect_data.py

# What you edit ---------------------------------------------------------------
img_scale = (640, 640)  # set it first: width, height in pixels, multiples of 32
batch_size = 16
quota = 6  # defect images in every batch
max_epochs = 12  # an epoch shows every normal image once
# MMDetection's COCO weights. Without internet: a file of them; None = from scratch.
pretrained = 'https://download.openmmlab.com/mmdetection/v2.0/yolox/yolox_s_8x8_300e_coco/yolox_s_8x8_300e_coco_20211121_095711-4592a793.pth'
# -----------------------------------------------------------------------------

model = dict(bbox_head=dict(num_classes=len(_base_.classes)))
load_from = pretrained  # but for the layers that depend on the number of classes
if pretrained:  # --resume without a checkpoint forgets load_from
    model['backbone'] = dict(
        init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint=pretrained)
    )
    optim_wrapper = dict(  # what is pretrained learns slower than what is new
        paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.25)))
    )

_base_.train_pipeline[2].scale = img_scale  # Resize
_base_.test_pipeline[1].scale = img_scale

train_dataloader = dict(
    batch_size=batch_size,
    sampler=dict(type='DefectPoolSampler'),
    batch_sampler=dict(type='QuotaBatchSampler', quota=quota),
    dataset=dict(
        _delete_=True,
        type='DefectPreservingDataset',
        dataset=dict(**_base_.train_data, pipeline=_base_.train_pipeline),
    ),
)
val_dataloader = dict(dataset=dict(**_base_.val_data, pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=max_epochs, val_interval=1)
_base_.param_scheduler[1].update(
    begin=min(1, max_epochs - 1), T_max=max(1, max_epochs - 1), end=max_epochs
)
auto_scale_lr = dict(base_batch_size=batch_size)
