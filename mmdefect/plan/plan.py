"""The plan: pools and a quota in, the batches of any step of any epoch out.

The images of a run are one row: step 0 rank 0, step 0 rank 1, …, step 1 rank 0, …. It
is cut into groups: steps, or as many images as the quota is to hold over. Each pool
fills a fixed number of a group's places, its slots. Which image stands in a slot is a
pure function of (seed, epoch, group, slot), and slots go on from group to group:

    group 0                      group 1                      ...
    rank 0       rank 1          rank 0       rank 1
    [0, 1, 2]    [3, 4, 5]       [6, 7, 8]    [9, 10, 11]     slots of a quota of 3

So a rank computes its own batches and no others, any step can be reached at once, and
a group holds the same images however many ranks and batches share it. At last, the
images of each batch are shuffled.
"""

from __future__ import annotations

from copy import copy
from typing import Iterator, Mapping

import numpy as np

from mmdefect.arguments import whole_number
from mmdefect.plan.draws import DRAWS, Pool, Share, Turn, make_odds, take
from mmdefect.plan.groups import Slots, check_over, most_in_batch, slots_of_batches
from mmdefect.plan.permutation import MAX_SIZE, below, random_words
from mmdefect.plan.quotas import Quota, share_images

# Images planned at once: few to begin with, since somebody waits for the first batch,
# then more, up to where the arrays would leave the processor's caches.
FIRST_CHUNK, LAST_CHUNK = 2048, 65536
LOWER = np.uint64(0xFFFFFFFF)


