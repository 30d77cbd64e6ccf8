"""Real photographs: https://doi.org/10.1007/s00371-018-1588-5, beside the project."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from runner_configs import ROOT, RecordBatches, edit_configs

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
