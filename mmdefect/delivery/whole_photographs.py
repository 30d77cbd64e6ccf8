"""Photographs as a trained model gets them: whole, through the test pipeline."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Sequence

from mmdefect.pools.walk import walk_configs


class Unreadable(NamedTuple):
    """Why a photograph did not get to the model."""

    path: str
    why: str


def test_transforms(dataset: Any) -> list[dict]:
    """The transforms of a dataset for testing, but for what reads annotations."""
    leaves = (d for d in walk_configs(dataset) if not {'dataset', 'datasets'} & {*d})
    transforms = next(leaves).get('pipeline') or ()
    kept = [dict(transform) for transform in transforms]
    return [one for one in kept if 'Annotations' not in str(one['type'])]


def load_for_test(
    batches: Sequence[Sequence[dict]], transforms: Sequence[dict], workers: int = 0
) -> Any:
    """Load photographs, batch after batch."""
    from mmengine.dataset import Compose
    from torch.utils.data import DataLoader

    pipeline = Compose(copy.deepcopy(list(transforms)))
    loaded: Any = _Loaded(batches, pipeline)
    return DataLoader(loaded, batch_size=None, num_workers=workers)


class _Loaded:
    """Batches of photographs, loaded when they are asked for."""

    def __init__(self, batches: Sequence[Sequence[dict]], pipeline: Any) -> None:
        self.batches = batches
        self.pipeline = pipeline

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> list:
        return [self.load(info) for info in self.batches[number]]

    def load(self, info: dict) -> Any:
        try:
            return self.pipeline(copy.deepcopy(info))
        except Exception as error:  # whatever a transform raises for a broken file
            said = str(error).strip().splitlines() or ['no reason given']
            return Unreadable(info['img_path'], f'{type(error).__name__}: {said[0]}')


def predict(model: Any, items: Sequence[dict]) -> list[Any]:
    """Predictions on some loaded photographs."""
    import torch
    from mmengine.dataset import pseudo_collate

    if not items:
        return []
    with torch.no_grad():
        return model.test_step(pseudo_collate(items))
