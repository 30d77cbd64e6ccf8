"""The nine promises, on the plan itself."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmdefect.plan.plan import Plan
from mmdefect.plan.quotas import share_images

# The seeds are fixed, so these tests fail for one reason only: other random numbers
# than those measured. Some 100 p-values are looked at; the least would be about 0.01.
ALPHA = 1e-4

PACKAGE = Path(__file__).parents[2] / 'mmdefect'


class Case(NamedTuple):
    """Settings of a plan, and what a batch must hold.

    Args:
        settings (dict): Arguments of ``Plan``.
        counts (dict[str, int]): Images of a batch by pool name.
    """

    settings: dict
    counts: dict

    @property
    def plan(self):
        return Plan(**self.settings)

    @property
    def rest(self):
        return 'all' if self.settings['quota'] is None else 'normal'


def make_pools(rng, normal, crack, dent, both, hard):
    """Pools of a shuffled dataset. ``both`` images show a crack and a dent."""
    sizes = (normal, crack, dent, both, hard)
    order = rng.permutation(sum(sizes))
    normal, crack, dent, both, hard = np.split(order, np.cumsum(sizes)[:-1])
    return {
        'normal': np.sort(normal),
        'defect': np.sort(np.concatenate([crack, dent, both])),
        'crack': np.sort(np.concatenate([crack, both])),
        'dent': np.sort(np.concatenate([dent, both])),
        # a user's list may take in normal images and defects
        'hard': np.sort(np.concatenate([hard, both[:1]])),
        'all': range(len(order)),
    }


@st.composite
def cases(draw, **fixed):
    """Any settings that a user may write, with few images, so that passes are short."""
    batch_size = draw(st.integers(1, 9))
    world_size = draw(st.sampled_from([1, 2, 3, 4, 8]))
    kind = draw(st.sampled_from(['int', 'float', 'dict', 'none']))
    if kind == 'dict':
        counts, left = {}, batch_size - 1
        names = draw(st.permutations(['defect', 'crack', 'dent', 'hard']))
        for name in names[: draw(st.integers(1, 4))]:
            counts[name] = draw(st.integers(0, left))
            left -= counts[name]
        quota: Any = counts
    else:
        counts = {'defect': draw(st.integers(0, batch_size - 1))}
        quota = counts['defect']
        if kind == 'float' and quota:
            quota /= batch_size
        if kind == 'none':
            quota, counts = None, {}
    rest = batch_size - sum(counts.values())
    counts = {name: n for name, n in counts.items() if n}
    counts['all' if quota is None else 'normal'] = rest
    step = rest * world_size
    normal = draw(st.integers(step, 4 * step + 3))
    sizes = [draw(st.integers(1, 6)) for _ in range(4)]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    replacement = draw(st.booleans())
    weights = None
    if replacement and draw(st.booleans()):
        weights = rng.random(normal + sum(sizes)) + 1e-3
    settings = dict(
        pools=make_pools(rng, normal, *sizes),
        quota=quota,
        batch_size=batch_size,
        world_size=world_size,
        seed=draw(st.integers(0, 2**64 - 1)),
        drop_last=draw(st.booleans()),
        num_batches=draw(st.none() | st.integers(1, 12)),
        replacement=replacement,
        weights=weights,
    )
    return Case({**settings, **fixed}, counts)


epochs = st.integers(0, 1000)


def whole_epoch(plan, epoch):
    """All batches of an epoch, of shape (steps, ranks, batch size)."""
    ranks = [plan.batches(epoch, rank, 0, len(plan)) for rank in range(plan.world_size)]
    return np.stack(ranks, axis=1)


def times(indices, pool):
    """How often each image of a pool stands among indices, in the pool's order."""
    counts = Counter(np.ravel(indices).tolist())
    return np.array([counts[index] for index in np.asarray(pool).tolist()])


def holds(batch, counts, pools):
    """Whether the images of a batch can be dealt out so that each quota is met.

    By Hall's theorem they can where each set of quotas finds as many images as it asks
    for; one image never counts twice, since the batch is no longer than the quotas.
    """
    members = {name: set(np.asarray(pools[name]).tolist()) for name in counts}
    for size in range(1, len(counts) + 1):
        for names in itertools.combinations(counts, size):
            union = set().union(*(members[name] for name in names))
            if sum(i in union for i in batch) < sum(counts[name] for name in names):
                return False
    return True


# --- promise 1: the quota ----------------------------------------------------


@given(case=cases(), epoch=epochs)
def test_every_batch_on_every_rank_is_full_and_holds_its_quota(case, epoch):
    batches = whole_epoch(case.plan, epoch)
    size = case.settings['batch_size']
    assert batches.shape == (len(case.plan), case.settings['world_size'], size)
    assert batches.dtype == np.int64
    pools = case.settings['pools']
    for batch in batches.reshape(-1, size).tolist():
        assert holds(batch, case.counts, pools)
        if case.rest == 'normal':
            normal = set(pools['normal'].tolist())
            assert sum(i in normal for i in batch) == case.counts['normal']


@given(case=cases(), epoch=epochs)
def test_an_int_quota_is_that_many_defect_images_and_no_more(case, epoch):
    pools = case.settings['pools']
    for quota in range(case.settings['batch_size']):
        try:
            plan = Plan(**{**case.settings, 'quota': quota})
        except ValueError:
            continue  # too few normal images for one step
        found = np.isin(whole_epoch(plan, epoch), pools['defect']).sum(axis=2)
        assert (found == quota).all()


# --- promise 2: normal images without replacement ----------------------------


@given(case=cases(num_batches=None, drop_last=True), epoch=epochs)
def test_no_normal_image_comes_twice_in_an_epoch_over_all_ranks(case, epoch):
    seen = times(whole_epoch(case.plan, epoch), case.settings['pools'][case.rest])
    if case.rest == 'normal':
        assert seen.max() == 1
    step = case.counts[case.rest] * case.settings['world_size']
    assert seen.sum() == len(seen) // step * step


