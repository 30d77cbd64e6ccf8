"""QuotaBatchSampler: how many of them stand in each batch."""

from __future__ import annotations

from functools import partial
from itertools import chain
from operator import length_hint
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from mmdefect.arguments import flag
from mmdefect.checks.pools import check_quota_names, missing_pools
from mmdefect.plan.draws import Pool
from mmdefect.plan.plan import Plan
from mmdefect.plan.quotas import BATCH_SAMPLER, Quota
from mmdefect.samplers.course import FurtherPool, plans_of_run
from mmdefect.samplers.defect_pool_sampler import CONFIG_LINES, DefectPoolSampler
from mmdefect.samplers.forms import pools_of_forms, versions_of, weights_of_forms
from mmdefect.samplers.ranks import check_ranks_agree, constructed_together
from mmdefect.samplers.state import checksum, fingerprint, place_in
from mmdefect.samplers.summary import announce

# Batches turned into lists at once: few enough for the processor's cache, and for
# Python not to look for garbage among them.
LISTED = 256


class Cursor(NamedTuple):
    """A place between two batches."""

    epoch: int
    stop: int  # the step after the last batch that is planned
    planned: Iterator[list[int]] | None = None  # None where none has begun


class _Batches(chain):
    """The batches of one iteration, at the cost of ``itertools.chain``.

    Of an epoch that had ended, torchdata restores an iterator and throws it away for
    another, which must not find the place to go on from once more.
    """

    begin: Callable[[], None]

    def state_dict(self) -> dict:
        return {}  # all of it is in that of the batch sampler

    def load_state_dict(self, state: dict) -> None:
        self.begin()


