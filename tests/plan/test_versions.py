"""Normal images in other versions: one pass shows each image once, in one of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdefect.plan.plan import Plan

SIZE = 1000
VERSIONS = {'pasted': SIZE, 'pasted crack': 2 * SIZE}


def pools(normal, defect=5):
    order = np.random.default_rng(normal).permutation(normal + defect)
    return {
        'normal': np.sort(order[:normal]),
        'defect': np.sort(order[normal:]),
        'crack': np.sort(order[normal : normal + 2]),
        'all': range(len(order)),
    }


@st.composite
def settings(draw, **fixed):
    batch_size, ranks = draw(st.integers(3, 9)), draw(st.sampled_from([1, 2, 4]))
    pasted = draw(st.integers(1, batch_size - 2))
    crack = draw(st.integers(0, batch_size - 2 - pasted))
    defect = draw(st.integers(0, batch_size - 1 - pasted - crack))
    step = (batch_size - defect) * ranks
    return {
        **dict(
            pools=pools(draw(st.integers(step, 4 * step + 3))),
            quota={'defect': defect, 'pasted': pasted, 'pasted crack': crack},
            batch_size=batch_size,
            world_size=ranks,
            seed=draw(st.integers(0, 2**64 - 1)),
            versions=VERSIONS,
        ),
        **fixed,
    }


def epoch_of(plan, epoch=0):
    ranks = [plan.batches(epoch, rank, 0, len(plan)) for rank in range(plan.world_size)]
    return np.stack(ranks, axis=1)


def in_version(indices, name):
    first = VERSIONS.get(name, 0)
    return (indices >= first) & (indices < first + SIZE)


@given(settings=settings(), epoch=st.integers(0, 99))
def test_every_batch_holds_as_many_pasted_images_as_asked_for(settings, epoch):
    batches = epoch_of(Plan(**settings), epoch)
    normal, quota = settings['pools']['normal'], settings['quota']
    for name in VERSIONS:
        held = in_version(batches, name)
        assert (held.sum(axis=2) == quota[name]).all()
        assert np.isin(batches[held] % SIZE, normal).all()
    plain = np.isin(batches, normal).sum(axis=2)
    assert (plain == settings['batch_size'] - sum(quota.values())).all()


@given(settings=settings(), epoch=st.integers(0, 99))
def test_an_epoch_shows_no_normal_image_both_as_it_is_and_pasted(settings, epoch):
    images = epoch_of(Plan(**settings), epoch).ravel() % SIZE
    normal = settings['pools']['normal']
    seen = np.isin(normal, images).sum()
    assert np.isin(images, normal).sum() == seen
    step = settings['batch_size'] - settings['quota']['defect']
    step *= settings['world_size']
    assert seen == len(normal) // step * step


@given(settings=settings(num_batches=3))
def test_a_pass_that_goes_over_epochs_shows_each_image_once(settings):
    plan, normal = Plan(**settings), settings['pools']['normal']
    drawn = np.concatenate([epoch_of(plan, epoch).ravel() for epoch in range(9)])
    drawn = drawn[np.isin(drawn % SIZE, normal)] % SIZE
    times = [np.sum(drawn == image) for image in normal]
    assert max(times) - min(times) <= 1


def test_a_normal_image_is_pasted_in_one_epoch_and_not_in_another():
    plan = Plan(pools(40), dict(defect=2, pasted=2), 8, versions=VERSIONS)
    epochs = [epoch_of(plan, epoch).ravel() for epoch in range(8)]
    pasted = [frozenset(e[in_version(e, 'pasted')].tolist()) for e in epochs]
    assert len(set(pasted)) == 8
    assert len(frozenset.union(*pasted)) > 30


@given(settings=settings())
def test_a_quota_without_pasted_images_draws_as_if_there_were_none(settings):
    settings['pools'] = pools(400)
    for quota in (2, dict(crack=1), None):
        one = Plan(**{**settings, 'quota': quota, 'versions': None})
        other = Plan(**{**settings, 'quota': quota})
        assert (epoch_of(one, 3) == epoch_of(other, 3)).all()


def test_several_ranks_draw_what_one_does():
    images = pools(90)
    quota, over = dict(defect=4, pasted=dict(crack=2)), 16
    options = dict(over=over, seed=4, versions=VERSIONS)
    one = epoch_of(Plan(images, quota, 16, **options)).reshape(-1, over)
    for size, ranks in ((8, 2), (4, 4), (2, 8), (2, 2), (1, 1)):
        plan = Plan(images, quota, size, world_size=ranks, **options)
        groups = epoch_of(plan).reshape(-1, over)
        assert (np.sort(groups) == np.sort(one)[: len(groups)]).all()


def test_a_schedule_that_ends_pasting_goes_on_with_the_same_pass():
    images = pools(60)
    first = Plan(images, dict(defect=2, pasted=2), 8, num_batches=5, versions=VERSIONS)
    later = first.switch(2, 5)
    drawn = np.concatenate([epoch_of(first, 0).ravel(), epoch_of(later, 1).ravel()])
    normal = drawn[np.isin(drawn % SIZE, images['normal'])] % SIZE
    assert len(normal) == len(set(normal.tolist())) == 60
    assert not in_version(epoch_of(later, 1), 'pasted').any()


@pytest.mark.parametrize(
    ('quota', 'counts'),
    [
        (dict(defect=0.25, pasted=0.25), dict(defect=2, pasted=2, normal=4)),
        (dict(pasted=dict(crack=1)), {'pasted crack': 1, 'normal': 7}),
        (dict(defect=3, pasted=0), dict(defect=3, normal=5)),
    ],
    ids=str,
)
def test_a_quota_of_pasted_images_is_written_like_any_other(quota, counts):
    assert Plan(pools(9), quota, 8, versions=VERSIONS).count_images(quota) == counts


@pytest.mark.parametrize(
    ('quota', 'words'),
    [
        (dict(pasted=0.0), ["quota['pasted']=0.0", 'between 0 and 1']),
        (dict(pasted=1.0), ["quota['pasted']=1.0", 'between 0 and 1']),
        (dict(pasted=0.3), ["quota['pasted']=0.3", 'whole number']),
        (dict(pasted=8), ['8 of a batch of 8', 'at most 7']),
        (dict(pasted=dict(crakc=1)), ["'pasted crakc'", "'pasted crack'"]),
        (dict(pasted=dict(crack=-1)), ["quota['pasted']['crack']=-1", '0 or more']),
    ],
    ids=str,
)
def test_a_quota_of_pasted_images_that_cannot_be_met_is_refused(quota, words):
    with pytest.raises(ValueError, match='quota') as caught:
        Plan(pools(9), quota, 8, versions=VERSIONS)
    for word in [*words, 'train_dataloader.batch_sampler.quota']:
        assert word in str(caught.value)
