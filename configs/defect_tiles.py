# Large photographs with small defects: training sees windows of them at full size,
# validation the whole photographs, at full size too.
# In a clone: pip install '.[lite]', then mim train mmdet configs/defect_tiles.py
_base_ = './defect_lite.py'  # its data: _base_/defect_data.py

# What you edit ---------------------------------------------------------------
window = (640, 640)  # width, height in pixels, multiples of 32
batch_size = 8
quota = 3  # defect images in every batch
max_epochs = 6  # an epoch shows a window of every normal image once
# -----------------------------------------------------------------------------

load_image, load_annotations, _, _, *augmentation = _base_.train_pipeline
train_pipeline = [
    load_image,
    load_annotations,
    dict(type='DefectCrop', size=window),
    *augmentation,
]
load_image, _, _, load_annotations, pack = _base_.test_pipeline
test_pipeline = [
    load_image,
    dict(type='Resize', scale_factor=1.0, keep_ratio=True),  # notes the scale
    dict(type='Pad', size_divisor=32, pad_val=dict(img=_base_.grey)),
    load_annotations,
    pack,
]

train_dataloader = dict(
    batch_size=batch_size,
    batch_sampler=dict(quota=quota),
    dataset=dict(dataset=dict(pipeline=train_pipeline)),
)
val_dataloader = dict(batch_size=1, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=max_epochs, val_interval=max(1, max_epochs // 2))
_base_.param_scheduler[1].update(
    begin=min(1, max_epochs - 1), T_max=max(1, max_epochs - 1), end=max_epochs
)
auto_scale_lr = dict(base_batch_size=batch_size)
