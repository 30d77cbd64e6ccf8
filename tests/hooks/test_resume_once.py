"""After a resume, everything that an uninterrupted run would do happens, and once."""

from __future__ import annotations

from inspect import signature

import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.runner import IterBasedTrainLoop
from tiny_runner import Items, train
from torch.utils.data import DataLoader

from mmdefect import DefectPoolSampler, QuotaBatchSampler
from mmdefect.hooks.loops import VALIDATES_LAST

EPOCHS = dict(type='EpochBasedTrainLoop', max_epochs=3)
ITERATIONS = dict(type='IterBasedTrainLoop', max_iters=18, val_interval=4)
EACH_EPOCH = dict(type='CheckpointHook', by_epoch=True, interval=1)
# By name: options of a training, and how often it validates.
LOOPS = {
    'epoch loop': (dict(train_cfg=EPOCHS, hooks=[EACH_EPOCH]), 3),
    'epoch loop that validates every other epoch': (
        dict(train_cfg=dict(EPOCHS, val_interval=2), hooks=[EACH_EPOCH]),
        1 + VALIDATES_LAST,
    ),
    'iteration loop': (dict(train_cfg=ITERATIONS), 4 + VALIDATES_LAST),
    'infinite iteration loop': (
        dict(train_cfg=ITERATIONS, infinite=True),
        4 + VALIDATES_LAST,
    ),
    'quota over three batches': (
        dict(train_cfg=EPOCHS, hooks=[EACH_EPOCH], quota=2, over=12),
        3,
    ),
    'schedule': (
        dict(
            train_cfg=ITERATIONS,
            hooks=[
                dict(
                    type='QuotaScheduleHook',
                    milestones=[(0, 1), (8, 2), (14, None)],
                    by_epoch=False,
                )
            ],
        ),
        4 + VALIDATES_LAST,
    ),
}


@pytest.fixture(autouse=True)
def one_run_a_second():
    """Not here: each run has a name of its own."""


@pytest.fixture(autouse=True)
def no_pause_between_epochs(monkeypatch):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)


def kept(folder):
    """Checkpoints by the number of lines in the diary when each was written."""
    paths = {int(path.stem): path for path in folder.glob('*.pth')}
    return dict(sorted(paths.items()))


@pytest.mark.parametrize('loop', LOOPS)
def test_a_run_resumed_anywhere_does_what_was_left_line_by_line(tmp_path, loop):
    options, validations = LOOPS[loop]
    keep = tmp_path / 'keep'
    keep.mkdir()
    whole = train(tmp_path, keep=keep, **options)
    assert sum('batch' in line for line in whole) == 18
    assert sum('validated' in line for line in whole) == validations
    checkpoints = kept(keep)
    assert len(checkpoints) > 18  # after each iteration, and again after the best ones
    best = [line.split()[-1] for line in whole if ': saved best' in line]
    for written, path in checkpoints.items():
        for name in best:  # MMEngine 0.7 stops where the best one of before is gone
            (tmp_path / name).touch()
        rest = train(tmp_path, resume=path, **options)
        assert rest == whole[written:], f'resumed after: {whole[written - 1]}'


@pytest.mark.skipif(
    'fast_forward_on_resume' not in signature(IterBasedTrainLoop).parameters,
    reason='an option of onedl-mmengine',
)
def test_a_loop_that_skips_no_batches_itself_trains_on_those_that_were_left(tmp_path):
    loop = dict(ITERATIONS, fast_forward_on_resume=True)
    whole = train(tmp_path, loop)
    rest = train(tmp_path, loop, resume=tmp_path / 'iter_9.pth')
    assert images(rest) == images(whole)[9:]


def test_a_checkpoint_of_0_1_at_the_end_of_an_epoch_goes_on_with_that_end(tmp_path):
    # It does not say whether it was validated.
    keep = tmp_path / 'keep'
    keep.mkdir()
    options, _ = LOOPS['epoch loop']
    whole = train(tmp_path, keep=keep, **options)
    written = next(n for n in kept(keep) if 'saved iter_6' in whole[n - 1])
    checkpoint = torch.load(kept(keep)[written], weights_only=False)
    del checkpoint['quota_batch_sampler']['validated']
    torch.save(checkpoint, tmp_path / 'old.pth')
    assert train(tmp_path, resume=tmp_path / 'old.pth', **options) == whole[written:]


# --- which seed it goes on with ----------------------------------------------


ONE_EPOCH = dict(type='EpochBasedTrainLoop', max_epochs=1)
NONE = dict(randomness=dict(seed=None))


def train_with(tmp_path, options, resume=None):
    if 'by_hand' in options:
        sampler = DefectPoolSampler(Items(), seed=options['by_hand'])
        loader = DataLoader(
            Items(),
            batch_sampler=QuotaBatchSampler(sampler, 4, 1),
            collate_fn=default_collate,
        )
        options = dict(NONE, train_dataloader=loader)
    return train(tmp_path, ONE_EPOCH, resume, **options)


def images(lines):
    return [line.split('batch ')[1].split(']')[0] for line in lines if 'batch ' in line]


@pytest.mark.parametrize(
    ('then', 'now'),
    [
        (dict(NONE, sampler__seed=7), dict(NONE, sampler__seed=8)),
        (dict(randomness=dict(seed=7)), dict(NONE, sampler__seed=8)),
        (dict(randomness=dict(seed=7)), dict(randomness=dict(seed=8))),
        (
            dict(randomness=dict(seed=1), sampler__seed=7),
            dict(randomness=dict(seed=1), sampler__seed=8),
        ),
        (dict(by_hand=7), dict(by_hand=8)),
    ],
    ids=['sampler', 'run, then sampler', 'run', 'sampler of one run', 'built by hand'],
)
def test_another_seed_in_the_config_is_refused_with_the_line_that_goes_on(
    tmp_path, then, now
):
    train_with(tmp_path, then)
    with pytest.raises(ValueError, match='seed then 7, now 8') as caught:
        train_with(tmp_path, now, resume=tmp_path / 'iter_3.pth')
    assert 'Set train_dataloader.sampler.seed=7.' in str(caught.value)


@pytest.mark.parametrize(
    ('then', 'now'),
    [
        (NONE, NONE),
        (dict(NONE, sampler__seed=7), NONE),
        (dict(randomness=dict(seed=7)), NONE),
        (dict(randomness=dict(seed=1), sampler__seed=7), dict(NONE, sampler__seed=7)),
        (
            dict(randomness=dict(seed=7, diff_rank_seed=True)),
            dict(randomness=dict(seed=7, diff_rank_seed=True)),
        ),
        (dict(by_hand=None), dict(by_hand=None)),
    ],
    ids=['none', 'no more', 'none for the run', 'the same', 'by rank', 'by hand'],
)
def test_without_a_seed_in_the_config_a_run_goes_on_with_that_of_the_checkpoint(
    tmp_path, then, now
):
    whole = images(train_with(tmp_path, then))
    rest = train_with(tmp_path, now, resume=tmp_path / 'iter_3.pth')
    assert images(rest) == whole[3:]
