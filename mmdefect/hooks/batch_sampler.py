"""The batch sampler that a hook works with, also where another one takes its place."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log

from mmdefect.hooks.workers import seed_workers_by_epoch
from mmdefect.samplers.defect_pool_sampler import CONFIG_LINES
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler
from mmdefect.samplers.ranks import differing_settings


def quota_batch_sampler(runner: Any, hook: Hook) -> QuotaBatchSampler:
    """The ``QuotaBatchSampler`` of a run."""
    found = runner.train_dataloader.batch_sampler
    if isinstance(found, QuotaBatchSampler):
        return found
    raise TypeError(
        f'{type(hook).__name__} needs batches made by QuotaBatchSampler, and '
        f'train_dataloader.batch_sampler makes a {type(found).__name__}. Write into '
        f'train_dataloader:\n{CONFIG_LINES}\nor take the hook out of custom_hooks'
    )


def followed_batch_sampler(runner: Any, hook: Hook) -> QuotaBatchSampler:
    """The ``QuotaBatchSampler`` of a run, whose place no other takes unnoticed."""
    found = quota_batch_sampler(runner, hook)
    if not any(isinstance(other, SuccessionHook) for other in runner.hooks):
        runner.register_hook(SuccessionHook(found))
        seed_workers_by_epoch(runner.train_dataloader)
    return found


class SuccessionHook(Hook):
    """Lets the batches go on where another hook builds the train dataloader anew.

    MMYOLO's ``YOLOXModeSwitchHook`` does, from the config: the seed and the quotas of a
    schedule are lost with the batch sampler before. The new one takes them over, on
    each rank, and starts where that stands.
    """

    # After the hooks that build.
    priority = 'LOWEST'

    def __init__(self, batch_sampler: QuotaBatchSampler) -> None:
        self.batch_sampler = batch_sampler

    def before_train_epoch(self, runner: Any) -> None:
        """Hand on what the batches depend on."""
        before, now = self.batch_sampler, quota_batch_sampler(runner, self)
        if now is before:
            return
        now.take_over(before)
        seed_workers_by_epoch(runner.train_dataloader)
        self.batch_sampler = now
        said = f'epoch {runner.epoch + 1} begins with a train dataloader built anew'
        differ = differing_settings(
            'before',
            before.state_dict()['fingerprint'],
            'now',
            now.state_dict()['fingerprint'],
        )
        if differ:
            print_log(
                f'{said}, which draws other batches: {differ}. A checkpoint of one is '
                'not resumed with the other',
                logger='current',
                level=logging.WARNING,
            )
        else:
            print_log(f'{said}: its batches go on from before', logger='current')
