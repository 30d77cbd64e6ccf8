"""The batch sampler that a hook works with."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook

from mmdefect.samplers.defect_pool_sampler import CONFIG_LINES
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler


def quota_batch_sampler(runner: Any, hook: Hook) -> QuotaBatchSampler:
    """The ``QuotaBatchSampler`` of a run.

    Args:
        runner (Runner): The runner.
        hook (Hook): Who asks.

    Returns:
        QuotaBatchSampler: The batch sampler of the train dataloader.

    Raises:
        TypeError: If the batches are not made by one.
    """
    found = runner.train_dataloader.batch_sampler
    if isinstance(found, QuotaBatchSampler):
        return found
    raise TypeError(
        f'{type(hook).__name__} needs batches made by QuotaBatchSampler, and '
        f'train_dataloader.batch_sampler makes a {type(found).__name__}. Write into '
        f'train_dataloader:\n{CONFIG_LINES}\nor take the hook out of custom_hooks'
    )
