"""Other ways to draw images, for the iteration loop."""

from __future__ import annotations

from typing import Any, Iterator

import torch
from mmengine.registry import DATA_SAMPLERS
from torch.utils.data import Sampler, WeightedRandomSampler

from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler


def with_labels(dataset: Any) -> Any:
    """The dataset, or what wrappers hold that have no ``get_cat_ids``."""
    while not hasattr(dataset, 'get_cat_ids') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return dataset


@DATA_SAMPLERS.register_module(force=True)
class EndlessSampler(Sampler):
    """Epoch after epoch of another sampler, for the iteration loop."""

    def __init__(self, dataset: Any, sampler: dict, seed: int | None = None) -> None:
        self.size = len(dataset)
        options = dict(dataset=with_labels(dataset), seed=seed)
        self.sampler = DATA_SAMPLERS.build(dict(sampler, **options))

    def __iter__(self) -> Iterator[int]:
        epoch = 0
        while True:
            self.sampler.set_epoch(epoch)
            yield from map(int, self.sampler)
            epoch += 1

    def __len__(self) -> int:
        return self.size


@DATA_SAMPLERS.register_module(force=True)
class WeightedShareSampler(Sampler):
    """torch's ``WeightedRandomSampler`` with an expected share of defect images."""

    def __init__(self, dataset: Any, share: float, seed: int, pools: dict) -> None:
        defects = DefectPoolSampler(dataset, **{**pools, 'seed': seed}).pools['defect']
        size = len(dataset)
        weights = torch.full((size,), (1 - share) / (size - len(defects)))
        weights[torch.from_numpy(defects)] = share / len(defects)
        self.seed, self.epoch = seed, 0
        self.generator = torch.Generator()
        self.inner = WeightedRandomSampler(
            weights.tolist(), size, generator=self.generator
        )

    def set_epoch(self, epoch: int) -> None:
        """Draw anew for an epoch."""
        self.generator.manual_seed(self.seed + epoch)

    def __iter__(self) -> Iterator[int]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)
