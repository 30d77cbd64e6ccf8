"""The plan: pools and a quota in, the batches of any step of any epoch out.

A batch is a row of indices. Each pool fills a fixed number of its places, the quota;
then the row is shuffled. Which image stands in place ``n`` of a pool's share is a pure
function of (seed, epoch, n), and places are numbered over all ranks:

    step 0                       step 1                       ...
    rank 0       rank 1          rank 0       rank 1
    [0, 1, 2]    [3, 4, 5]       [6, 7, 8]    [9, 10, 11]     places of a quota of 3

So a rank computes its own rows and no others, any step can be reached at once, and the
images of a step stay the same when the same global batch is spread over more ranks.
"""

from __future__ import annotations

from typing import Iterator, Mapping, NamedTuple, Union

import numpy as np

from mmdefect.plan.permutation import MAX_SIZE, below, random_words, shuffled
from mmdefect.plan.quotas import Quota, share_batch, whole_number

Pool = Union[np.ndarray, range]

# Images planned at once: few to begin with, since somebody waits for the first batch,
# then as many as keep the arrays in the processor's cache.
FIRST_CHUNK, LAST_CHUNK = 2048, 16384


class Share(NamedTuple):
    """What one pool gives to every batch.

    Args:
        pool (str): Name of the pool.
        images (int): Images of the batch on one rank.
        draw (str): How its images are drawn, a key of ``DRAWS``.
    """

    pool: str
    images: int
    draw: str


