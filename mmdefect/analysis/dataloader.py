"""A config's training dataloader, as the Runner builds it."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Iterator

if TYPE_CHECKING:
    from mmengine.config import Config


def build_loader(cfg: Config, dataset: Any) -> Any:
    """Build the training dataloader as MMEngine does, around a built dataset."""
    from mmengine.runner import Runner, set_random_seed

    seed = (cfg.get('randomness') or {}).get('seed') or 0
    set_random_seed(seed)  # the same config, the same findings
    return Runner.build_dataloader({**cfg.train_dataloader, 'dataset': dataset}, seed)


def schedules(cfg: Config) -> Iterator[tuple[str, dict]]:
    """The quota schedules of a config, with their keys."""
    for number, hook in enumerate(cfg.get('custom_hooks') or ()):
        if 'QuotaScheduleHook' in str(hook.get('type')):
            yield f'custom_hooks[{number}]', hook


def build_hook(hook: dict) -> Any:
    """Build a hook as MMEngine does."""
    from mmengine.registry import HOOKS

    return HOOKS.build({k: v for k, v in hook.items() if k != 'priority'})


def load_batches(loader: Any) -> Iterator[tuple[int, int, list, dict]]:
    """Load batches as training does, epoch after epoch, without end.

    Args:
        loader (DataLoader): A dataloader with ``QuotaBatchSampler``.

    Yields:
        tuple: Epoch, step, the indices that were drawn and the batch that arrived.
    """
    for epoch in count():
        loader.batch_sampler.sampler.set_epoch(epoch)
        # The plan is a pure function: iterated twice, it says what was drawn.
        for step, (indices, batch) in enumerate(zip(loader.batch_sampler, loader)):
            yield epoch, step, indices, batch
