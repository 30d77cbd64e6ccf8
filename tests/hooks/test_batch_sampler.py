"""A hook builds the train dataloader anew, and the batches go on from before."""

from __future__ import annotations

from types import SimpleNamespace

import mmyolo_like  # noqa: F401
import pytest
from tiny_runner import train

from mmdefect import DefectPoolSampler, QuotaBatchSampler
from mmdefect.hooks.batch_sampler import SuccessionHook

EPOCHS = dict(type='EpochBasedTrainLoop', max_epochs=3)
SCHEDULE = dict(
    type='QuotaScheduleHook', milestones=[(0, 1), (8, 2), (14, None)], by_epoch=False
)
ANEW = dict(type='BuildsAnewHook', epoch=1)


@pytest.fixture(autouse=True)
def one_run_a_second():
    """Not here: each run has a name of its own."""


@pytest.mark.parametrize('priority', ['VERY_HIGH', 'NORMAL', 'LOWEST'])
def test_seed_schedule_and_place_outlive_the_dataloader(tmp_path, priority):
    """Also in a run that is resumed in the epoch in which it is built anew."""
    keep = tmp_path / 'keep'
    keep.mkdir()
    as_before = train(tmp_path, EPOCHS, hooks=[SCHEDULE])
    hooks = [SCHEDULE, dict(ANEW, priority=priority)]
    assert train(tmp_path, EPOCHS, hooks=hooks, keep=keep) == as_before
    for path in sorted(keep.glob('*.pth'), key=lambda path: int(path.stem))[6:14:3]:
        rest = train(tmp_path, EPOCHS, hooks=hooks, resume=path)
        assert rest == as_before[int(path.stem) :]


def test_a_schedule_of_quotas_is_not_needed(tmp_path):
    hooks = dict(hooks=[ANEW])
    assert train(tmp_path, EPOCHS, **hooks) == train(tmp_path, EPOCHS)


def test_a_dataloader_of_other_settings_is_told(few_defects, log):
    def build(**options):
        return QuotaBatchSampler(
            DefectPoolSampler(few_defects, seed=options.pop('seed', 0)), 6, **options
        )

    before, now = build(quota=2), build(quota=3, seed=9)
    loader = SimpleNamespace(batch_sampler=now)
    runner = SimpleNamespace(train_dataloader=loader, epoch=4)
    log.clear()
    SuccessionHook(before).before_train_epoch(runner)
    (said,) = log
    assert 'epoch 5 begins with a train dataloader built anew' in said
    assert "before [[0, {'defect': 2, 'normal': 4}]], now" in said
    assert 'seed' not in said
