"""A run goes on in batches of another size, accumulated to the same optimizer step."""

from __future__ import annotations

import re
from itertools import chain

import pytest
import torch
from tiny_runner import Items, train

# 60 images, 12 with a defect; 96 images an epoch, in optimizer steps of 16.
SIZE, STEP = 96, 16
LOOPS = {
    'epoch loop': lambda steps: dict(type='EpochBasedTrainLoop', max_epochs=2),
    'iteration loop': lambda steps: dict(
        type='IterBasedTrainLoop', max_iters=2 * steps, val_interval=steps
    ),
}


@pytest.fixture(autouse=True)
def one_run_a_second():
    """Not here: each run has a name of its own."""


@pytest.fixture(autouse=True)
def no_pause_between_epochs(monkeypatch):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)


def run(folder, loop, batch_size, over, **options):
    """Images in the order of the run, and what happened beside training."""
    steps = SIZE // batch_size
    lines = train(
        folder,
        LOOPS[loop](steps),
        batch_size=batch_size,
        accumulated=STEP // batch_size,
        num_batches=steps,
        quota=5 * over // 16,
        over=over,
        infinite=loop == 'iteration loop',
        **options,
    )
    images = [
        re.findall(r'\d+', line.split('[')[1].split(']')[0])
        for line in lines
        if 'batch' in line
    ]
    others = [line.rpartition(': ')[2] for line in lines if 'end of' in line]
    return [int(index) for index in chain(*images)], others


def groups_of(images, over):
    return [sorted(images[i : i + over]) for i in range(0, len(images), over)]


@pytest.mark.parametrize('loop', LOOPS)
@pytest.mark.parametrize(
    ('batch_size', 'smaller', 'over', 'done'),
    [
        (8, 2, 16, 2),
        (8, 2, 32, 2),  # in the middle of a group
        (2, 8, 16, 8),
        (4, 1, 32, 12),
        (1, 16, 48, 16),
        (8, 4, 16, 12),  # the end of an epoch
    ],
    ids=str,
)
def test_a_run_goes_on_with_batches_of_another_size(
    tmp_path, loop, batch_size, smaller, over, done
):
    whole, happened = run(tmp_path, loop, batch_size, over)
    assert len(whole) == 2 * SIZE
    images = Items().images
    for group in groups_of(whole, over):
        assert sum(bool(images[index]) for index in group) == 5 * over // 16
    checkpoint = tmp_path / f'iter_{done}.pth'
    rest, left = run(tmp_path, loop, smaller, over, resume=checkpoint)
    seen = whole[: done * batch_size]
    assert groups_of(seen + rest, over) == groups_of(whole, over)
    assert left[-2:] == happened[-2:]


def test_the_log_says_which_iteration_it_is_now(tmp_path, monkeypatch):
    run(tmp_path, 'epoch loop', 8, 32)
    told = []
    monkeypatch.setattr(
        'mmdefect.hooks.steps.print_log', lambda text, **options: told.append(text)
    )
    run(tmp_path, 'epoch loop', 2, 32, resume=tmp_path / 'iter_3.pth')
    (text,) = told
    assert 'saved after 3 iterations' in text
    assert 'as many images take 12' in text


@pytest.mark.parametrize('done', [11, 12, 13])  # 12 is the end of an epoch
def test_each_epoch_ends_once_for_the_learning_rate(tmp_path, done):
    def rates(lines):
        found = [re.search(r'iter (\d+) lr (\S+) .*batch', line) for line in lines]
        return {int(one[1]): one[2] for one in found if one}

    def go(folder, batch_size, **options):
        steps = SIZE // batch_size
        # The schedule would end with the second epoch, and its second step with it.
        loop = dict(LOOPS['epoch loop'](steps), max_epochs=3)
        options.update(num_batches=steps, quota=5, over=16)
        return train(folder, loop, batch_size=batch_size, **options)

    kept = tmp_path / 'kept'
    kept.mkdir()
    go(tmp_path / 'first', 8, keep=kept)
    # As it was first written, before the epoch ended: its end is still to come.
    copies = sorted(kept.glob('*.pth'), key=lambda path: int(path.stem))
    iterations = [
        torch.load(path, weights_only=False)['meta']['iter'] for path in copies
    ]
    whole = rates(go(tmp_path / 'whole', 4))
    rest = rates(go(tmp_path / 'rest', 4, resume=copies[iterations.index(done)]))
    assert rest == {n: rate for n, rate in whole.items() if n >= 2 * done}
