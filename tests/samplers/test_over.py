"""A quota over more than one batch, in the class that a config names."""

from __future__ import annotations

from itertools import chain, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_samplers import epochs, make, through_json

OVER = 'train_dataloader.batch_sampler.over'


@pytest.fixture(scope='module')
def dataset(annotated):
    """390 images: every 13th shows a crack, every 17th a dent."""
    return annotated([[0] * (i % 13 == 0) + [1] * (i % 17 == 0) for i in range(390)])


def ranks_of(dataset, batch_size, world_size, schedule=(), **options):
    """The batch samplers of all ranks."""
    for rank in range(world_size):
        batch_sampler = make(
            dataset, batch_size=batch_size, rank=rank, world_size=world_size, **options
        )
        if schedule:
            steps = options['over'] / (batch_size * world_size)
            batch_sampler.set_schedule([(int(n * steps), q) for n, q in schedule])
        yield batch_sampler


def images_of(iterations):
    """All images in the order of the run: step by step, rank by rank."""
    return list(chain(*chain(*zip(*iterations))))


def groups_of(images, over):
    return [sorted(images[i : i + over]) for i in range(0, len(images), over)]


layouts = st.tuples(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4]))
settings = st.fixed_dictionaries(
    dict(
        quota=st.sampled_from([1, 3, 0.25, None, dict(crack=2, dent=1), dict(hard=3)]),
        over=st.sampled_from([8, 16, 32]),
        drop_last=st.booleans(),
        num_batches=st.sampled_from([None, 32, 64]),
        replacement=st.booleans(),
        pools=st.just(dict(hard=[1, 2, 3])),
    )
)


@given(options=settings, layout=layouts, epoch=st.integers(0, 9))
def test_every_rank_yields_full_batches_and_every_group_its_quota(
    dataset, options, layout, epoch
):
    samplers = ranks_of(dataset, *layout, **options)
    ranks = [next(epochs(sampler, [epoch])) for sampler in samplers]
    (length,) = {len(rank) for rank in ranks}
    assert length == len(next(ranks_of(dataset, *layout, **options)))
    assert {len(batch) for rank in ranks for batch in rank} == {layout[0]}
    assert {type(i) for rank in ranks for batch in rank for i in batch} == {int}
    images, over, quota = images_of(ranks), options['over'], options['quota']
    assert len(images) % over == 0
    count = sum(quota.values()) if isinstance(quota, dict) else quota
    count = int(over * count) if count == 0.25 else count
    hard = options['pools']['hard']
    for group in groups_of(images, over):
        drawn = [i for i in group if dataset.images[i] or i in hard]
        assert quota is None or len(drawn) == count


@given(options=settings, layout=layouts, epoch=st.integers(0, 9))
def test_infinite_is_the_epochs_in_a_row(dataset, options, layout, epoch):
    rows = [
        list(chain(*epochs(rank, range(epoch, epoch + 2))))
        for rank in ranks_of(dataset, *layout, **options)
    ]
    endless = list(ranks_of(dataset, *layout, infinite=True, **options))
    for rank in endless:
        rank.sampler.set_epoch(epoch)
    assert [list(islice(r, len(row))) for r, row in zip(endless, rows)] == rows