class Plan:
    """Every batch of a training run, as a pure function of its settings.

    Args:
        pools (dict): Indices by pool name: int64 arrays or ranges. ``normal`` must be
            there; ``all`` too, where ``quota`` is None.
        quota (int | float | dict | None): See :func:`share_batch`.
        batch_size (int): Images a batch on one rank.
        world_size (int): Number of ranks.
        seed (int): Seed of the run, the same on all ranks.
        drop_last (bool): Leave out the tail of a pass that fills no whole step, instead
            of filling the last step from the head of the same pass.
        num_batches (int, optional): Steps in an epoch. None is one pass over the normal
            images; otherwise the pass goes on from epoch to epoch.
        replacement (bool): Draw from the other pools with replacement. False goes
            through each in reshuffled cycles.
        weights (np.ndarray, optional): How often each image of the dataset is to be
            drawn, relative to the others of its pool. Needs ``replacement``.
        first_step (int): Step of the run from which this plan counts its places.
        used (dict[str, int], optional): Places of each pool used up before that step.

    Raises:
        TypeError: If an argument is of another type than said here.
        ValueError: If the quota does not fit the batch or the pools, or the normal
            images do not fill one step.
    """

    def __init__(
        self,
        pools: Mapping[str, Pool],
        quota: Quota,
        batch_size: int,
        world_size: int = 1,
        seed: int = 0,
        drop_last: bool = True,
        num_batches: int | None = None,
        replacement: bool = True,
        weights: np.ndarray | None = None,
        first_step: int = 0,
        used: Mapping[str, int] | None = None,
    ) -> None:
        counts = share_batch(quota, batch_size, pools)
        self.pools = pools
        self.batch_size = sum(counts.values())
        self.world_size = world_size
        self.seed = seed
        self.drop_last = drop_last
        self.replacement = replacement
        self.weights = weights
        self.first_step = first_step
        self.used = dict(used or {})
        rest = 'all' if quota is None else 'normal'
        if num_batches is None:
            num_batches, rest_draw = self._steps_of_one_pass(rest, counts[rest]), 'pass'
        else:
            line = 'set train_dataloader.batch_sampler.num_batches'
            num_batches, rest_draw = (
                whole_number(num_batches, 'num_batches', line),
                'cycles',
            )
            if num_batches < 1:
                raise ValueError(
                    f'num_batches={num_batches}: expected at least 1; {line}'
                )
            self._steps_of_one_pass(rest, counts[rest])
        if not replacement:
            draw = 'cycles'
        else:
            draw = 'independent' if weights is None else 'weighted'
        self.num_batches = num_batches
        self.shares = [
            Share(pool, count, rest_draw if pool == rest else draw)
            for pool, count in counts.items()
        ]
        self._odds = {
            share.pool: _odds(weights[pools[share.pool]], share.pool)
            for share in self.shares
            if share.draw == 'weighted' and weights is not None
        }

    def _steps_of_one_pass(self, pool: str, count: int) -> int:
        size, step = len(self.pools[pool]), count * self.world_size
        if size > MAX_SIZE:
            raise ValueError(f'{size:,} images in {pool!r}: expected at most 2**32')
        if size < step:
            ranks = f' ({count} on each of {self.world_size} ranks)'
            raise ValueError(
                f'{size:,} {pool} images, but one step takes {step:,}'
                f'{ranks if self.world_size > 1 else ""}; '
                'set a smaller train_dataloader.batch_size, or add images'
            )
        return size // step if self.drop_last else -(-size // step)

    def __len__(self) -> int:
        """Number of steps in an epoch, the same on every rank."""
        return self.num_batches

    def switch(self, quota: Quota, step: int) -> Plan:
        """The plan with another quota that takes over at a step of the run.

        Its epochs have as many steps as those of this plan, and its passes go on where
        those of this plan stop; so ``num_batches`` must have been given to this one.

        Args:
            quota (int | float | dict | None): See :func:`share_batch`.
            step (int): The step, counted from the beginning of the run.

        Returns:
            Plan: To be asked for batches from that step on.
        """
        used = dict(self.used)
        for share in self.shares:
            drawn = (step - self.first_step) * share.images * self.world_size
            used[share.pool] = used.get(share.pool, 0) + drawn
        return Plan(
            self.pools,
            quota,
            self.batch_size,
            self.world_size,
            self.seed,
            self.drop_last,
            len(self),
            self.replacement,
            self.weights,
            step,
            used,
        )

    def batches(self, epoch: int, rank: int, start: int, stop: int) -> np.ndarray:
        """The batches of steps ``start … stop - 1``.

        Args:
            epoch (int): The epoch.
            rank (int): The rank, ``0 … world_size - 1``.
            start (int): First step.
            stop (int): Step to end before, at most ``len(self)``.

        Returns:
            np.ndarray: int64 indices of shape (stop - start, batch_size).
        """
        steps = np.arange(start, stop)[:, None]
        columns = []
        for share in self.shares:
            slots = np.arange(rank * share.images, (rank + 1) * share.images)
            drawn = DRAWS[share.draw](self, share, epoch, steps, slots)
            columns.append(_take(self.pools[share.pool], drawn))
        return self._shuffle_rows(np.concatenate(columns, axis=1), epoch, rank, start)

    def _shuffle_rows(
        self, rows: np.ndarray, epoch: int, rank: int, start: int
    ) -> np.ndarray:
        # A row is sorted by random upper halves of its words; the indices ride along
        # in the lower halves. One sort is cheaper than an argsort and a gather.
        half = -(-self.batch_size // 2)
        words = random_words(
            self.seed, 'place', start * half, len(rows) * half, rank, epoch
        ).reshape(-1, half)
        low, bits = np.uint64(0xFFFFFFFF), np.uint64(32)
        keys = np.concatenate([words & ~low, words << bits], axis=1)
        keys = keys[:, : self.batch_size] | rows.view(np.uint64)
        keys.sort(axis=1)
        return (keys & low).view(np.int64)

    def chunks(
        self, epoch: int, rank: int, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Batches of one rank, from step ``start`` on.

        Args:
            epoch (int): The epoch.
            rank (int): The rank.
            start (int): First step. Any step is reached at the same cost.
            stop (int, optional): Step to end before. None is the end of the epoch.

        Yields:
            tuple[int, np.ndarray]: The step after the chunk, and the chunk's batches:
            int64 indices of shape (steps, batch_size).
        """
        images = FIRST_CHUNK
        stop = len(self) if stop is None else stop
        while start < stop:
            end = min(start + -(-images // self.batch_size), stop)
            yield end, self.batches(epoch, rank, start, end)
            start, images = end, min(8 * images, LAST_CHUNK)


def _independent(
    plan: Plan, share: Share, epoch: int, steps: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    words = _slot_words(plan, share, epoch, steps, slots)
    return below(words, len(plan.pools[share.pool]))


def _weighted(
    plan: Plan, share: Share, epoch: int, steps: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    words = _slot_words(plan, share, epoch, steps, slots)
    unit = (words >> np.uint64(11)) * 2.0**-53
    return plan._odds[share.pool].searchsorted(unit, side='right')


def _cycles(
    plan: Plan, share: Share, epoch: int, steps: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    steps = epoch * len(plan) + steps - plan.first_step
    places = steps * share.images * plan.world_size + slots
    places += plan.used.get(share.pool, 0)
    size, purpose = len(plan.pools[share.pool]), f'pass {share.pool}'
    return shuffled(places, size, plan.seed, purpose)


def _one_pass(
    plan: Plan, share: Share, epoch: int, steps: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    size = len(plan.pools[share.pool])
    places = steps * (share.images * plan.world_size) + slots
    if places[-1, -1] >= size:  # only the last step without drop_last
        places %= size
    return shuffled(places + epoch * size, size, plan.seed, f'pass {share.pool}')


# How a pool's share is drawn: places in the pool, of shape (steps, slots).
DRAWS = {
    'independent': _independent,
    'weighted': _weighted,
    'cycles': _cycles,
    'pass': _one_pass,
}


def _slot_words(
    plan: Plan, share: Share, epoch: int, steps: np.ndarray, slots: np.ndarray
) -> np.ndarray:
    purpose, start = f'draw {share.pool}', int(steps[0, 0])
    return np.stack(
        [
            random_words(plan.seed, purpose, start, len(steps), slot, epoch)
            for slot in slots.tolist()
        ],
        axis=1,
    )


def _odds(weights: np.ndarray, pool: str) -> np.ndarray:
    # So that no sum overflows; a power of two changes no ratio.
    total = np.ldexp(weights, -np.frexp(weights.max())[1]).cumsum(dtype=np.float64)
    if not total[-1] > 0:
        raise ValueError(
            f'the weights of all images of the pool {pool!r} are 0: expected one '
            'above 0; set train_dataloader.sampler.weights'
        )
    return total / total[-1]


def _take(pool: Pool, places: np.ndarray) -> np.ndarray:
    if isinstance(pool, range):
        return pool.start + places * pool.step
    return pool.take(places)
