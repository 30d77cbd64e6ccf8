"""A quota over more than one batch: which batch takes which slots of each pool."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdefect.plan.groups import check_over, most_in_batch, slots_of_batches


@st.composite
def groups(draw):
    """Images of each pool in a group, the last of them normal, and a random phase."""
    counts = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5))
    phases = [
        draw(st.integers(0, sum(counts[: n + 1]) - 1)) for n in range(len(counts))
    ]
    return counts, phases


def divisors(number):
    return [n for n in range(1, number + 1) if number % n == 0]


def cut(counts, phases, batch_size):
    """The slots of each batch of one group, by pool: lists of sets."""
    places = np.arange(0, sum(counts), batch_size)
    pools = slots_of_batches(
        places, batch_size, counts, [np.full(len(places), p) for p in phases]
    )
    return [
        [set(slots.numbers[slots.taken[:, n], n].tolist()) for n in range(len(places))]
        for slots in pools
    ]


@given(group=groups())
def test_the_batches_of_a_group_are_full_and_take_each_slot_once(group):
    counts, phases = group
    for batch_size in divisors(sum(counts)):
        pools = cut(counts, phases, batch_size)
        for batches, count in zip(pools, counts):
            slots = [slot for batch in batches for slot in batch]
            assert sorted(slots) == list(range(count))
        assert {sum(map(len, batch)) for batch in zip(*pools)} == {batch_size}


@given(group=groups())
def test_batches_of_any_size_share_what_is_not_normal_up_to_one_image(group):
    counts, phases = group
    for batch_size in divisors(sum(counts)):
        *_, normal = cut(counts, phases, batch_size)
        found = [batch_size - len(batch) for batch in normal]
        assert max(found) - min(found) <= 1


@given(group=groups())
def test_batches_of_any_size_that_can_be_alike_are_alike(group):
    counts, phases = group
    for batch_size in divisors(sum(counts)):
        most, parts = most_in_batch(batch_size, counts), sum(counts) // batch_size
        pools = cut(counts, phases, batch_size)
        for batches, number in zip(pools, most):
            assert max(map(len, batches)) <= number
        alike = all(count % parts == 0 for count in counts)
        assert alike == (sum(most) == batch_size)
        if alike:
            places = np.arange(0, sum(counts), batch_size)
            for slots, batches in zip(
                slots_of_batches(places, batch_size, counts, None), pools
            ):
                assert slots.taken is None
                assert list(map(set, slots.numbers.T.tolist())) == batches


@given(group=groups())
def test_a_group_may_be_gone_on_with_in_batches_of_another_size(group):
    # What stands in its first images is the same, however they are cut.
    counts, phases = group
    for pool in range(len(counts)):
        before: dict = {}
        for batch_size in divisors(sum(counts)):
            seen: set = set()
            for number, batch in enumerate(cut(counts, phases, batch_size)[pool], 1):
                seen = seen | batch
                assert before.setdefault(number * batch_size, seen) == seen


@pytest.mark.parametrize('counts', [(3, 5), (1, 7), (2, 4), (2, 1, 5), (1, 2, 1, 4)])
def test_no_place_of_a_group_tells_the_pool(counts):
    # Each place belongs to each pool in the same share of all phases.
    found = np.zeros((sum(counts), len(counts)), int)
    bounds = np.cumsum(counts)[1:].tolist()
    for phases in itertools.product(*map(range, bounds)):
        for pool, batches in enumerate(cut(counts, phases, 1)):
            found[:, pool] += [len(batch) for batch in batches]
    assert (found * sum(counts) == np.prod(bounds) * np.array(counts)).all()


@given(batch_size=st.integers(1, 8), world_size=st.integers(1, 8), data=st.data())
def test_over_is_taken_where_no_group_straddles_a_step(batch_size, world_size, data):
    step = batch_size * world_size
    over = data.draw(st.integers(1, 4 * step))
    fits = over % batch_size == 0 and (step % over == 0 or over % step == 0)
    if fits:
        assert check_over(over, batch_size, world_size) == over
        return
    with pytest.raises(ValueError, match=f'over={over}: ') as caught:
        check_over(over, batch_size, world_size)
    message = str(caught.value)
    ranks = f'{world_size} ranks x ' if world_size > 1 else ''
    assert f': a step is {ranks}batch_size={batch_size} images;' in message
    *_, told = message.partition('set train_dataloader.batch_sampler.over to ')
    would_do = [int(number) for number in told.split(' or ')]
    for number in would_do:
        assert check_over(number, batch_size, world_size) == number
    between = range(max([n for n in would_do if n < over], default=0) + 1, would_do[-1])
    for number in between:
        with pytest.raises(ValueError, match='over='):
            check_over(number, batch_size, world_size)


@pytest.mark.parametrize(
    ('over', 'kind'), [(True, 'bool'), (8.0, 'float'), ('8', 'str')]
)
def test_an_over_of_another_type_is_refused(over, kind):
    with pytest.raises(TypeError, match=kind) as caught:
        check_over(over, 8, 1)
    assert 'set train_dataloader.batch_sampler.over' in str(caught.value)


@pytest.mark.parametrize('over', [0, -8])
def test_an_over_without_images_is_refused(over):
    with pytest.raises(ValueError, match=r'batch_sampler\.over to 8$'):
        check_over(over, 8, 1)
