"""A check looks at everything once: at 100,000 images its user waits for each look."""

from __future__ import annotations

import builtins
import os
from collections import Counter

import dataset_files
import pytest

from mmdefect.analysis.check import check
from mmdefect.pools import source

CONFIG = """
_base_ = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'
custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)
classes = {classes}
data = dict(
    type={kind!r}, data_root={folder!r}, ann_file={file!r}, data_prefix={prefix},
    metainfo=dict(classes=classes), filter_cfg=dict(filter_empty_gt=False))
load = [dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs')]
train_dataloader = dict(
    _delete_=True, batch_size=8, num_workers=0,
    sampler=dict(type='DefectPoolSampler'),
    batch_sampler=dict(type='QuotaBatchSampler', quota=3),
    dataset=dict(
        type='DefectPreservingDataset',
        dataset=dict(type='RepeatDataset', times=4, dataset=dict(data, pipeline=load))))
val_dataloader = dict(dataset=dict(_delete_=True, **data, test_mode=True))
val_evaluator = dict(_delete_=True, type='DefectImageMetric')
"""


@pytest.mark.parametrize('kind', ['CocoDataset', 'XMLDataset'])
def test_each_file_is_read_once_and_each_dataset_scanned_once(
    kind, tmp_path, monkeypatch
):
    if kind == 'CocoDataset':
        written, prefix = dataset_files.coco_json(tmp_path / 'coco.json'), dict(img='')
    else:
        written = dataset_files.xml_files(tmp_path, 'Annotations')
        prefix = dict(sub_data_root='')
    dataset_files.write_pixels(tmp_path)
    config = tmp_path / 'config.py'
    config.write_text(
        CONFIG.format(
            kind=kind,
            folder=str(tmp_path),
            file=os.path.basename(written),
            prefix=prefix,
            classes=dataset_files.CLASSES,
        )
    )
    opened, unwrapped, scanned = Counter(), [], []
    read, unwrap, scan = builtins.open, source.unwrap, source.scan_leaves

    def count(path, *args, **options):
        if str(path).endswith(('.json', '.xml')) and str(tmp_path) in str(path):
            opened[os.path.basename(path)] += 1
        return read(path, *args, **options)

    monkeypatch.setattr(builtins, 'open', count)
    monkeypatch.setattr(source, 'unwrap', lambda d: unwrapped.append(d) or unwrap(d))
    monkeypatch.setattr(source, 'scan_leaves', lambda *a: scanned.append(a) or scan(*a))
    _, delivery = check(str(config), None, 0)
    assert delivery is None
    # Of training and of validation, by MMDetection and by the check.
    assert opened
    assert set(opened.values()) == {4}
    assert len(unwrapped) == len(scanned) == 2
