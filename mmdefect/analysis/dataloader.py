"""A config's training dataloader, as the Runner builds it."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

from mmdefect.analysis.config import warn
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.failures import what_fails
from mmdefect.delivery.files import (
    broken_files,
    check_image_directory,
    missing_files,
)
from mmdefect.pools.walk import walk_configs, walk_datasets

if TYPE_CHECKING:
    from mmengine.config import Config


def build_loader(cfg: Config, dataset: Any) -> Any:
    """Build the training dataloader as MMEngine does, around a built dataset.

    Its batches are as ``pseudo_collate`` leaves them: what the config collates them by
    may keep nothing of an image but its boxes. It is run all the same.
    """
    from mmengine.runner import Runner, set_random_seed

    seed = (cfg.get('randomness') or {}).get('seed') or 0
    set_random_seed(seed)  # the same config, the same findings
    # MMEngine would copy a dataset, and what is known of it would be found out anew.
    built = dict(cfg.train_dataloader, dataset=dict(type=lambda: dataset))
    loader = Runner.build_dataloader(built, seed)
    loader.collate_fn = partial(_collate, loader.collate_fn)
    return loader


def _collate(collate: Callable, items: Sequence) -> Any:
    from mmengine.dataset import pseudo_collate

    collate(items)  # whatever it refuses, training would not get either
    return pseudo_collate(items)


def build_split(cfg: Config, split: str) -> Any:
    """Build a dataset of a config."""
    from mmengine.registry import DATASETS

    loader = f'{split}_dataloader'
    config = cfg[loader].dataset
    with missing_files(loader), broken_files(config, loader):
        dataset = DATASETS.build(config)
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        for _, part in walk_datasets(dataset):
            inside = {'dataset', 'datasets'} & vars(part).keys()
            if not inside and hasattr(part, 'get_data_info'):
                check_image_directory(part, loader)
    return dataset


def draw_without_quota(cfg: Config) -> None:
    """Give a config without a quota plain shuffled batches, whose pools are known."""
    for name in ('drop_last', 'shuffle'):  # torch refuses them beside these
        cfg.train_dataloader.pop(name, None)
    cfg.train_dataloader.update(
        sampler=dict(type='DefectPoolSampler'),
        batch_sampler=dict(type='QuotaBatchSampler', quota=None),
    )


def keep_normal_images(cfg: Config) -> None:
    """Let the training dataset of a config keep its normal images, and say so."""
    dropping = [
        part
        for part in walk_configs(cfg.train_dataloader.dataset)
        if (part.get('filter_cfg') or {}).get('filter_empty_gt')
    ]
    for part in dropping:
        part['filter_cfg'] = dict(part['filter_cfg'], filter_empty_gt=False)
    if dropping:
        warn(
            'filter_empty_gt=True drops every normal image while the dataset loads: '
            'loaded here with False; `mmdefect check CONFIG` tells what to write'
        )


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
    """Load batches as training does, epoch after epoch, without end."""
    for epoch in count():
        loader.batch_sampler.sampler.set_epoch(epoch)
        # The plan is a pure function: iterated twice, it says what was drawn.
        batches = iter(loader)
        for step, indices in enumerate(loader.batch_sampler):
            try:
                batch = next(batches)
            except Exception as error:
                told = what_fails(error, loader.dataset, indices)
                if told is None:
                    raise
                raise UnusableError(f'the batches cannot be loaded: {told}') from error
            yield epoch, step, indices, batch
