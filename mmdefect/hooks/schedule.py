"""QuotaScheduleHook: the quota changes in the course of training."""

from __future__ import annotations

import logging
from typing import Any, Sequence

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop

from mmdefect.arguments import flag, whole_number
from mmdefect.hooks.batch_sampler import followed_batch_sampler
from mmdefect.hooks.loops import prefetch_anew
from mmdefect.plan.quotas import Quota
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler

_FIX = 'set milestones of QuotaScheduleHook in custom_hooks'


@HOOKS.register_module()
class QuotaScheduleHook(Hook):
    """Changes the quota in the course of training.

    An epoch keeps its number of batches, so that schedules of the learning rate stay
    right, and the pass over the normal images goes on. Which batch a step gets depends
    on nothing but the step: resuming, workers and prefetching change nothing.

    Strong early and natural late is two-phase training; natural early and balanced late
    is deferred re-sampling. Both can be written ("Sources" of ``mmdefect/README.md``).

    Args:
        milestones (Sequence[tuple]): Pairs of an epoch, or an iteration, and the quota
            from there on, such as ``[(0, 4), (10, 2), (20, None)]``. A quota is what
            ``QuotaBatchSampler`` takes; None is plain shuffled batches of all images.
            An entry at 0 must be the batch sampler's own quota. Where the quota holds
            over several batches, an iteration inside such a group is moved to the next.
        by_epoch (bool): Whether milestones count epochs of ``len(batch_sampler)``
            steps, rather than iterations. Defaults to True.

    Raises:
        TypeError: If a milestone is no pair of an int and a quota.
        ValueError: If there is none, one is negative, or they do not rise.
    """

    # Before QuotaResumeHook and QuotaMonitorHook, which look at the schedule.
    priority = 'VERY_HIGH'

    def __init__(self, milestones: Sequence[Any], by_epoch: bool = True) -> None:
        flag(by_epoch, 'custom_hooks: QuotaScheduleHook.by_epoch')
        if not isinstance(milestones, (list, tuple)) or not all(
            isinstance(entry, (list, tuple)) and len(entry) == 2 for entry in milestones
        ):
            raise TypeError(
                f'milestones={milestones!r}: expected a list of pairs, such as '
                f'[(0, 4), (10, 2), (20, None)]; {_FIX}'
            )
        starts = [start for start, _ in milestones]
        for start in starts:
            whole_number(start, 'custom_hooks: QuotaScheduleHook.milestones')
        if not starts or starts[0] < 0 or starts != sorted(set(starts)):
            raise ValueError(
                f'milestones={milestones!r}: expected at least one, the first not '
                f'below 0 and each above the one before; {_FIX}'
            )
        self.milestones: list[tuple[int, Quota]] = [(s, q) for s, q in milestones]
        self.by_epoch = by_epoch

    def before_train(self, runner: Any) -> None:
        """Hand the schedule to the batch sampler."""
        batch_sampler = followed_batch_sampler(runner, self)
        self.apply(batch_sampler)
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop):
            # It has begun to prefetch when it was built, without the schedule.
            prefetch_anew(loop)
        unit = 'epoch' if self.by_epoch else 'iteration'
        told = [self._told(batch_sampler, unit, *entry) for entry in self.milestones]
        print_log(f'quota schedule: {", ".join(told)}', logger='current')
        end = runner.max_iters / (len(runner.train_dataloader) if self.by_epoch else 1)
        late = [start for start, _ in self.milestones if start >= end]
        if late:
            print_log(
                f'milestones of QuotaScheduleHook at {unit} '
                f'{", ".join(map(str, late))} are never reached: training ends after '
                f'{end:g}; {_FIX}',
                logger='current',
                level=logging.WARNING,
            )

    def _told(
        self, batch_sampler: QuotaBatchSampler, unit: str, start: int, quota: Quota
    ) -> str:
        said = f'quota {quota}'
        if quota is None:
            weighted = batch_sampler.sampler.weights is not None
            said = 'no quota' + ' and no weights' * weighted
        if not start:
            return f'{said} to begin with'
        step = self._first_step(batch_sampler, start)
        if self.by_epoch or step == start:
            return f'{said} from {unit} {start}'
        over = batch_sampler.over
        return f'{said} from {unit} {step} ({start} is inside a group of {over} images)'

    def _first_step(self, batch_sampler: QuotaBatchSampler, start: int) -> int:
        # A group that has begun keeps its quota.
        if self.by_epoch:
            return start * len(batch_sampler)
        group = batch_sampler.plan.group_steps
        return -(-start // group) * group

    def apply(self, batch_sampler: QuotaBatchSampler) -> None:
        """Set the schedule of a batch sampler.

        A milestone inside a group of ``over`` images is moved to the next group.
        """
        try:
            shares = [batch_sampler.count_images(q) for _, q in self.milestones]
            own = batch_sampler.count_images(batch_sampler.quota)
            if self.milestones[0][0] == 0 and shares[0] != own:
                raise ValueError(
                    f'the entry at 0 is {self.milestones[0][1]!r}, but '
                    f'train_dataloader.batch_sampler.quota={batch_sampler.quota!r}: '
                    'expected the same; set one to the other'
                )
            batch_sampler.set_schedule(
                [
                    (self._first_step(batch_sampler, start), quota)
                    for start, quota in self.milestones
                    if start
                ]
            )
        except (TypeError, ValueError) as error:
            said = f'milestones={self.milestones} of QuotaScheduleHook: {error}'
            raise type(error)(said) from None
