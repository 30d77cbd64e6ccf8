# The data of the ready configs: edit it here once, then train any of the detectors.
# (defect_yolox.py stands alone, with its data at its own top.)
custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)

# What you edit ---------------------------------------------------------------
data_dir = 'data/synthetic/'  # the quickstart's; yours goes here
train_ann, train_images = 'annotations/train.json', 'train/'
val_ann, val_images = 'annotations/val.json', 'val/'
classes = ('scratch', 'pit', 'dent')  # category names of the annotation file
# -----------------------------------------------------------------------------

# Two bases of a config must not share a name, so none of MMDetection's stands here.
train_data = dict(
    type='CocoDataset',
    data_root=data_dir,
    ann_file=train_ann,
    data_prefix=dict(img=train_images),
    metainfo=dict(classes=classes),
    filter_cfg=dict(filter_empty_gt=False, min_size=1),
)
val_data = dict(
    data_root=data_dir,
    ann_file=val_ann,
    data_prefix=dict(img=val_images),
    metainfo=dict(classes=classes),
)
evaluators = [
    dict(
        type='CocoMetric',
        ann_file=data_dir + val_ann,
        metric='bbox',
        metric_items=['mAP', 'mAP_50', 'mAP_75', 'AR@100'],
    ),
    dict(type='DefectImageMetric'),  # defect images missed, normal images flagged
]
