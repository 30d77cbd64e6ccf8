"""How the images of a pool's share are drawn.

A draw is a pure function: from the groups of an epoch and places of the pool's share in
them to places in the pool. It never depends on what was drawn before.
"""

from __future__ import annotations

from typing import Mapping, NamedTuple, Protocol, Union

import numpy as np

from mmdefect.plan.permutation import below, random_words, shuffled, shuffled_once

Pool = Union[np.ndarray, range]


class Turn(NamedTuple):
    """The part of a pass that a pool has, of a pass through its images or another's.

    Args:
        source (str): The pool whose images are passed through.
        first (int): First of its slots, of those that a group has of the pass.
        of (int): Slots that a group has of the pass.
        offset (int): What is added to the index of an image.
    """

    source: str
    first: int
    of: int
    offset: int = 0


class Share(NamedTuple):
    """What one pool gives to the images over which the quota holds.

    Args:
        pool (str): Name of the pool.
        images (int): Its images of a batch, or of ``over`` images.
        in_group (int): Its images of a group.
        draw (str): How its images are drawn, a key of ``DRAWS``.
        turn (Turn): Its part of a pass.
    """

    pool: str
    images: int
    in_group: int
    draw: str
    turn: Turn


class Drawn(Protocol):
    """What draws need of a plan."""

    pools: Mapping[str, Pool]
    odds: dict[str, np.ndarray]
    seed: int
    num_groups: int
    first_group: int
    used: dict[str, int]


def _independent(
    plan: Drawn, share: Share, epoch: int, groups: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    words = _slot_words(plan, share, epoch, groups, slots)
    return below(words, len(plan.pools[share.pool]))


def _weighted(
    plan: Drawn, share: Share, epoch: int, groups: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    words = _slot_words(plan, share, epoch, groups, slots)
    unit = (words >> np.uint64(11)) * 2.0**-53
    return plan.odds[share.pool].searchsorted(unit, side='right')


def _cycles(
    plan: Drawn, share: Share, epoch: int, groups: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    pool, first, in_group, _ = share.turn
    groups = groups + (epoch * plan.num_groups - plan.first_group)
    places = groups * in_group + (slots + first)
    places += plan.used.get(pool, 0)
    size, purpose = len(plan.pools[pool]), f'pass {pool}'
    return shuffled(places, size, plan.seed, purpose)


def _one_pass(
    plan: Drawn, share: Share, epoch: int, groups: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    pool, first, in_group, _ = share.turn
    size = len(plan.pools[pool])
    places = groups * in_group + (slots + first)
    if (int(groups[-1]) + 1) * in_group > size:  # the last without drop_last
        places %= size
    return shuffled_once(places, size, plan.seed, f'pass {pool}', epoch)


# Places in the pool, of shape (images, batches), for the group of each batch and its
# slots in the pool's share of that group, 0 … share.in_group - 1: of the same shape, or
# (images, 1) where all batches have the same.
DRAWS = {
    'independent': _independent,
    'weighted': _weighted,
    'cycles': _cycles,
    'pass': _one_pass,
}


def _slot_words(
    plan: Drawn, share: Share, epoch: int, groups: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    # A stream of words for each slot of a group, one word a group.
    group, slot = int(groups[0]), int(slots.min())
    count = int(groups[-1]) + 1 - group
    words = np.array(
        [
            random_words(plan.seed, f'draw {share.pool}', group, count, lane, epoch)
            for lane in range(slot, int(slots.max()) + 1)
        ]
    )
    if count == len(groups) and words[:, :1].shape == slots.shape:
        return words  # of each group the same slots
    return words.take((slots - slot) * count + (groups - group))


def make_odds(weights: np.ndarray, pool: str) -> np.ndarray:
    """Cumulative odds of the images of a pool, as weighted draws need them."""
    # So that no sum overflows; a power of two changes no ratio.
    total = np.ldexp(weights, -np.frexp(weights.max())[1]).cumsum(dtype=np.float64)
    if not total[-1] > 0:
        raise ValueError(
            f'the weights of all images of the pool {pool!r} are 0: expected one '
            'above 0; set train_dataloader.sampler.weights'
        )
    return total / total[-1]


def take(pool: Pool, places: np.ndarray) -> np.ndarray:
    """The images at places of a pool."""
    if isinstance(pool, range):
        return pool.start + places * pool.step
    return pool.take(places)
