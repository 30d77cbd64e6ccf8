"""The samplers in MMEngine's Runner, with a real YOLOX on real files."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from runner_configs import ROOT, RecordBatches, point_to, small_config


def train(cfg):
    runner = Runner.from_cfg(cfg)
    record = RecordBatches()
    runner.register_hook(record)
    runner.train()
    return record.batches


def defects_per_batch(batches, defect_ids):
    return [sum(image in defect_ids for image in batch) for batch in batches]


@pytest.mark.parametrize(
    'workers', [0, 2], ids=['in the main process', 'with two persistent workers']
)
def test_the_model_gets_the_quota_in_every_batch(
    synthetic, defect_ids, tmp_path, workers
):
    batches = train(
        small_config(
            synthetic,
            tmp_path,
            train_dataloader__num_workers=workers,
            train_dataloader__persistent_workers=workers > 0,
        )
    )
    assert defects_per_batch(batches, defect_ids) == [3] * 12
    assert {len(batch) for batch in batches} == {8}


def test_epochs_differ_and_a_run_can_be_repeated(synthetic, tmp_path):
    first = train(small_config(synthetic, tmp_path / 'a'))
    again = train(
        small_config(synthetic, tmp_path / 'b', train_dataloader__num_workers=1)
    )
    other = train(small_config(synthetic, tmp_path / 'c', randomness=dict(seed=6)))
    assert first == again
    assert first != other
    assert first[:6] != first[6:]


def test_an_epoch_shows_each_normal_image_once(synthetic, defect_ids, tmp_path):
    cfg = small_config(synthetic, tmp_path, train_cfg__max_epochs=1)
    cfg.train_dataloader.batch_sampler.num_batches = None
    cfg.model.data_preprocessor.batch_augments = None
    batches = train(cfg)
    normal = [i for batch in batches for i in batch if i not in defect_ids]
    assert len(batches) == (300 - len(defect_ids)) // 5
    assert len(normal) == len(set(normal)) == 5 * len(batches)


def test_the_iteration_based_loop_gets_the_quota(synthetic, defect_ids, tmp_path):
    batches = train(
        small_config(
            synthetic,
            tmp_path,
            train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=14),
            train_dataloader__batch_sampler__infinite=True,
            custom_hooks=[],
        )
    )
    assert defects_per_batch(batches, defect_ids) == [3] * 14
    normal = [i for batch in batches for i in batch if i not in defect_ids]
    assert len(normal) == len(set(normal))


# Each class by itself, not by its name.
PURE_PYTHON = """
from mmengine.config import read_base
from mmengine.hooks import CheckpointHook

with read_base():
    from .base import *

from mmdefect import (
    DefectPoolSampler,
    DefectPreservingDataset,
    QuotaBatchSampler,
    QuotaMonitorHook,
    QuotaResumeHook,
)

train_dataloader['sampler'] = dict(type=DefectPoolSampler)
train_dataloader['batch_sampler'] = dict(
    type=QuotaBatchSampler, quota=2, num_batches=4)
train_dataloader['dataset'].update(type=DefectPreservingDataset)
custom_hooks = [dict(type=QuotaMonitorHook), dict(type=QuotaResumeHook)]
default_hooks.update(
    checkpoint=dict(type=CheckpointHook, by_epoch=False, interval=3))