@given(case=cases(num_batches=None, drop_last=False), epoch=epochs)
def test_without_drop_last_every_normal_image_comes_and_the_head_fills_up(case, epoch):
    batches = whole_epoch(case.plan, epoch)
    pool = case.settings['pools'][case.rest]
    step = case.counts[case.rest] * case.settings['world_size']
    seen = times(batches, pool)
    missing = -len(pool) % step
    assert len(batches) == -(-len(pool) // step)
    assert set(seen.tolist()) <= {1, 2}
    assert (seen == 2).sum() == missing
    first_step = times(batches[:1], pool)
    assert not (seen == 2)[first_step == 0].any()


def test_no_normal_image_is_left_out_for_good():
    # 203 images, 20 a step: each epoch leaves out another three.
    pools = dict(normal=np.arange(203), defect=np.arange(203, 210))
    plan = Plan(pools, 3, 8, world_size=4, seed=1)
    left_out = 400 - sum(
        times(whole_epoch(plan, e), pools['normal']) for e in range(400)
    )
    assert left_out.sum() == 3 * 400
    assert stats.chisquare(left_out).pvalue > ALPHA


@given(case=cases(), data=st.data())
def test_with_num_batches_none_comes_twice_before_all_came_once(case, data):
    steps = data.draw(st.integers(1, 12))
    plan = Plan(**{**case.settings, 'num_batches': steps})
    pool = case.settings['pools'][case.rest]
    seen = np.zeros(len(pool), int)
    for epoch in range(5):
        batches = whole_epoch(plan, epoch)
        assert len(batches) == steps == len(plan)
        for batch in batches:
            seen += times(batch, pool)
            assert seen.max() - seen.min() <= 1


# --- promise 3: draws --------------------------------------------------------


@given(case=cases(replacement=False, weights=None))
def test_cycles_draw_every_image_equally_often_across_epochs(case):
    plan, pools = case.plan, case.settings['pools']
    # Images of one pool only, or a draw could be that of another.
    alone = [name for name in case.counts if name != case.rest]
    if len(alone) != 1 or case.rest == 'all':
        return
    seen = np.zeros(len(pools[alone[0]]), int)
    for epoch in range(4):
        for batch in whole_epoch(plan, epoch):
            seen += times(batch, pools[alone[0]])
            assert seen.max() - seen.min() <= 1


def test_cycles_of_several_pools_are_each_even():
    pools = dict(normal=range(100), crack=range(100, 107), dent=range(107, 112))
    plan = Plan(
        pools, dict(crack=3, dent=2), 8, world_size=2, seed=1, replacement=False
    )
    seen = times([], range(112))
    for epoch in range(3):
        for batch in whole_epoch(plan, epoch):
            seen += times(batch, range(112))
            for name in ('crack', 'dent'):
                assert np.ptp(seen[pools[name]]) <= 1


def drawn(plan, epoch, pool):
    """The places in ``pool`` of its images, of shape (steps, ranks, quota)."""
    batches = whole_epoch(plan, epoch)
    inside = np.isin(batches, pool)
    return np.searchsorted(pool, batches[inside]).reshape(*batches.shape[:2], -1)


LARGE = dict(normal=np.arange(100, 40_100), defect=np.arange(0, 99, 3))


def test_each_defect_image_is_drawn_equally_often():
    places = drawn(Plan(LARGE, 3, 8, seed=3), 0, LARGE['defect'])
    assert stats.chisquare(np.bincount(places.ravel(), minlength=33)).pvalue > ALPHA


def test_weights_decide_how_often_a_defect_image_is_drawn():
    weights = np.zeros(40_100)
    weights[LARGE['defect']] = np.arange(33) % 5
    places = drawn(Plan(LARGE, 3, 8, seed=3, weights=weights), 0, LARGE['defect'])
    counts = np.bincount(places.ravel(), minlength=33)
    odds = np.arange(33) % 5
    assert (counts[odds == 0] == 0).all()
    expected = odds[odds > 0] / odds.sum() * counts.sum()
    assert stats.chisquare(counts[odds > 0], expected).pvalue > ALPHA


def test_equal_weights_draw_uniformly():
    plan = Plan(LARGE, 3, 8, seed=4, weights=np.full(40_100, 0.1))
    places = drawn(plan, 0, LARGE['defect'])
    assert stats.chisquare(np.bincount(places.ravel(), minlength=33)).pvalue > ALPHA


@pytest.mark.parametrize('scale', [1e308, 1e-300])
def test_weights_of_any_size_draw_by_their_ratios(scale):
    weights = np.ones(40_100)
    weights[LARGE['defect']] = 1 + np.arange(33) % 5 / 5
    expected = Plan(LARGE, 3, 8, seed=3, weights=weights)
    found = Plan(LARGE, 3, 8, seed=3, weights=weights * (0.5 * scale))
    assert (whole_epoch(found, 0) == whole_epoch(expected, 0)).mean() > 0.999


def related(one, other, kinds=33):
    table = np.zeros((kinds, kinds), int)
    np.add.at(table, (np.ravel(one), np.ravel(other)), 1)
    return stats.chi2_contingency(table).pvalue


@pytest.mark.parametrize('weighted', [False, True])
def test_a_draw_says_nothing_about_the_next_draw_step_rank_or_epoch(weighted):
    weights = np.ones(40_100) if weighted else None
    plan = Plan(LARGE, 3, 8, world_size=2, seed=6, weights=weights)
    now, later = (drawn(plan, epoch, LARGE['defect']) for epoch in (0, 1))
    other_seed = Plan(LARGE, 3, 8, world_size=2, seed=7, weights=weights)
    assert related(now[:, 0], now[:, 1]) > ALPHA, 'ranks'
    assert related(now[:-1], now[1:]) > ALPHA, 'steps'
    assert related(now, later) > ALPHA, 'epochs'
    assert related(now[..., 0], now[..., 1]) > ALPHA, 'places of a batch'
    assert related(now, drawn(other_seed, 0, LARGE['defect'])) > ALPHA, 'seeds'


def test_the_draws_of_one_class_say_nothing_about_those_of_another():
    pools = dict(normal=range(66, 30_066), crack=np.arange(33), dent=np.arange(33, 66))
    for replacement in (True, False):
        plan = Plan(pools, dict(crack=1, dent=1), 5, seed=8, replacement=replacement)
        batches = np.sort(whole_epoch(plan, 0)[:, 0], axis=1)
        assert related(batches[:, 0], batches[:, 1] - 33) > ALPHA


def test_the_defects_of_a_batch_say_nothing_about_its_normal_images():
    plan = Plan(LARGE, 3, 8, seed=8)
    batches = whole_epoch(plan, 0)[:, 0]
    defects = batches[np.isin(batches, LARGE['defect'])].reshape(-1, 3)[:, 0] // 3
    normal = batches[batches >= 100].reshape(-1, 5)[:, 0]
    assert related(defects, (normal - 100) * 33 // 40_000) > ALPHA


# --- promise 4: the place in the batch ---------------------------------------


@pytest.mark.parametrize(
    'options',
    [
        dict(),
        dict(replacement=False),
        dict(num_batches=6000),
        dict(weights=np.ones(40_100)),
        dict(batch_size=7),
        dict(quota=dict(defect=1, hard=2)),
    ],
    ids=lambda options: ', '.join(options) or 'plain',
)
def test_the_place_in_a_batch_does_not_give_away_a_defect(options):
    pools = {**LARGE, 'hard': np.arange(1, 99, 3)}
    settings = {**dict(quota=3, batch_size=8, seed=5), **options}
    plan = Plan(pools, **settings)
    size = plan.batch_size
    batches = whole_epoch(plan, 1)[:, 0]
    for name in ('defect', 'hard'):
        inside = np.isin(batches, pools[name])
        if not inside.any():
            continue
        assert stats.chisquare(inside.sum(axis=0)).pvalue > ALPHA
        # jointly: which places the defects of a batch have together
        patterns = inside @ (1 << np.arange(size))
        found, counts = np.unique(patterns, return_counts=True)
        in_batch = int(inside[0].sum())
        assert len(found) == len(list(itertools.combinations(range(size), in_batch)))
        assert stats.chisquare(counts).pvalue > ALPHA


def test_the_place_of_a_defect_says_nothing_about_the_next_batch_or_rank():
    plan = Plan(LARGE, 1, 8, world_size=2, seed=5)
    places = np.isin(whole_epoch(plan, 0), LARGE['defect']).argmax(axis=2)
    assert related(places[:, 0], places[:, 1], 8) > ALPHA
    assert related(places[:-1], places[1:], 8) > ALPHA
    again = np.isin(whole_epoch(plan, 1), LARGE['defect']).argmax(axis=2)
    assert related(places, again, 8) > ALPHA


def test_the_place_in_a_batch_says_nothing_about_which_image_it_is():
    plan = Plan(LARGE, 3, 8, seed=5)
    batches = whole_epoch(plan, 0)[:, 0]
    place = np.broadcast_to(np.arange(8), batches.shape)
    inside = batches >= 100
    assert related(place[inside], (batches[inside] - 100) * 8 // 40_000, 8) > ALPHA
    assert related(place[~inside], batches[~inside] * 8 // 100, 8) > ALPHA


def test_a_class_named_like_a_purpose_keeps_its_places_secret():
    # Words of one purpose must not serve another: these names were once the same.
    pools = dict(normal=np.arange(100, 4100), place=np.arange(8))
    plan = Plan(pools, dict(place=4), 8, seed=2, replacement=False)
    batches = whole_epoch(plan, 0)[:, 0]
    inside = batches < 100
    place = np.broadcast_to(np.arange(8), batches.shape)[inside]
    assert related(place, batches[inside], 8) > ALPHA


# --- promise 5: seed and epoch are all that counts ---------------------------


@given(case=cases(), epoch=epochs)
def test_the_same_seed_and_epoch_give_the_same_batches(case, epoch):
    assert np.array_equal(whole_epoch(case.plan, epoch), whole_epoch(case.plan, epoch))


def test_another_seed_or_epoch_gives_other_batches():
    sequences = [
        whole_epoch(Plan(LARGE, 3, 8, seed=seed), epoch)
        for seed in (0, 1, 2**63, 2**64 - 1)
        for epoch in (0, 1, 10**6)
    ]
    for one, other in itertools.combinations(sequences, 2):
        assert (one == other).mean() < 0.05


# --- promise 6: elastic ------------------------------------------------------


@given(case=cases(), epoch=epochs, data=st.data())
def test_more_ranks_with_the_same_global_batch_see_the_same_images(case, epoch, data):
    settings = {**case.settings, 'world_size': 1}
    ranks = data.draw(st.sampled_from([2, 4, 8]))
    counts = {name: n * ranks for name, n in case.counts.items()}
    rest = counts.pop(case.rest)
    quota = None if case.rest == 'all' else counts
    size = rest + sum(counts.values())
    pools = {**settings['pools']}
    # enough normal images for one step of the global batch
    extra = np.arange(10_000, 10_000 + 2 * rest)
    pools['normal'] = np.concatenate([pools['normal'], extra])
    pools['all'] = range(len(pools['all']) + len(extra))
    settings['pools'] = pools
    if settings['weights'] is not None:
        settings['weights'] = np.ones(20_000)
    one = Plan(**{**settings, 'quota': quota, 'batch_size': size})
    for world_size in (2, 4, 8):
        if world_size > ranks:
            break
        share = {name: n // world_size for name, n in counts.items()}
        many = Plan(
            **{
                **settings,
                'quota': None if quota is None else share,
                'batch_size': size // world_size,
                'world_size': world_size,
            }
        )
        assert len(many) == len(one)
        expected = np.sort(whole_epoch(one, epoch).reshape(len(one), -1), axis=1)
        found = np.sort(whole_epoch(many, epoch).reshape(len(one), -1), axis=1)
        assert np.array_equal(found, expected)


# --- promise 7: the same number of batches -----------------------------------


@given(case=cases(), epoch=epochs)
def test_every_rank_yields_as_many_batches_as_len_says(case, epoch):
    plan = case.plan
    for rank in range(plan.world_size):
        rows = [rows for _, rows in plan.chunks(epoch, rank)]
        assert sum(map(len, rows)) == len(plan) > 0


# --- promise 8: any step at once ---------------------------------------------


@given(case=cases(), epoch=epochs, data=st.data())
def test_a_step_does_not_depend_on_where_the_iteration_started(case, epoch, data):
    plan = case.plan
    rank = data.draw(st.integers(0, plan.world_size - 1))
    start = data.draw(st.integers(0, len(plan) - 1))
    stop = data.draw(st.integers(start + 1, len(plan)))
    whole = plan.batches(epoch, rank, 0, len(plan))
    assert np.array_equal(plan.batches(epoch, rank, start, stop), whole[start:stop])
    for step in range(start, stop):
        assert np.array_equal(plan.batches(epoch, rank, step, step + 1)[0], whole[step])
    ends = [end for end, _ in plan.chunks(epoch, rank, start, stop)]
    rows = np.concatenate([rows for _, rows in plan.chunks(epoch, rank, start, stop)])
    assert np.array_equal(rows, whole[start:stop])
    assert ends[-1] == stop


def test_long_epochs_are_the_same_in_chunks_and_as_a_whole():
    plan = Plan(LARGE, 3, 8, world_size=2, seed=1)
    whole = plan.batches(4, 1, 0, len(plan))
    for start in (0, 1, 63, 64, 3777):
        chunks = list(plan.chunks(4, 1, start))
        assert np.array_equal(
            np.concatenate([rows for _, rows in chunks]), whole[start:]
        )
        lengths = np.cumsum([len(rows) for _, rows in chunks]) + start
        assert [end for end, _ in chunks] == lengths.tolist()


# --- promise 9: overlapping pools --------------------------------------------


def test_an_image_with_two_classes_never_counts_for_both_quotas():
    both = np.arange(5)
    pools = dict(normal=np.arange(5, 105), defect=both, crack=both, dent=both)
    plan = Plan(pools, dict(crack=2, dent=1), 8, seed=1)
    assert (np.isin(whole_epoch(plan, 0), both).sum(axis=2) == 3).all()


def test_an_image_with_two_classes_may_be_drawn_for_either():
    pools = dict(
        normal=np.arange(10, 5010),
        crack=np.array([0, 1, 2, 3]),
        dent=np.array([3, 4, 5, 6]),
    )
    batches = whole_epoch(Plan(pools, dict(crack=1, dent=1), 7, seed=1), 0)
    counts = times(batches, np.arange(7))
    expected = np.array([1, 1, 1, 2, 1, 1, 1]) * counts.sum() / 8
    assert stats.chisquare(counts, expected).pvalue > ALPHA


# --- a quota over more than one batch ----------------------------------------


@st.composite
def group_cases(draw, **fixed):
    """Settings in which the quota holds over a part of a step, or over several."""
    case = draw(cases())
    batch_size, world_size = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    step = batch_size * world_size
    parts = [n * batch_size for n in range(1, world_size) if world_size % n == 0]
    steps = [n * step for n in range(1, 9)]
    over = draw(st.sampled_from([n for n in parts + steps if n > 1] or [2 * step]))
    if len(case.counts) == 2 and not isinstance(case.settings['quota'], dict):
        quota = draw(st.integers(1, over - 1))
        counts = {'defect': quota, 'normal': over - quota}
        if isinstance(case.settings['quota'], float):
            quota /= over
    elif case.rest == 'all':
        quota, counts = None, {'all': over}
    else:
        quota, left = {}, over - 1
        for name in case.settings['quota'] if len(case.counts) > 1 else ():
            quota[name] = draw(st.integers(0, left))
            left -= quota[name]
        counts = {name: n for name, n in quota.items() if n}
        counts['normal'] = over - sum(counts.values())
    needed = max(counts.get('normal', 0) * max(step // over, 1), 1)
    needed = draw(st.integers(needed, 3 * needed + 3))
    pools = dict(case.settings['pools'])
    size = len(pools['all'])
    pools['normal'] = np.concatenate([pools['normal'], np.arange(size, size + needed)])
    pools['all'] = range(size + max(needed, over * max(step // over, 1)))
    settings = {**case.settings, **fixed}
    settings.update(
        pools=pools,
        quota=quota,
        batch_size=batch_size,
        over=over,
        world_size=world_size,
    )
    if settings['weights'] is not None:
        settings['weights'] = np.linspace(1, 2, len(pools['all']))
    if settings['num_batches'] is not None:
        settings['num_batches'] *= max(over // step, 1)
    return Case(settings, counts)


def groups_of(plan, epoch):
    """All images of an epoch in the order of the run, a row for each group."""
    return whole_epoch(plan, epoch).reshape(plan.num_groups, -1)


def images_of(plan, epoch):
    return np.sort(groups_of(plan, epoch), axis=1)


@given(case=group_cases(), epoch=epochs)
def test_every_group_holds_its_quota_and_every_batch_is_full(case, epoch):
    plan, pools = case.plan, case.settings['pools']
    groups = groups_of(plan, epoch)
    assert groups.shape == (plan.num_groups, case.settings['over'])
    assert groups.dtype == np.int64
    assert groups.min() >= 0
    assert len(plan) * plan.step_size == groups.size
    for group in groups.tolist():
        assert holds(group, case.counts, pools)
        if case.rest == 'normal':
            assert np.isin(group, pools['normal']).sum() == case.counts['normal']


@given(case=group_cases(), epoch=epochs)
def test_the_batches_of_a_group_share_its_quota_up_to_one_image(case, epoch):
    plan, pools = case.plan, case.settings['pools']
    groups = groups_of(plan, epoch)
    found = ~np.isin(groups, pools['normal'])
    found = found.reshape(len(groups), -1, plan.batch_size).sum(axis=2)
    if case.rest == 'normal':
        assert np.ptp(found, axis=1).max() <= 1


@given(case=group_cases(), epoch=epochs, data=st.data())
def test_what_a_batch_has_of_each_pool_is_told_without_drawing_it(case, epoch, data):
    plan, pools = case.plan, case.settings['pools']
    rank = data.draw(st.integers(0, plan.world_size - 1))
    for step, batch in enumerate(plan.batches(epoch, rank, 0, len(plan))):
        told = plan.images_of(epoch, rank, step)
        assert sum(told.values()) == len(batch)
        assert holds(batch.tolist(), told, pools)
        if case.rest == 'normal':
            assert np.isin(batch, pools['normal']).sum() == told['normal']


@given(case=group_cases(num_batches=None), epoch=epochs)
def test_groups_go_through_the_normal_images_once_an_epoch(case, epoch):
    plan, pool = case.plan, case.settings['pools'][case.rest]
    seen = times(whole_epoch(plan, epoch), pool)
    at_once = case.counts[case.rest] * max(plan.step_size // plan.group_size, 1)
    if case.settings['drop_last']:
        assert case.rest == 'all' or seen.max() <= 1
        assert seen.sum() == len(pool) // at_once * at_once
    else:
        assert set(seen.tolist()) <= {1, 2}
        assert seen.sum() == -(-len(pool) // at_once) * at_once


@given(case=group_cases(), data=st.data())
def test_groups_of_a_given_number_of_batches_go_on_with_the_pass(case, data):
    steps = data.draw(st.integers(1, 3)) * case.plan.group_steps
    plan = Plan(**{**case.settings, 'num_batches': steps})
    seen = np.zeros(len(case.settings['pools'][case.rest]), int)
    for epoch in range(4):
        assert len(plan) == steps
        for group in groups_of(plan, epoch):
            seen += times(group, case.settings['pools'][case.rest])
            assert seen.max() - seen.min() <= 1


@given(case=group_cases(), epoch=epochs, data=st.data())
def test_a_group_holds_the_same_images_in_any_batches_on_any_number_of_ranks(
    case, epoch, data
):
    over = case.settings['over']
    batch_size = data.draw(st.sampled_from([n for n in range(1, 9) if over % n == 0]))
    batches = over // batch_size
    ranks = [n for n in range(1, 9) if batches % n == 0 or n % batches == 0]
    world_size = data.draw(st.sampled_from(ranks))
    settings = {**case.settings, 'batch_size': batch_size, 'world_size': world_size}
    if settings['num_batches'] is not None:
        # As many groups in an epoch, where that can be.
        step = batch_size * world_size
        images = settings['num_batches'] * case.plan.step_size
        if images % step or images < step:
            return
        settings['num_batches'] = images // step
    try:
        other = Plan(**settings)
    except ValueError as error:
        assert 'images, but one step takes' in str(error)  # noqa: PT017
        return
    groups = min(case.plan.num_groups, other.num_groups)
    if case.plan.num_groups != other.num_groups and not settings['replacement']:
        epoch = 0  # cycles go on from epoch to epoch, and these have other lengths
    one, two = (groups_of(plan, epoch)[:groups] for plan in (case.plan, other))
    # After each step that both have ended, the same images of the group were seen.
    both = np.lcm(case.plan.step_size, other.step_size)
    for done in range(both, over, both):
        for part in (slice(done), slice(done, None)):
            assert np.array_equal(np.sort(one[:, part]), np.sort(two[:, part]))
    assert np.array_equal(np.sort(one), np.sort(two))


@given(case=cases(), epoch=epochs)
def test_a_quota_on_every_rank_is_that_of_a_step_with_the_same_images(case, epoch):
    # So a run begun with batch_size=8 goes on with `over=8` and smaller batches.
    ranks = case.settings['world_size']
    quota = {name: ranks * n for name, n in case.counts.items() if name != case.rest}
    step = ranks * case.settings['batch_size']
    settings = {**case.settings, 'quota': None if case.rest == 'all' else quota}
    one = Plan(**settings, over=step)
    assert np.array_equal(images_of(one, epoch), images_of(case.plan, epoch))


@given(case=group_cases(), epoch=epochs, data=st.data())
def test_a_step_of_a_group_does_not_depend_on_where_the_iteration_started(
    case, epoch, data
):
    plan = case.plan
    rank = data.draw(st.integers(0, plan.world_size - 1))
    start = data.draw(st.integers(0, len(plan) - 1))
    whole = plan.batches(epoch, rank, 0, len(plan))
    rows = np.concatenate([rows for _, rows in plan.chunks(epoch, rank, start)])
    assert np.array_equal(rows, whole[start:])
    for step in range(start, len(plan)):
        assert np.array_equal(plan.batches(epoch, rank, step, step + 1)[0], whole[step])


@given(case=group_cases(num_batches=None), data=st.data())
def test_a_quota_over_groups_changes_at_their_borders_and_the_passes_go_on(case, data):
    if case.rest == 'all':
        return
    settings = {**case.settings, 'num_batches': len(case.plan)}
    pools = dict(settings['pools'])
    step, over = case.plan.step_size, settings['over']
    enough = over * max(step // over, 1) + 3
    pools['normal'] = np.arange(5000, 5000 + enough)
    pools['all'] = range(5000 + enough)
    if settings['weights'] is not None:
        settings['weights'] = np.ones(5000 + enough)
    plans = [(0, Plan(**{**settings, 'pools': pools}))]
    quotas = data.draw(st.lists(st.integers(0, over - 1), min_size=1, max_size=3))
    for quota in quotas:
        step = plans[-1][0] + data.draw(st.integers(1, 4)) * case.plan.group_steps
        plans.append((step, plans[-1][1].switch(quota, step)))
    seen = np.zeros(len(pools['normal']), int)
    group_steps, length = case.plan.group_steps, len(plans[0][1])
    for first in range(0, plans[-1][0] + 3 * group_steps, group_steps):
        number = [i for i, (step, _) in enumerate(plans) if step <= first][-1]
        plan = plans[number][1]
        assert len(plan) == length
        epoch, step = divmod(first, length)
        images = np.stack(
            [
                plan.batches(epoch, rank, step, step + group_steps)
                for rank in range(plan.world_size)
            ],
            axis=1,
        ).reshape(-1, over)
        normal = np.isin(images, pools['normal'])
        if number:
            assert (normal.sum(axis=1) == over - quotas[number - 1]).all()
        seen += times(images, pools['normal'])
        assert seen.max() - seen.min() <= 1


@pytest.mark.parametrize('options', [dict(batch_size=1, over=8), dict(world_size=8)])
def test_a_quota_does_not_change_inside_a_group(options):
    settings = dict(quota=3, batch_size=8, over=64, num_batches=8)
    plan = Plan(LARGE, **{**settings, **options})
    plan.switch(1, 8)
    if plan.group_steps > 1:
        with pytest.raises(ValueError, match=r'step 5: .* multiple of 8'):
            plan.switch(1, 5)


SPREAD = dict(quota=dict(defect=3, hard=2), over=16, num_batches=8000)
# Eight batches of two: 5 images that are not normal on 8 batches.
LAYOUTS = [
    dict(batch_size=2, world_size=8),
    dict(batch_size=2, world_size=2),
    dict(batch_size=1, world_size=1),
    dict(batch_size=1, world_size=16),
    dict(batch_size=4, world_size=8),
]


@pytest.mark.parametrize('layout', LAYOUTS, ids=str)
def test_chance_decides_which_batches_get_one_more_and_where_it_stands(layout):
    pools = {**LARGE, 'hard': np.arange(1, 99, 3)}
    plan = Plan(pools, **SPREAD, **layout, seed=5)
    groups = groups_of(plan, 0)
    for name, count in SPREAD['quota'].items():
        inside = np.isin(groups, pools[name])
        assert (inside.sum(axis=1) == count).all()
        # each place of the group, and each batch of it, equally often
        assert stats.chisquare(inside.sum(axis=0)).pvalue > ALPHA
        in_batch = inside.reshape(len(groups), -1, plan.batch_size).sum(axis=2)
        assert stats.chisquare(in_batch.sum(axis=0)).pvalue > ALPHA
        # the place says nothing about the next group
        first = inside.argmax(axis=1)
        kinds = first.max() + 1
        assert related(first[:-1:2], first[1::2], kinds) > ALPHA
    # which batches get one more says nothing about those of the next epoch
    inside = ~np.isin(groups, pools['normal'])
    again = ~np.isin(groups_of(plan, 1), pools['normal'])
    first, later = (x.argmax(axis=1) for x in (inside, again))
    assert related(first, later, max(first.max(), later.max()) + 1) > ALPHA


def test_draws_over_groups_are_uniform_and_say_nothing_about_each_other():
    plan = Plan(LARGE, 3, 2, over=8, world_size=4, seed=3)
    places = np.searchsorted(LARGE['defect'], groups_of(plan, 0))
    defects = np.isin(groups_of(plan, 0), LARGE['defect'])
    drawn = places[defects].reshape(-1, 3)
    assert stats.chisquare(np.bincount(drawn.ravel(), minlength=33)).pvalue > ALPHA
    assert related(drawn[:, 0], drawn[:, 1]) > ALPHA
    assert related(drawn[:-1], drawn[1:]) > ALPHA
    image = groups_of(plan, 0)[~defects].reshape(-1, 5)[:, 0]
    assert related(drawn[:, 0], (image - 100) * 33 // 40_000) > ALPHA


# --- a quota that changes ----------------------------------------------------


@given(case=cases(), data=st.data())
def test_a_changed_quota_holds_and_the_passes_go_on(case, data):
    settings = {**case.settings, 'num_batches': data.draw(st.integers(1, 6))}
    size, world_size = settings['batch_size'], settings['world_size']
    pools = settings['pools']
    # From one quota of defects to another, normal images enough for any of them.
    pools = {**pools, 'normal': np.arange(1000, 1000 + size * world_size + 3)}
    pools['all'] = range(2000)
    if settings['weights'] is not None:
        settings['weights'] = np.ones(2000)
    quotas = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=4))
    plans = [(0, Plan(**{**settings, 'pools': pools, 'quota': quotas[0]}))]
    for quota in quotas[1:]:
        step = plans[-1][0] + data.draw(st.integers(1, 7))
        plans.append((step, plans[-1][1].switch(quota, step)))
    seen = np.zeros(len(pools['normal']), int)
    seen_defects = np.zeros(len(pools['defect']), int)
    length = len(plans[0][1])
    for now in range(plans[-1][0] + 6):
        current = [i for i, (step, _) in enumerate(plans) if step <= now][-1]
        plan = plans[current][1]
        assert len(plan) == length
        epoch, step = divmod(now, length)
        batch = np.stack(
            [plan.batches(epoch, rank, step, step + 1)[0] for rank in range(world_size)]
        )
        assert (np.isin(batch, pools['defect']).sum(axis=1) == quotas[current]).all()
        seen += times(batch, pools['normal'])
        assert seen.max() - seen.min() <= 1
        if not settings['replacement']:
            seen_defects += times(batch, pools['defect'])
            assert seen_defects.max() - seen_defects.min() <= 1


def test_a_quota_may_be_lifted_for_the_last_epochs():
    pools = dict(normal=np.arange(40), defect=np.arange(40, 50), all=range(50))
    plan = Plan(pools, 3, 8, seed=1, num_batches=10)
    lifted = plan.switch(None, 25)
    seen = np.zeros(50, int)
    for now in range(25, 50):
        seen += times(lifted.batches(now // 10, 0, now % 10, now % 10 + 1), range(50))
        assert seen.max() - seen.min() <= 1
    assert seen.sum() == 200


# --- a release must not change a user's run ----------------------------------

SMALL_POOLS = dict(
    normal=np.arange(20),
    defect=np.arange(20, 27),
    crack=np.arange(20, 24),
    dent=np.arange(22, 27),
    all=range(27),
)


def sequence(plan, epochs=(0, 1), steps=2):
    return [
        plan.batches(epoch, rank, 0, steps).tolist()
        for epoch in epochs
        for rank in range(plan.world_size)
    ]


WEIGHTS = np.where(np.arange(27) == 21, 5.0, 1.0)
BIG_POOLS = dict(normal=range(5000), defect=np.arange(5000, 5090))

# Name -> settings and the sequence that they gave in version 0.1.0. A change here
# changes every user's runs: it belongs into the changelog.
PINNED = {
    'int quota': (
        dict(quota=2, batch_size=5),
        [
            [[10, 4, 24, 14, 23], [19, 20, 13, 23, 7]],
            [[9, 6, 22, 26, 7], [24, 13, 11, 10, 26]],
        ],
    ),
    'float quota': (
        dict(quota=0.4, batch_size=5),
        [
            [[10, 4, 24, 14, 23], [19, 20, 13, 23, 7]],
            [[9, 6, 22, 26, 7], [24, 13, 11, 10, 26]],
        ],
    ),
    'dict quota': (
        dict(quota=dict(crack=1, dent=1), batch_size=5),
        [
            [[10, 4, 20, 14, 22], [19, 20, 13, 22, 7]],
            [[9, 6, 22, 25, 7], [25, 13, 11, 10, 20]],
        ],
    ),
    'cycles': (
        dict(quota=2, batch_size=5, replacement=False),
        [
            [[10, 4, 25, 14, 21], [19, 23, 13, 26, 7]],
            [[9, 6, 21, 25, 7], [21, 13, 11, 10, 20]],
        ],
    ),
    'weights': (
        dict(quota=2, batch_size=5, weights=WEIGHTS),
        [
            [[10, 4, 23, 14, 21], [19, 20, 13, 21, 7]],
            [[9, 6, 21, 25, 7], [23, 13, 11, 10, 26]],
        ],
    ),
    'num_batches': (
        dict(quota=2, batch_size=5, num_batches=3),
        [
            [[10, 4, 24, 14, 23], [19, 20, 13, 23, 7]],
            [[8, 1, 22, 26, 0], [24, 17, 15, 2, 26]],
        ],
    ),
    'no quota': (
        dict(quota=None, batch_size=5),
        [
            [[8, 10, 9, 26, 4], [12, 25, 20, 6, 24]],
            [[16, 2, 17, 9, 13], [15, 22, 6, 18, 1]],
        ],
    ),
    'world size 2': (
        dict(quota=2, batch_size=5, world_size=2),
        [
            [[10, 4, 24, 14, 23], [3, 20, 9, 23, 12]],
            [[19, 26, 13, 7, 25], [23, 8, 23, 0, 1]],
            [[9, 6, 22, 26, 7], [24, 16, 8, 1, 26]],
            [[24, 13, 11, 26, 10], [17, 19, 20, 24, 5]],
        ],
    ),
    'without drop_last': (
        dict(quota=1, batch_size=8, world_size=2, drop_last=False),
        [
            [[13, 7, 24, 10, 4, 19, 12, 14], [18, 16, 5, 14, 20, 17, 6, 11]],
            [[15, 0, 9, 1, 8, 3, 2, 23], [23, 10, 7, 9, 19, 13, 4, 12]],
            [[13, 10, 1, 9, 22, 6, 11, 7], [12, 26, 6, 4, 0, 3, 14, 2]],
            [[18, 8, 15, 19, 17, 26, 16, 5], [13, 10, 11, 7, 1, 24, 8, 9]],
        ],
    ),
    'more images than a stored pass': (
        dict(quota=2, batch_size=5, pools=BIG_POOLS),
        [
            [[3453, 3226, 5062, 1486, 5039], [3483, 5002, 1091, 5041, 1875]],
            [[2434, 77, 5031, 5079, 1177], [5060, 1964, 4166, 1130, 5082]],
        ],
    ),
}


@pytest.mark.parametrize('name', PINNED)
def test_a_release_draws_the_same_batches_as_the_one_before(name):
    settings, expected = PINNED[name]
    assert sequence(Plan(**{'pools': SMALL_POOLS, 'seed': 7, **settings})) == expected


def test_a_release_changes_the_quota_in_the_same_way_as_the_one_before():
    plan = Plan(SMALL_POOLS, 2, 5, seed=7, num_batches=3).switch(1, 4)
    assert plan.batches(1, 0, 1, 3).tolist() == [
        [2, 6, 17, 15, 26],
        [11, 16, 5, 18, 23],
    ]


# --- a thousand million images -----------------------------------------------

HUGE = """
import json, resource, sys, time, types
package = types.ModuleType('mmdefect')
package.__path__ = [sys.argv[1]]
sys.modules['mmdefect'] = package  # the plan alone, as it promises
from mmdefect.plan.plan import Plan

start = time.perf_counter()
million = 10**6
pools = dict(normal=range(1000 * million), defect=range(1000 * million, 1030 * million))
plan = Plan(pools, 3, 8, world_size=4, seed=1)
end, first = next(plan.chunks(0, 0))
seconds = time.perf_counter() - start
late = plan.batches(7, 3, len(plan) - 5000, len(plan))
rows = [plan.batches(0, rank, 0, 20_000) for rank in range(4)]
rows += [plan.batches(0, rank, 49_000_000, 49_020_000) for rank in range(4)]
normal = [row[row < 1000 * million] for row in rows]
defect = [row[row >= 1000 * million] - 1000 * million for row in rows]
unique = set()
for part in normal:
    unique.update(part.tolist())
bins = [sum(int(i) // million == k for part in defect for i in part.tolist()[::10])
        for k in range(30)]
print(json.dumps(dict(
    seconds=seconds,
    megabytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    length=len(plan),
    shape=first.shape,
    quota=sorted({int(n) for row in rows for n in (row >= 1000 * million).sum(1)}),
    late=sorted({int(n) for n in (late >= 1000 * million).sum(1)}),
    normal=sum(map(len, normal)),
    unique=len(unique),
    bins=bins,
    modules=sorted({'torch', 'mmengine', 'mmdet', 'mmcv'} & set(sys.modules)),
)))
"""


@pytest.fixture(scope='module')
def huge():
    command = [sys.executable, '-c', HUGE, str(PACKAGE)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_thousand_million_images_give_their_first_batch_within_a_second(huge):
    assert huge['seconds'] < 1
    assert huge['shape'][1] == 8


def test_a_thousand_million_images_take_less_than_a_gigabyte(huge):
    assert huge['megabytes'] < 1000


def test_a_thousand_million_images_keep_quota_and_passes(huge):
    assert huge['length'] == 10**9 // 20
    assert huge['quota'] == huge['late'] == [3]
    assert huge['unique'] == huge['normal'] == 8 * 20_000 * 5


def test_a_thousand_million_images_are_drawn_uniformly(huge):
    assert stats.chisquare(huge['bins']).pvalue > ALPHA


def test_the_plan_needs_numpy_and_nothing_else(huge):
    assert huge['modules'] == []


# --- what it refuses ---------------------------------------------------------

POOLS = dict(
    normal=range(100),
    defect=np.arange(100, 110),
    crack=np.arange(100, 106),
    dent=np.arange(0),
    all=range(110),
)
QUOTA = 'train_dataloader.batch_sampler.quota'
BATCH = 'train_dataloader.batch_size'
OVER = 'train_dataloader.batch_sampler.over'


def refusal(error, call, *args, **kwargs):
    """The message of an error, checked to be one line that ends in what to change."""
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    assert caught.type is error
    message = str(caught.value)
    assert '\n' not in message
    return message


@pytest.mark.parametrize(
    ('quota', 'batch_size', 'error', 'words'),
    [
        (-1, 8, ValueError, ['quota=-1', '0 or more', QUOTA]),
        (np.int64(-3), 8, ValueError, ['quota=-3', '0 or more', QUOTA]),
        (8, 8, ValueError, ['quota=8', 'at most 7', QUOTA, BATCH]),
        (np.int32(12), 8, ValueError, ['quota=12', 'at most 7', QUOTA]),
        (1, 1, ValueError, ['quota=1', 'batch of 1', QUOTA, BATCH]),
        (True, 8, TypeError, ['quota=True', 'bool', QUOTA]),
        (np.bool_(True), 8, TypeError, ['quota=True', 'bool', QUOTA]),
        ('3', 8, TypeError, ["quota='3'", 'str', QUOTA]),
        ([3], 8, TypeError, ['quota=[3]', 'list', QUOTA]),
        (0.3, 8, ValueError, ['quota=0.3', '2.4 images', 'whole', QUOTA, 'to 2']),
        (0.99, 8, ValueError, ['quota=0.99', '7.92 images', 'whole', QUOTA, 'to 7']),
        (1e-9, 8, ValueError, ['quota=1e-09', 'whole', QUOTA, 'to 1']),
        (1 - 1e-12, 8, ValueError, ['quota=0.99', QUOTA]),
        # Of one image, none would be left for defects.
        (0.5, 1, ValueError, ['quota=0.5', '0.5 images', 'whole', f'set {OVER} to 2']),
        (0.3, 1, ValueError, ['quota=0.3', '0.3 images', f'set {OVER} to 10']),
        (1e-9, 1, ValueError, ['quota=1e-09', f'set a larger {OVER}']),
        (3.0, 8, ValueError, ['quota=3.0', 'between 0 and 1', 'an int', QUOTA]),
        (0.0, 8, ValueError, ['quota=0.0', 'between 0 and 1', QUOTA]),
        (float('nan'), 8, ValueError, ['quota=nan', 'between 0 and 1', QUOTA]),
        (np.float64(2.5), 8, ValueError, ['quota=2.5', 'between 0 and 1', QUOTA]),
        (dict(crakc=2), 8, ValueError, ["'crakc'", "'defect'", "'crack'", QUOTA]),
        (dict(all=2), 8, ValueError, ["'all'", "'defect'", "'crack'", QUOTA]),
        (dict(dent=2), 8, ValueError, ['2', "'dent'", 'empty', QUOTA]),
        (dict(normal=2), 8, ValueError, ["'normal'", 'take it out', QUOTA]),
        (dict(crack=5, defect=3), 8, ValueError, ['8 of a batch of 8', 'at most 7']),
        (dict(crack=-2), 8, ValueError, ["quota['crack']=-2", '0 or more', QUOTA]),
        (dict(crack=0.3), 8, ValueError, ["quota['crack']=0.3", 'whole', QUOTA]),
        (dict(crack=None), 8, TypeError, ["quota['crack']=None", 'int', QUOTA]),
        (dict(crack=True), 8, TypeError, ["quota['crack']=True", 'bool', QUOTA]),
    ],
    ids=repr,
)
def test_a_quota_that_cannot_be_met_is_refused_with_the_line_to_change(
    quota, batch_size, error, words
):
    message = refusal(error, share_images, quota, POOLS, batch_size)
    for word in words:
        assert word in message
    assert f'{QUOTA} to 0' not in message


@pytest.mark.parametrize(
    ('batch_size', 'error', 'words'),
    [
        (0, ValueError, ['batch_size=0', 'at least 1']),
        (-8, ValueError, ['batch_size=-8', 'at least 1']),
        (8.0, TypeError, ['batch_size=8.0', 'int', 'float']),
        ('8', TypeError, ["batch_size='8'", 'int', 'str']),
        (True, TypeError, ['batch_size=True', 'int', 'bool']),
        (None, TypeError, ['batch_size=None', 'int', 'NoneType']),
    ],
    ids=repr,
)
def test_a_batch_without_images_is_refused(batch_size, error, words):
    message = refusal(error, Plan, POOLS, 3, batch_size)
    for word in [*words, BATCH]:
        assert word in message


def test_a_refused_share_of_the_batch_suggests_one_that_is_taken():
    for batch_size in range(2, 40):
        for share in (0.01, 0.3, 0.77, 0.999):
            if (Fraction(str(share)) * batch_size).denominator == 1:
                continue
            message = refusal(ValueError, share_images, share, POOLS, batch_size)
            suggested = int(message.rsplit(' ', 1)[1])
            assert share_images(suggested, POOLS, batch_size)['defect'] == suggested


@given(batch_size=st.integers(2, 2000), data=st.data())
def test_any_share_that_is_a_whole_number_of_images_is_taken(batch_size, data):
    count = data.draw(st.integers(1, batch_size - 1))
    shares = share_images(count / batch_size, POOLS, batch_size)
    assert shares == {'defect': count, 'normal': batch_size - count}


@pytest.mark.parametrize(
    ('options', 'error', 'words'),
    [
        (dict(num_batches=0), ValueError, ['num_batches=0', 'at least 1']),
        (dict(num_batches=-5), ValueError, ['num_batches=-5', 'at least 1']),
        (dict(num_batches=2.5), TypeError, ['num_batches=2.5', 'int', 'float']),
        (dict(num_batches=True), TypeError, ['num_batches=True', 'int', 'bool']),
        (dict(num_batches='all'), TypeError, ["num_batches='all'", 'int', 'str']),
    ],
    ids=repr,
)
def test_an_impossible_number_of_batches_is_refused(options, error, words):
    message = refusal(error, Plan, POOLS, 3, 8, **options)
    for word in [*words, 'train_dataloader.batch_sampler.num_batches']:
        assert word in message


@pytest.mark.parametrize('num_batches', [None, 10])
def test_too_few_normal_images_for_one_step_of_all_ranks_are_refused(num_batches):
    Plan(POOLS, 3, 8, world_size=20, num_batches=num_batches)
    message = refusal(
        ValueError, Plan, POOLS, 3, 8, world_size=21, num_batches=num_batches
    )
    for word in ('100 normal', '105', '5 for each of 21 ranks', BATCH):
        assert word in message


def test_weights_that_are_all_zero_are_refused():
    weights = np.ones(110)
    weights[100:] = 0
    message = refusal(ValueError, Plan, POOLS, 3, 8, weights=weights)
    for word in ("'defect'", '0', 'train_dataloader.sampler.weights'):
        assert word in message


def test_more_images_than_the_plan_can_number_are_refused():
    pools = dict(normal=range(2**32 + 1), defect=range(5))
    assert '2**32' in refusal(ValueError, Plan, pools, 3, 8)
