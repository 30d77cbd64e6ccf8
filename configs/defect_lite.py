# YOLOX on a pretrained EfficientNet-Lite0 with a fixed number of defect images in every
# batch: small, made for CPUs and edge devices.
# In a clone: pip install '.[lite]', then mim train mmdet configs/defect_lite.py
_base_ = './_base_/yolox_recipe.py'  # its data: _base_/defect_data.py
custom_imports = dict(
    imports=['mmdefect', 'mmdefect.models.efficientnet_lite'],
    allow_failed_imports=False,
)

# What you edit ---------------------------------------------------------------
img_scale = (160, 160)  # set it first: width, height in pixels, multiples of 32
batch_size = 8
quota = 3  # defect images in every batch
max_epochs = 6  # an epoch shows every normal image once
# ImageNet weights: 'imagenet' = of the package that the extra `lite` installs. Or a file
# of them; None = start from scratch.
pretrained = 'imagenet'
# -----------------------------------------------------------------------------

model = dict(
    # What the weights were trained with.
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3, bgr_to_rgb=True),
    backbone=dict(
        _delete_=True,
        type='EfficientNetLite0',
        pretrained=pretrained,
        norm_eval=pretrained is not None,  # few images have poorer statistics
    ),
    neck=dict(in_channels=[40, 112, 320], out_channels=64),
    bbox_head=dict(num_classes=len(_base_.classes), in_channels=64, feat_channels=64),
)
if pretrained:
    optim_wrapper = dict(  # what is pretrained learns slower than what is new
        paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.25)))
    )

_base_.train_pipeline[2].scale = img_scale  # Resize
_base_.test_pipeline[1].scale = img_scale

train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    sampler=dict(type='DefectPoolSampler'),
    batch_sampler=dict(type='QuotaBatchSampler', quota=quota),
    dataset=dict(
        _delete_=True,
        type='DefectPreservingDataset',
        dataset=dict(**_base_.train_data, pipeline=_base_.train_pipeline),
    ),
)
val_dataloader = dict(
    num_workers=2, dataset=dict(**_base_.val_data, pipeline=_base_.test_pipeline)
)
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=max_epochs, val_interval=max(1, max_epochs // 2))
_base_.param_scheduler[1].update(
    begin=min(1, max_epochs - 1), T_max=max(1, max_epochs - 1), end=max_epochs
)
auto_scale_lr = dict(base_batch_size=batch_size)
