"""An interrupted run goes on with the very next batch."""

from __future__ import annotations

import pytest
import torch
from mmengine.runner import Runner
from runner_configs import RecordBatches, small_config

LOOPS = {
    'epoch loop': {},
    'iteration loop': dict(
        train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=12)
    ),
    'infinite iteration loop': dict(
        train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=12),
        train_dataloader__batch_sampler__infinite=True,
    ),
}


def train(cfg):
    runner = Runner.from_cfg(cfg)
    record = RecordBatches()
    runner.register_hook(record)
    runner.train()
    return record.batches


def saving_config(synthetic, work_dir, **options):
    cfg = small_config(synthetic, work_dir, **options)
    cfg.custom_hooks = [dict(type='QuotaResumeHook')]
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=1, save_best=None
    )
    return cfg


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('loop', LOOPS)
def test_a_resumed_run_trains_on_the_batches_that_were_left(
    synthetic, tmp_path, loop, workers
):
    cfg = saving_config(
        synthetic,
        tmp_path,
        train_dataloader__num_workers=workers,
        train_dataloader__persistent_workers=workers > 0,
        **LOOPS[loop],
    )
    whole = train(cfg)
    assert len(whole) == 12
    # one in the middle of the first epoch, one at its end, one in the second
    for done in (2, 6, 9) if workers == 0 else (4,):
        cfg.resume, cfg.load_from = True, str(tmp_path / f'iter_{done}.pth')
        assert train(cfg) == whole[done:]


def test_a_run_without_a_fixed_seed_goes_on_with_the_seed_it_had(synthetic, tmp_path):
    cfg = saving_config(synthetic, tmp_path)
    cfg.randomness = dict(seed=None)
    whole = train(cfg)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_5.pth')
    assert train(cfg) == whole[5:]


def test_a_changed_annotation_file_is_refused_with_what_changed(synthetic, tmp_path):
    cfg = saving_config(synthetic, tmp_path)
    train(cfg)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_5.pth')
    cfg.train_dataloader.dataset.dataset.indices = 200
    with pytest.raises(ValueError, match='images then 300, now 200'):
        train(cfg)


def test_a_checkpoint_of_an_older_run_goes_on_from_its_iteration_count(
    synthetic, tmp_path
):
    cfg = saving_config(synthetic, tmp_path)
    whole = train(cfg)
    path = tmp_path / 'iter_5.pth'
    checkpoint = torch.load(path)
    del checkpoint['quota_batch_sampler']
    torch.save(checkpoint, path)
    cfg.resume, cfg.load_from = True, str(path)
    assert train(cfg) == whole[5:]
    logs = [log.read_text() for log in tmp_path.glob('*/*.log')]
    assert any('going on from its iteration count, 5' in log for log in logs)
