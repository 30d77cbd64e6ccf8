"""Real photographs: https://doi.org/10.1007/s00371-018-1588-5, beside the project."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from runner_configs import ROOT, RecordBatches, edit_configs

from mmdefect.checks.look_alikes import check_look_alikes

TILES = ROOT.parent / 'shared/data/magnetic_tile'

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TILES.exists(), reason=f'{TILES} is not there'),
]


def test_yolox_trains_on_photographs_once_the_data_lines_are_changed(tmp_path):
    configs = edit_configs(
        tmp_path,
        data_root=f'{TILES}/',
        train_ann__train_images=('annotations/train_3pct.json', 'images/'),
        val_ann__val_images=('annotations/val.json', 'images/'),
        classes=('blowhole', 'break', 'crack', 'fray', 'uneven'),
    )
    cfg = Config.fromfile(str(configs / 'defect_yolox.py'))
    cfg.merge_from_dict(
        {
            'work_dir': str(tmp_path),
            'train_dataloader.batch_sampler.num_batches': 3,
            'train_cfg.max_epochs': 3,
            'train_cfg.val_interval': 3,
            'val_dataloader.dataset.indices': 40,
            # So little trained, it is never as sure as 0.01.
            'model.test_cfg.score_thr': 0.0,
        }
    )
    runner = Runner.from_cfg(cfg)
    record = RecordBatches()
    runner.register_hook(record)
    runner.train()

    annotations = json.loads((TILES / 'annotations/train_3pct.json').read_text())
    defect_ids = {a['image_id'] for a in annotations['annotations']}
    assert [sum(i in defect_ids for i in batch) for batch in record.batches] == [3] * 9
    scalars = runner.message_hub.log_scalars
    assert (scalars['train/quota/delivered'].data[0] == 3).all()
    assert np.isfinite(scalars['train/loss'].data[0]).all()
    assert 'val/coco/bbox_mAP_50' in scalars


def test_exposures_of_one_part_in_both_splits_are_asked_about():
    def photographs(split):
        content = json.loads((TILES / f'annotations/{split}.json').read_text())
        defects = {annotation['image_id'] for annotation in content['annotations']}
        paths = (
            (f'{TILES}/images/{i["file_name"]}', i['id']) for i in content['images']
        )
        return {path: number in defects for path, number in paths}

    (asked,) = check_look_alikes(photographs('val'), photographs('train_3pct'), '')
    assert '114 of 190 normal and 32 of 364 with a defect' in asked.what
    for split in ('parts1', 'parts2', 'parts3'):
        ours, theirs = photographs(f'{split}_val'), photographs(f'{split}_train')
        assert list(check_look_alikes(ours, theirs, '')) == []