"""


def test_a_pure_python_config_trains_monitors_and_resumes(
    synthetic, defect_ids, tmp_path
):
    small_config(synthetic, tmp_path / 'run').dump(f'{tmp_path}/base.py')
    (tmp_path / 'pure.py').write_text(PURE_PYTHON)
    cfg = Config.fromfile(str(tmp_path / 'pure.py'))
    assert not isinstance(cfg.train_dataloader.sampler.type, str)
    runner, record = Runner.from_cfg(cfg), RecordBatches()
    runner.register_hook(record)
    runner.train()
    assert defects_per_batch(record.batches, defect_ids) == [2] * 8
    delivered, _ = runner.message_hub.get_scalar('train/quota/delivered').data
    assert delivered.tolist() == [2] * 8
    cfg.resume, cfg.load_from = True, f'{tmp_path}/run/iter_3.pth'
    assert train(cfg) == record.batches[3:]


def test_deleting_the_two_sampler_lines_trains_the_stock_way(synthetic, tmp_path):
    source = (ROOT / 'configs/defect_yolox.py').read_text().splitlines()
    kept = [line for line in source if "Sampler'" not in line]
    assert len(source) - len(kept) == 2
    stock = tmp_path / 'stock.py'
    stock.write_text('\n'.join(kept))
    cfg = Config.fromfile(str(stock))
    point_to(cfg, synthetic)
    cfg.work_dir = str(tmp_path)
    loader = Runner.from_cfg(cfg).build_dataloader(cfg.train_dataloader, seed=0)
    assert type(loader.sampler).__name__ == 'DefaultSampler'
    assert len(loader) == 300 // 8 + 1


def test_validation_and_test_data_stay_as_they_are(synthetic, tmp_path):
    cfg = Config.fromfile(str(ROOT / 'configs/defect_yolox.py'))
    point_to(cfg, synthetic)
    cfg.work_dir = str(tmp_path)
    for dataloader in (cfg.val_dataloader, cfg.test_dataloader):
        loader = Runner.from_cfg(cfg).build_dataloader(dataloader)
        assert list(loader.sampler) == list(range(40))


def test_a_forgotten_batch_sampler_is_told_before_training(synthetic, tmp_path):
    cfg = small_config(synthetic, tmp_path)
    cfg.train_dataloader.pop('batch_sampler')
    cfg.custom_hooks = []
    with pytest.raises(
        ValueError, match=r"batch_sampler=dict\(type='QuotaBatchSampler"
    ):
        train(cfg)


def test_a_sampler_left_at_default_is_told_before_training(synthetic, tmp_path):
    cfg = small_config(synthetic, tmp_path)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    with pytest.raises(TypeError, match=r"sampler=dict\(type='DefectPoolSampler'\)"):
        train(cfg)


def run(*command, cwd, **kwargs):
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1'}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        **kwargs,
    )
    assert result.returncode == 0, result.stdout[-3000:]
    return result.stdout


def test_the_command_that_users_type_trains_with_their_options(synthetic, tmp_path):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/synthetic').symlink_to(synthetic)
    mim = os.path.join(os.path.dirname(sys.executable), 'mim')
    mmdet = 'mmdet' if os.environ.get('MMDEFECT_STACK') != 'onedl' else 'mmdetection'
    out = run(
        *(mim, 'train', mmdet, 'configs/defect_yolox.py', '--auto-scale-lr'),
        '--cfg-options',
        'train_dataloader.batch_sampler.quota=2',
        'train_dataloader.batch_sampler.num_batches=4',
        *('train_cfg.max_epochs=1', 'train_cfg.val_interval=1'),
        *('default_hooks.logger.interval=1', 'auto_scale_lr.base_batch_size=16'),
        # So little trained, it is never as sure as 0.01.
        *('model.test_cfg.score_thr=0.0', 'randomness.seed=0'),
        cwd=tmp_path,
    )
    assert 'each batch of 8 = 6 normal + 2 defect; 4 batches per epoch' in out
    assert 'Scaling the original LR by 0.5' in out
    assert '[1][4/4]' in out
    assert 'coco/bbox_mAP_50' in out

    out = run(
        *(sys.executable, '-m', 'mmdefect', 'show', 'work_dirs/defect_yolox'),
        cwd=tmp_path,
    )
    assert 'AP50: ' in out
    assert 'recall (AR@100, IoU 0.50:0.95): ' in out
    picture = cv2.imread(str(tmp_path / 'work_dirs/defect_yolox/detections.png'))
    assert picture.std() > 10
