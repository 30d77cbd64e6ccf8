"""Fewer defect images: what a detector would have learned from."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
from mmengine.registry import DATASETS

from mmdefect.analysis.errors import UnusableError
from mmdefect.pools.source import source_of
from mmdefect.pools.walk import walk_configs


@DATASETS.register_module(name='FewerDefects', force=True)
def fewer_defects(
    dataset: dict,
    share: float,
    seed: int = 0,
    defect_classes: Sequence[str] | None = None,
) -> Any:
    """A dataset that keeps a part of its defect images, and all others."""
    built = DATASETS.build(dataset)
    if not hasattr(built, 'get_subset_'):
        raise UnusableError(f'{type(built).__name__} cannot leave out defect images')
    classes = source_of(built).classes
    pools = {name: classes[name] for name in defect_classes or classes}
    order = in_order(list(pools.values()), seed)
    if len(order):
        kept = np.ones(len(built), bool)
        kept[order[number_kept(pools, len(order), share) :]] = False
        built.get_subset_(np.flatnonzero(kept).tolist())
    return built


def number_kept(pools: dict[str, np.ndarray], defects: int, share: float) -> int:
    """How many defect images stay: the share, and one of each class at least."""
    return max(round(share * defects), sum(len(pool) > 0 for pool in pools.values()))


def in_order(pools: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Defect images in an order of which each beginning has the mix of the whole."""
    if not pools:
        return np.empty(0, np.int64)
    shuffled = np.random.default_rng(seed).permutation(np.unique(np.concatenate(pools)))
    places = np.full(len(shuffled), np.inf)
    for pool in pools:
        mine = np.isin(shuffled, pool)
        # From 0 to 1, the images of each class stand equally far apart.
        places[mine] = np.minimum(places[mine], np.arange(mine.sum()) / mine.sum())
    return shuffled[np.argsort(places, kind='stable')]


def with_share(dataset: Any, share: float, classes: Sequence[str] | None) -> dict:
    """The config of a dataset, each leaf of which keeps a part of its defect images."""
    if 'datasets' in dataset:
        parts = [with_share(part, share, classes) for part in dataset['datasets']]
        return dict(dataset, datasets=parts)
    if 'dataset' in dataset:
        return dict(dataset, dataset=with_share(dataset['dataset'], share, classes))
    wrapper = dict(type='FewerDefects', share=share, seed=0)
    return dict(wrapper, defect_classes=classes, dataset=dict(dataset))


def set_seed(dataset: Any, seed: int) -> None:
    """Choose which defect images the datasets in a config keep."""
    for part in walk_configs(dataset):
        if part.get('type') == 'FewerDefects':
            part['seed'] = seed