class Plan:
    """Every batch of a training run, as a pure function of its settings.

    Args:
        pools (dict): Indices by pool name: int64 arrays or ranges. ``normal`` must be
            there; ``all`` too, where ``quota`` is None.
        quota (int | float | dict | None): See :func:`share_images`.
        batch_size (int): Images a batch on one rank.
        over (int, optional): Images over which the quota holds, see
            :func:`check_over`. None is every batch.
        world_size (int): Number of ranks.
        seed (int): Seed of the run, the same on all ranks.
        drop_last (bool): Leave out the tail of a pass that fills no whole group or
            step, instead of filling the last one from the head of the same pass.
        num_batches (int, optional): Steps in an epoch. None is one pass over the normal
            images; otherwise the pass goes on from epoch to epoch.
        replacement (bool): Draw from the other pools with replacement. False goes
            through each in reshuffled cycles.
        weights (np.ndarray, optional): How often each image of the dataset is to be
            drawn, relative to the others of its pool. Needs ``replacement``.
        versions (dict[str, int], optional): Further pools by name that are the normal
            images in another version, and what is added to their indices then. All
            versions share one pass: it shows each image once, in one of them.

    Attributes:
        step_size (int): Images in a step, over all ranks.
        group_size (int): Images in a group: ``over``, or a step where that is None.
        group_steps (int): Steps that a group goes over. Several groups may be in one.
        num_groups (int): Groups in an epoch.
        shares (list[Share]): What each pool gives.
        alike (bool): Whether all batches have as many images of each pool.
        odds (dict[str, np.ndarray]): Of each pool drawn by weight, see
            :func:`make_odds`.
        first_group (int): Group of the run from which this plan counts slots.
        used (dict[str, int]): Images of each pool drawn before that, over all ranks.

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
        over: int | None = None,
        world_size: int = 1,
        seed: int = 0,
        drop_last: bool = True,
        num_batches: int | None = None,
        replacement: bool = True,
        weights: np.ndarray | None = None,
        versions: Mapping[str, int] | None = None,
    ) -> None:
        self.pools = pools
        self.versions = versions or {}
        self.batch_size = whole_number(batch_size, 'train_dataloader.batch_size', 1)
        self.over = check_over(over, self.batch_size, world_size)
        self.world_size = world_size
        self.seed = seed
        self.drop_last = drop_last
        self.replacement = replacement
        self.weights = weights
        self.step_size = self.batch_size * world_size
        self.group_size = self.over or self.step_size
        self.group_steps = max(self.group_size // self.step_size, 1)
        self.first_group, self.used = 0, dict.fromkeys(pools, 0)
        self._num_batches = num_batches
        if num_batches is not None:
            line = 'train_dataloader.batch_sampler.num_batches'
            self._num_batches = whole_number(num_batches, line, 1)
            rest = self._num_batches % self.group_steps
            if rest:
                below = f'{num_batches - rest} or ' if num_batches > rest else ''
                raise ValueError(
                    f'num_batches={num_batches}: expected whole groups of over='
                    f'{self.over} images, which take {self.group_steps} steps; '
                    f'set {line} to {below}{num_batches - rest + self.group_steps}'
                )
        self._set_quota(quota)

    def _set_quota(self, quota: Quota) -> None:
        counts = self.count_images(quota)
        rest = 'all' if quota is None else 'normal'
        times = self.group_size // sum(counts.values())
        turns = self._turns(rest, {pool: n * times for pool, n in counts.items()})
        self.num_groups = self._groups_of_one_pass(rest, turns[rest].of)
        rest_draw, draw = 'pass', 'independent'
        if self._num_batches is not None:
            self.num_groups = self._num_batches * self.step_size // self.group_size
            rest_draw = 'cycles'
        if not self.replacement:
            draw = 'cycles'
        elif self.weights is not None:
            draw = 'weighted'
        self.shares = [
            Share(
                pool,
                n,
                n * times,
                rest_draw if turns[pool].source == rest else draw,
                turns[pool],
            )
            for pool, n in counts.items()
        ]
        in_group = [share.in_group for share in self.shares]
        self.alike = sum(most_in_batch(self.batch_size, in_group)) == self.batch_size
        self._slots_at: dict[int, list[Slots]] = {}
        self.odds = {
            share.pool: make_odds(self.weights[self.pools[share.pool]], share.pool)
            for share in self.shares
            if share.draw == 'weighted' and self.weights is not None
        }

    def count_images(
        self, quota: Quota, pools: Mapping[str, Pool] | None = None
    ) -> dict[str, int]:
        """Split the images over which a quota holds among the pools.

        Args:
            quota (int | float | dict | None): See :func:`share_images`.
            pools (dict, optional): The pools. None is those of this plan.

        Returns:
            dict[str, int]: Images by pool name.
        """
        pools = self.pools if pools is None else pools
        versions = dict.fromkeys(self.versions, pools.get('normal', ()))
        return share_images(quota, {**pools, **versions}, self.batch_size, self.over)

    def _turns(self, rest: str, in_group: Mapping[str, int]) -> dict[str, Turn]:
        turns = {pool: Turn(pool, 0, images) for pool, images in in_group.items()}
        # The normal images come first, so that a pass of theirs alone is as ever.
        passed = [rest, *(pool for pool in in_group if pool in self.versions)]
        first, of = 0, sum(in_group[pool] for pool in passed)
        for pool in passed:
            turns[pool] = Turn(rest, first, of, self.versions.get(pool, 0))
            first += in_group[pool]
        return turns

    def _groups_of_one_pass(self, pool: str, in_group: int) -> int:
        # Whole groups, and whole steps.
        size, at_once = len(self.pools[pool]), max(self.step_size // self.group_size, 1)
        if size > MAX_SIZE:
            raise ValueError(f'{size:,} images in {pool!r}: expected at most 2**32')
        needed = in_group * at_once
        if size < needed:
            parts, kind = self.world_size, 'ranks'
            if self.over:
                parts, kind = at_once, f'groups of over={self.over} images'
            what, line = 'step', 'batch_size'
            if self.group_steps > 1:
                what, line = f'group of over={self.over} images', 'batch_sampler.over'
            raise ValueError(
                f'{size:,} {pool} images, but one {what} takes {needed:,}'
                + (f' ({needed // parts} for each of {parts} {kind})' * (parts > 1))
                + f'; set a smaller train_dataloader.{line}, or add images'
            )
        steps = size // needed if self.drop_last else -(-size // needed)
        return steps * at_once

    def __len__(self) -> int:
        """Number of steps in an epoch, the same on every rank."""
        return self.num_groups * self.group_size // self.step_size

    def switch(
        self, quota: Quota, step: int, pools: Mapping[str, Pool] | None = None
    ) -> Plan:
        """The plan with another quota that takes over at a step of the run.

        Its epochs have as many steps as those of this plan, and its passes go on where
        those of this plan stop; so ``num_batches`` must have been given to this one.

        Args:
            quota (int | float | dict | None): See :func:`share_images`.
            step (int): The step, counted from the beginning of the run: the first of a
                group.
            pools (dict, optional): Other pools, with the same ``normal`` and ``all``.
                None keeps those of this plan.

        Returns:
            Plan: To be asked for batches from that step on.

        Raises:
            ValueError: If the step is inside a group.
        """
        if step % self.group_steps:
            raise ValueError(
                f'the quota changes at step {step}: expected the first step of a group '
                f'of over={self.over} images, a multiple of {self.group_steps}'
            )
        plan = copy(self)
        plan.first_group = step * self.step_size // self.group_size
        groups = plan.first_group - self.first_group
        drawn = {share.turn.source: groups * share.turn.of for share in self.shares}
        plan.pools = self.pools if pools is None else pools
        plan.used = {
            name: self.used.get(name, 0) + drawn.get(name, 0) for name in plan.pools
        }
        plan._num_batches = len(self)
        plan._set_quota(quota)
        return plan

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
        groups, slots = self._slots(epoch, rank, start, stop)
        # One row for each image of a batch.
        width = sum(len(numbers) for numbers, _ in slots)
        keys, row = self._random_keys(width, epoch, rank, start, stop), 0
        for share, (numbers, taken) in zip(self.shares, slots):
            here = keys[row : row + len(numbers)]
            here |= self._draw(share, epoch, groups, numbers).view(np.uint64)
            if taken is not None:  # what is not is sorted behind what is
                here[~taken] = ~np.uint64(0)
            row += len(numbers)
        # One row for each batch. The indices ride along in the lower halves of random
        # words: one sort is cheaper than an argsort and a gather.
        batches = keys.T.copy()
        batches.sort(axis=1)
        batches &= LOWER
        return batches[:, : self.batch_size].view(np.int64)

    def images_of(self, epoch: int, rank: int, step: int) -> dict[str, int]:
        """How many images of a batch come from each pool, by name."""
        _, slots = self._slots(epoch, rank, step, step + 1)
        return {
            share.pool: len(numbers) if taken is None else int(taken.sum())
            for share, (numbers, taken) in zip(self.shares, slots)
        }

    def _slots(
        self, epoch: int, rank: int, start: int, stop: int
    ) -> tuple[np.ndarray, list[Slots]]:
        # Of each batch, the group and what it takes of that: it depends on where the
        # batch begins in the group.
        steps, first = np.arange(start, stop), rank * self.batch_size
        size, counts = self.batch_size, [share.in_group for share in self.shares]
        if self.group_steps > 1:
            groups = steps // self.group_steps
            places = (steps - groups * self.group_steps) * self.step_size + first
        else:
            group, place = divmod(first, self.group_size)
            groups = steps * (self.step_size // self.group_size) + group
            places = np.array([place])
            if self.alike:  # always the same
                if place not in self._slots_at:
                    slots = slots_of_batches(places, size, counts, None)
                    self._slots_at[place] = slots
                return groups, self._slots_at[place]
        phases = None if self.alike else self._phases(epoch, groups, counts)
        return groups, slots_of_batches(places, size, counts, phases)

    def _draw(
        self, share: Share, epoch: int, groups: np.ndarray, slots: np.ndarray
    ) -> np.ndarray:
        places = DRAWS[share.draw](self, share, epoch, groups, slots)
        images = take(self.pools[share.turn.source], places)
        return images + share.turn.offset if share.turn.offset else images

    def _phases(
        self, epoch: int, groups: np.ndarray, counts: list[int]
    ) -> list[np.ndarray]:
        first, phases = int(groups[0]), []
        number = int(groups[-1]) + 1 - first
        for lane in range(1, len(counts)):
            words = random_words(self.seed, 'phase', first, number, lane, epoch)
            phases.append(below(words, sum(counts[: lane + 1])).take(groups - first))
        return phases

    def _random_keys(
        self, width: int, epoch: int, rank: int, start: int, stop: int
    ) -> np.ndarray:
        # Words of shape (width, steps) whose lower halves are 0.
        half, steps = -(-width // 2), stop - start
        words = random_words(
            self.seed, 'place', start * half, steps * half, rank, epoch
        ).reshape(-1, half)
        keys = np.empty((2 * half, steps), np.uint64)
        np.bitwise_and(words.T, ~LOWER, out=keys[:half])
        np.left_shift(words.T, np.uint64(32), out=keys[half:])
        return keys[:width]

    def chunks(
        self, epoch: int, rank: int, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Batches of a rank from ``start`` on: the step after, int64 (n, size)."""
        images = FIRST_CHUNK
        stop = len(self) if stop is None else stop
        while start < stop:
            end = min(start + -(-images // self.batch_size), stop)
            yield end, self.batches(epoch, rank, start, end)
            start, images = end, min(12 * images, LAST_CHUNK)
