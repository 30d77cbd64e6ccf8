"""A run goes on in steps of another size."""

from __future__ import annotations

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from runner_configs import RecordBatches, small_config

GROUP, STEPS = 8, 4  # images of a group, groups of an epoch


class RecordRates(Hook):
    """The learning rate of each iteration, by its number."""

    priority = 'VERY_HIGH'

    def __init__(self):
        self.rates = {}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        (rate, *_) = runner.optim_wrapper.get_lr()['lr']
        self.rates[runner.iter] = rate


def config(synthetic, work_dir, batch_size, by_epoch):
    times = GROUP // batch_size
    steps = STEPS * times
    cfg = small_config(
        synthetic,
        work_dir,
        train_dataloader__batch_size=batch_size,
        train_dataloader__batch_sampler__over=GROUP,
        train_dataloader__batch_sampler__num_batches=steps,
        optim_wrapper__accumulative_counts=times,
    )
    cfg.custom_hooks = [dict(type='QuotaResumeHook')]
    # After five groups, in the second epoch.
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=5 * times
    )
    if not by_epoch:
        cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2 * steps)
        cfg.train_dataloader.batch_sampler.infinite = True
    # One by iteration, one by epoch.
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2 * steps),
        dict(type='StepLR', step_size=1, gamma=0.5, by_epoch=True),
    ]
    return cfg


def train(cfg):
    runner, record, rates = Runner.from_cfg(cfg), RecordBatches(), RecordRates()
    runner.register_hook(record)
    runner.register_hook(rates)
    runner.train()
    images = [image for batch in record.batches for image in batch]
    groups = [images[n : n + GROUP] for n in range(0, len(images), GROUP)]
    return [sorted(group) for group in groups], rates.rates


CASES = [(True, 8, 2), (False, 2, 8), (True, 2, 8), (False, 8, 2)]


@pytest.mark.parametrize(
    ('by_epoch', 'first', 'then'),
    CASES[:1] + [pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:]],
)
def test_a_run_goes_on_in_batches_of_another_size_group_for_group(
    synthetic, tmp_path, by_epoch, first, then
):
    images, _ = train(config(synthetic, tmp_path / 'first', first, by_epoch))
    other, rates = train(config(synthetic, tmp_path / 'then', then, by_epoch))
    assert other == images
    cfg = config(synthetic, tmp_path / 'resumed', then, by_epoch)
    cfg.resume, cfg.load_from = True, f'{tmp_path}/first/iter_{5 * GROUP // first}.pth'
    rest, resumed = train(cfg)
    assert rest == images[5:]
    # Learning rates are those of a run that had steps of this size from the beginning.
    begin = 5 * GROUP // then
    assert resumed == pytest.approx({n: r for n, r in rates.items() if n >= begin})