@DATA_SAMPLERS.register_module()
class QuotaBatchSampler(Sampler):
    """Batches with a fixed number of images from each pool, on every rank.

    An epoch goes through the normal images once, without replacement and over all
    ranks together; the other pools are drawn from, for as long as that takes. Batches
    are computed, not collected: see :mod:`mmdefect.plan.plan`.

    Args:
        sampler (DefectPoolSampler): Knows the pools.
        batch_size (int): Images a batch on one rank.
        quota (int | float | dict | None): Images of a batch that come from ``defect``;
            a float in (0, 1) is their share of the batch; a dict gives one or the other
            by pool name, such as ``dict(crack=2, dent=1)``. The rest is ``normal``. 0
            is no defects. None is no quota: plain shuffled batches of all images.
            ``pasted``, as in ``dict(defect=2, pasted=2)``, are normal images into which
            ``DefectPreservingDataset`` pastes a defect; they take part in the pass over
            the normal images. ``pasted=dict(crack=1, dent=1)`` says of which class.
            ``counterexample`` are defect images that it crops to a part without one.
        over (int, optional): Images over which the quota holds, in place of a batch.
            The images of a run, step by step and rank by rank, are cut into groups of
            so many; each holds the quota, and its batches share it up to one image,
            or up to two for each of several pools.
            Whole batches that are a whole part of a step over all ranks, or whole
            steps. Defaults to None.
        drop_last (bool): Whether to leave out the tail of a pass that fills no whole
            step or group. False fills the last one from the head of the same pass.
            Batches are never short. Defaults to True.
        num_batches (int, optional): Steps in an epoch. None is one pass over the
            normal images; with a number the pass goes on from epoch to epoch. Defaults
            to None.
        infinite (bool): Whether to go on into the next epoch without ending, for
            ``IterBasedTrainLoop``. Defaults to False.

    Raises:
        TypeError: If an argument is of another type than said here.
        ValueError: If the quota does not fit the batch or the pools, or the ranks do
            not agree.
        RuntimeError: If one of these is raised on another rank only.
    """

    @constructed_together
    def __init__(
        self,
        sampler: DefectPoolSampler,
        batch_size: int,
        quota: Quota,
        over: int | None = None,
        drop_last: bool = True,
        num_batches: int | None = None,
        infinite: bool = False,
    ) -> None:
        if not isinstance(sampler, DefectPoolSampler):
            raise TypeError(
                f'QuotaBatchSampler got a {type(sampler).__name__}, which does not '
                'know the defect images. Write into train_dataloader:\n' + CONFIG_LINES
            )
        flag(drop_last, f'{BATCH_SAMPLER}.drop_last')
        flag(infinite, f'{BATCH_SAMPLER}.infinite')
        if quota is None and sampler.weights is not None:
            raise ValueError(
                'weights count for the draws of a quota, and quota=None asks for '
                'plain batches of all images: set '
                'train_dataloader.batch_sampler.quota, or take '
                'train_dataloader.sampler.weights out'
            )
        check_quota_names(quota, sampler.defect_classes)
        versions = versions_of(sampler)
        # Further ones are added where a schedule asks for them.
        self._pools: dict[str, Pool] = {
            **sampler.pools,
            'all': range(len(sampler.dataset)),
            **pools_of_forms(sampler, quota),
        }
        plan = Plan(
            self._pools,
            quota,
            batch_size,
            over=over,
            world_size=sampler.world_size,
            seed=sampler.seed,
            drop_last=drop_last,
            num_batches=num_batches,
            replacement=sampler.replacement,
            weights=weights_of_forms(sampler),
            versions=versions,
        )
        self.sampler = sampler
        self.batch_size = plan.batch_size
        # From which step of the run on each plan holds.
        self._plans: list[tuple[int, Plan]] = [(0, plan)]
        self._milestones: Sequence[tuple[int, Quota]] | None = None
        self._further: FurtherPool | None = None
        self.quota = quota
        self.over = plan.over
        self.drop_last = drop_last
        self.infinite = infinite
        self._cursor = Cursor(0, 0)
        self._checksum: int | None = None
        self._tell_dataset()

    def _agree(self) -> None:
        if self.sampler.world_size > 1:
            own = dict(batch_size=self.batch_size, infinite=self.infinite)
            steps = {'steps per epoch': len(self)}
            check_ranks_agree({**self._fingerprint(), **steps, **own})
        announce(self)

    @property
    def plan(self) -> Plan:
        """Plan: The plan that the run begins with."""
        return self._plans[0][1]

    @property
    def plans(self) -> list[tuple[int, Plan]]:
        """list[tuple]: Plans, each with the step of the run from which it holds."""
        return list(self._plans)

    def set_schedule(self, milestones: Sequence[tuple[int, Quota]]) -> None:
        """Change the quota at given steps of the run.

        The number of batches in an epoch stays what it is. The pass over the normal
        images goes on from epoch to epoch, as with ``num_batches``.

        Args:
            milestones (Sequence[tuple]): Pairs of a step, counted from the beginning
                of the run, and the quota from there on. Steps rise and are above 0,
                and begin groups.

        Raises:
            TypeError: If a quota is of another type than ``quota`` takes.
            ValueError: If a quota does not fit, or the steps do not rise or are inside
                groups.
        """
        steps = [0, *(step for step, _ in milestones)]
        if any(step <= before for before, step in zip(steps, steps[1:])):
            raise ValueError(
                f'milestones {list(milestones)}: expected steps that rise and are '
                'above 0; the quota of step 0 is '
                'train_dataloader.batch_sampler.quota'
            )
        for _, quota in milestones:
            self.count_images(quota)  # which adds the pools that it asks for
        self._lay_out(milestones, self._further)
        self._tell_dataset()

    def count_images(self, quota: Quota) -> dict[str, int]:
        """Images of each pool that a quota asks for."""
        check_quota_names(quota, self.sampler.defect_classes)
        self._pools.update(pools_of_forms(self.sampler, quota))
        return self.plan.count_images(quota)

    def set_further_pool(
        self, name: str, images: int, contents: Sequence[tuple[int, np.ndarray]]
    ) -> None:
        """Draw from a pool whose images are found in the course of the run.

        Its images stay in ``normal`` too, so that a pass goes on through all of it. Of
        ``contents``, each a step of the run where a group begins and the indices from
        there on, a batch takes ``images`` in the place of normal ones.
        """
        if name in self._pools or name in self.plan.versions:
            raise ValueError(
                f'the pool {name!r} is there already: choose another name, or take it '
                'out of train_dataloader.sampler.pools'
            )
        self._lay_out(self._milestones, FurtherPool(name, images, contents))

    def _lay_out(
        self,
        milestones: Sequence[tuple[int, Quota]] | None,
        further: FurtherPool | None,
    ) -> None:
        self._plans = plans_of_run(
            self.plan, self._pools, self.quota, milestones, further
        )
        self._milestones, self._further = milestones, further

    def plan_at(self, epoch: int, step: int) -> Plan:
        """The plan in force at a step."""
        now = epoch * len(self) + step
        return next(plan for first, plan in reversed(self._plans) if first <= now)

    def __len__(self) -> int:
        """Batches in an epoch on this rank, the same on every rank."""
        return len(self.plan)

    def __iter__(self) -> Iterator[list[int]]:
        if self._cursor.planned is not None:  # that of an iteration before
            self._cursor = Cursor(self.sampler.epoch, 0)
        place = self._place()
        batches: Any = _Batches.from_iterable(self._chunks(*place))
        batches.begin = partial(self._begin, *place)
        return batches

    def _chunks(self, epoch: int, step: int) -> Iterator[Iterator[list[int]]]:
        # At the first batch, not at iter(): a DataLoader with workers calls that twice
        # and uses the second; and a later epoch may be set in between.
        epoch, step = max((epoch, step), (self.sampler.epoch, 0))
        self._begin(epoch, step)
        while True:
            for plan, start, stop in self._stretches(epoch, step):
                for end, rows in plan.chunks(epoch, self.sampler.rank, start, stop):
                    first = end - len(rows)
                    for done in range(0, len(rows), LISTED):
                        batches = rows[done : done + LISTED].tolist()
                        planned = iter(batches)
                        self._cursor = Cursor(
                            epoch, first + done + len(batches), planned
                        )
                        yield planned
            if not self.infinite:
                return
            epoch, step = epoch + 1, 0

    def _begin(self, epoch: int, step: int) -> None:
        self._cursor = Cursor(epoch, step, iter(()))

    def _place(self) -> tuple[int, int]:
        # Epoch and step of the next batch.
        epoch, stop, planned = self._cursor
        step = stop - length_hint(planned or ())
        return max((epoch, step), (self.sampler.epoch, 0))

    @property
    def epoch(self) -> int:
        """int: That of the next batch."""
        return self._place()[0]

    def _stretches(self, epoch: int, step: int) -> Iterator[tuple[Plan, int, int]]:
        # What is left of the epoch, cut where the quota changes.
        cuts = [first - epoch * len(self) for first, _ in self._plans]
        cuts = [step] + [cut for cut in cuts if step < cut < len(self)] + [len(self)]
        for start, stop in zip(cuts, cuts[1:]):
            yield self.plan_at(epoch, start), start, stop

    def state_dict(self) -> dict[str, Any]:
        """Where the iteration is, for ``torchdata``'s ``StatefulDataLoader``.

        Returns:
            dict: ``epoch`` and ``step``, the next batch; ``step_size``, images in a
            step over all ranks, and ``num_batches``, steps in an epoch; and
            ``fingerprint``, all that the images of a group depend on.
        """
        epoch, step = self._place()
        return dict(
            epoch=epoch,
            step=step,
            step_size=self.plan.step_size,
            num_batches=len(self),
            fingerprint=self._fingerprint(),
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved place: the next iteration starts there.

        Where ``set_epoch`` of the sampler names a later epoch, before or afterwards, it
        starts at the beginning of that epoch. The number of ranks and the batch size
        may differ, as long as a group is the same.

        Args:
            state (dict): What ``state_dict`` returned.

        Raises:
            ValueError: If it was saved with other data or settings, or inside what is
                a step now.
        """
        epoch, step = place_in(self.plan, self._fingerprint(), state)
        self._cursor = Cursor(epoch, step)
        self.sampler.set_epoch(max(epoch, self.sampler.epoch))

    def start_at(self, epoch: int, step: int) -> None:
        """Let the next iteration start at a step."""
        self.sampler.set_epoch(epoch)
        self._cursor = Cursor(epoch, step)

    def reseed(self, seed: int) -> None:
        """Take another seed, that of a run to be resumed for example."""
        self.sampler.seed = seed
        for _, plan in self._plans:
            plan.seed = seed

    def take_over(self, before: QuotaBatchSampler) -> None:
        """Go on in the place of another, whose dataloader is built anew in training."""
        self.reseed(before.sampler.seed)
        for _, quota in before._milestones or ():
            self.count_images(quota)  # which adds the pools that it asks for
        if before._milestones is not None or before._further is not None:
            self._lay_out(before._milestones, before._further)
        # The new one may have been told the next epoch already.
        self.start_at(*max(before._place(), self._place()))
        self._tell_dataset()

    def _tell_dataset(self) -> None:
        # What an image was drawn for is kept through augmentation.
        if hasattr(self.sampler.dataset, 'know_quota'):
            names = {s.pool for _, plan in self._plans for s in plan.shares}
            self.sampler.dataset.know_quota(names)

    def _fingerprint(self) -> dict[str, Any]:
        if self._checksum is None:
            self._checksum = checksum(self.sampler)
        return fingerprint(self.sampler, self._checksum, [p for _, p in self._plans])

    def never_drawn(self) -> dict[str, int]:
        """Count the photographs that no quota of the run reaches."""
        pools = self.sampler.pools
        names = {share.pool for _, plan in self._plans for share in plan.shares}
        if 'all' in names or names & {*pools} == {'normal'}:
            return {}
        return missing_pools(pools, names & {*pools}, self.sampler.count_photographs)