@given(
    options=settings,
    layout=layouts,
    resumed=layouts,
    schedule=st.booleans(),
    groups=st.integers(0, 5),
    inside=st.integers(0, 31),
)
def test_a_run_goes_on_with_other_ranks_batches_and_accumulation(
    dataset, options, layout, resumed, schedule, groups, inside
):
    # Where a step of both begins: in the middle of a group too.
    over, steps = options['over'], [a * b for a, b in (layout, resumed)]
    both = int(np.lcm(*steps))
    done = (groups * over + inside) // both * both
    if any(over % step and step % over for step in steps):
        return
    plan = dict(options)
    if options['num_batches'] is not None:  # as many images in an epoch
        plan['num_batches'] = options['num_batches'] * 32 // steps[0]
        other = dict(options, num_batches=options['num_batches'] * 32 // steps[1])
    else:
        other = dict(options)
    milestones = [(2, 1), (5, None)] if schedule else ()
    stopped = list(ranks_of(dataset, *layout, schedule=milestones, **plan))
    begun = [iter(rank) for rank in stopped]
    seen = images_of([list(islice(rank, done // steps[0])) for rank in begun])
    state = through_json(stopped[0].state_dict())
    rest = images_of(map(list, begun))

    anew = list(ranks_of(dataset, *resumed, schedule=milestones, **other))
    same_epochs = len(anew[0]) * steps[1] == len(stopped[0]) * steps[0]
    if not same_epochs and (
        schedule or not options['replacement'] or plan['num_batches']
    ):
        with pytest.raises(ValueError, match='groups per epoch'):
            anew[0].load_state_dict(state)
        return
    for rank in anew:
        rank.load_state_dict(state)
    again = images_of(map(list, anew))
    length = min(len(rest), len(again))  # the tail of an epoch is that of its steps
    assert same_epochs == (len(rest) == len(again))
    whole = groups_of(seen + rest[:length], over)
    assert groups_of(seen + again[:length], over) == whole
    if same_epochs:
        nexts = [
            images_of([next(epochs(r, [1])) for r in rs]) for rs in (stopped, anew)
        ]
        assert groups_of(nexts[0], over) == groups_of(nexts[1], over)


# What version 0.1 saved after four steps of two ranks, and of one.
SAVED = {
    'epoch': 1,
    'step': 4,
    'fingerprint': {
        'images': 52,
        'pools': {'normal': 45, 'defect': 7, 'crack': 4, 'dent': 4},
        'indices in the pools (checksum)': 1638603953,
        'images per step over all ranks': [[0, {'defect': 2, 'normal': 4}]],
        'draws': {'defect': 'independent', 'normal': 'pass'},
        'steps per epoch': 11,
        'drop_last': True,
        'seed': 3,
    },
}
CYCLES = {
    **SAVED['fingerprint'],
    'draws': {'defect': 'independent', 'normal': 'cycles'},
    'steps per epoch': 5,
}


@pytest.mark.parametrize(
    ('state', 'options', 'batch'),
    [
        (SAVED, dict(), [17, 15, 0, 9, 49, 38]),
        (SAVED, dict(over=6), [17, 15, 0, 9, 49, 38]),
        (
            {**SAVED, 'fingerprint': CYCLES},
            dict(num_batches=5),
            [17, 16, 0, 25, 46, 36],
        ),
    ],
    ids=['plain', 'over', 'num_batches'],
)
def test_a_run_of_the_release_before_goes_on(few_defects, state, options, batch):
    resumed = make(few_defects, **options)
    resumed.load_state_dict(state)
    assert next(iter(resumed)) == batch


def test_a_run_of_the_release_before_goes_on_in_smaller_batches(few_defects):
    ranks = list(ranks_of(few_defects, 1, 3, over=6))
    for rank in ranks:
        rank.load_state_dict(SAVED)
        assert rank.state_dict()['step'] == 8
    images = images_of([list(islice(rank, 2)) for rank in ranks])
    assert sorted(images) == sorted([17, 15, 0, 9, 49, 38])


@pytest.mark.parametrize(
    ('quota', 'advised'),
    [(2, 'quota=2'), (None, 'quota=None'), (dict(crack=1, dent=1), "'crack': 2")],
    ids=str,
)
def test_a_run_that_cannot_go_on_is_told_the_over_with_which_it_can(
    few_defects, quota, advised
):
    two = 2 if isinstance(quota, dict) else 1
    state = make(few_defects, quota, batch_size=6, world_size=two).state_dict()
    other = make(few_defects, quota, batch_size=6, world_size=4)
    with pytest.raises(ValueError, match=f'over={6 * two}, ') as caught:
        other.load_state_dict(state)
    assert advised in str(caught.value)


def test_a_state_inside_a_step_is_refused_with_the_batches_to_take(few_defects):
    stopped = make(few_defects, 2, batch_size=2, over=8)
    list(islice(stopped, 3))
    resumed = make(few_defects, 2, batch_size=2, over=8, world_size=4)
    with pytest.raises(ValueError, match='after 6 images') as caught:
        resumed.load_state_dict(stopped.state_dict())
    for words in ('step of 4 ranks x batch_size=2', 'Go on with steps of 2'):
        assert words in str(caught.value)


def test_another_over_or_quota_is_refused(few_defects):
    state = make(few_defects, 2, batch_size=2, over=8).state_dict()
    for options in (dict(quota=4, over=16), dict(quota=3, over=8), dict(quota=1)):
        with pytest.raises(ValueError, match='images per group then'):
            make(few_defects, batch_size=2, **options).load_state_dict(state)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(over=7), ['over=7', 'a step is batch_size=2', f'{OVER} to 6 or 8']),
        (dict(over=12, world_size=4), ['4 ranks', f'{OVER} to 8 or 16']),
        (
            dict(over=8, quota=8),
            ['quota=8 takes 8 of over=8 images', 'at most 7', OVER],
        ),
        (dict(quota=2), ['a batch of 2', 'train_dataloader.batch_size', OVER]),
        (dict(quota=0.1), ['quota=0.1 of a batch of 2', f'{OVER} to 10']),
        (dict(quota=0.1, over=4), ['over=4 images is 0.4 images', f'{OVER} to 20']),
        (dict(over=8, num_batches=6), ['num_batches=6', '4 steps', 'to 4 or 8']),
        (dict(over=128, quota=1), ['127', 'one group of over=128 images', OVER]),
    ],
    ids=str,
)
def test_an_over_that_does_not_fit_is_refused_with_numbers_that_do(
    few_defects, options, words
):
    with pytest.raises(ValueError, match='train_dataloader') as caught:
        make(few_defects, **{**dict(quota=1, batch_size=2), **options})
    assert '\n' not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_a_tenth_of_the_images_may_be_defects_in_small_batches(few_defects):
    batch_sampler = make(few_defects, 0.1, batch_size=4, over=20)
    for group in groups_of(images_of([list(batch_sampler)]), 20):
        assert sum(bool(few_defects.images[i]) for i in group) == 2


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (
            dict(quota=3, batch_size=1),
            'every 8 images = 5 normal + 3 defect, in 8 batches of 1 with 0 or 1 not '
            'normal; 72 batches per epoch;',
        ),
        (
            dict(quota=4, batch_size=2, world_size=2),
            'every 8 images = 4 normal + 4 defect, in 4 batches of 2 (2 ranks x 2 '
            'steps) with 1 not normal; 22 batches per epoch on each of 2 ranks;',
        ),
        (
            dict(quota=dict(crack=1, dent=2), batch_size=4, world_size=4),
            'every 8 images = 5 normal + 1 crack + 2 dent, in 2 batches of 4 with 1 or '
            '2 not normal; 4 batches per epoch on each of 4 ranks;',
        ),
        (
            dict(quota=None, batch_size=4),
            'every 8 images = 8 all, in 2 batches of 4; 12 batches per epoch; without',
        ),
    ],
    ids=str,
)
def test_one_line_says_what_a_user_got_over_several_batches(
    few_defects, log, options, said
):
    make(few_defects, over=8, **options)
    assert said in log[0]
    assert 'without a quota 31 % of groups would hold no defect' in log[0]


def test_the_line_counts_the_draws_of_all_groups(few_defects, log):
    make(few_defects, 3, batch_size=2, world_size=4, over=8)
    assert '; 9 batches per epoch on each of 4 ranks; ' in log[0]
    assert f'drawn about {3 * 9 / 7:.3g} times per epoch' in log[0]


def test_a_schedule_changes_the_quota_at_the_borders_of_groups(few_defects):
    batch_sampler = make(few_defects, 3, batch_size=2, over=8, num_batches=16)
    batch_sampler.set_schedule([(8, 1), (20, 5)])
    images = images_of([list(chain(*epochs(batch_sampler, range(2))))])
    shown = [sum(bool(few_defects.images[i]) for i in g) for g in groups_of(images, 8)]
    assert shown == [3, 3, 1, 1, 1, 5, 5, 5]
    with pytest.raises(ValueError, match='step 9: expected the first step of a group'):
        batch_sampler.set_schedule([(9, 1)])
