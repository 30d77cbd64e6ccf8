"""The images that a transform mixes an image with."""

from __future__ import annotations

import copy
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, Iterator, Sequence, TypeVar

import torch

from mmdefect.images.errors import IN_A_ROW, RejectedError
from mmdefect.images.transforms import replaced, steps_in

T = TypeVar('T')
Load = Callable[[Any, int], Any]
Walk = Callable[[Sequence[Callable], dict], Any]


class Partners:
    """What the transforms of an image mix it with, the same in every attempt.

    ``MultiImageMixDataset`` takes partners from its dataset; a transform of MMYOLO
    sends what the dataset knows of them through a ``pre_transform`` of its own. One
    that fails gives way to another image: partners are drawn at random anyway; drawn
    for itself, the image is counted and named.
    """

    def __init__(self, load: Load, walk: Walk) -> None:
        self._load = load
        self._walk = walk
        self._mixed: dict[int, list] = {}
        self._prepared: dict[int, _Prepared] = {}

    def of(self, step: Any, dataset: Any) -> list:
        """Partners that ``MultiImageMixDataset`` hands to a transform."""
        if id(step) not in self._mixed:
            readable = _Readable(dataset, self._load)
            chosen = step.get_indexes(readable)
            chosen = chosen if isinstance(chosen, Sequence) else [chosen]
            self._mixed[id(step)] = [readable[index] for index in chosen]
        return copy.deepcopy(self._mixed[id(step)])

    @contextmanager
    def shared(self, parts: Sequence[Any]) -> Iterator[None]:
        """Let transforms find the same partners again."""
        with ExitStack() as stack:
            for part in parts:
                held = getattr(part, 'pre_transform', None)
                if held is None or not hasattr(part, 'get_indexes'):
                    continue
                if id(part) not in self._prepared:
                    self._prepared[id(part)] = _Prepared(steps_in(held), self._walk)
                prepared = self._prepared[id(part)]
                prepared.given = 0
                stack.enter_context(replaced(part, 'pre_transform', prepared))
            yield


class _Readable:
    # A dataset in which an image that fails gives way to another one.

    def __init__(self, dataset: Any, load: Load) -> None:
        self.read_from = self._dataset = dataset
        self._load = load

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def __getitem__(self, index: int) -> Any:
        return _first_that_works(
            lambda index: self._load(self._dataset, index),
            index,
            lambda: _any_of(self._dataset),
        )


class _Prepared:
    # Stands for a `pre_transform`. What it made of a partner once, it hands out again.

    def __init__(self, steps: Sequence[Callable], walk: Walk) -> None:
        self._steps = steps
        self._walk = walk
        self._kept: list[dict] = []
        self.given = 0

    def __call__(self, results: dict) -> dict:
        # The dataset travels with the image, and is not to be copied with it.
        dataset: Any = results.get('dataset')
        if self.given == len(self._kept):
            partner = _first_that_works(
                lambda info: self._walk(self._steps, info),
                results,
                lambda: {
                    **dataset.get_data_info(_any_of(dataset)),
                    'dataset': dataset,
                },
            )
            self._kept.append({k: v for k, v in partner.items() if k != 'dataset'})
        self.given += 1
        return {**copy.deepcopy(self._kept[self.given - 1]), 'dataset': dataset}


def _first_that_works(
    make: Callable[[T], Any], first: T, another: Callable[[], T]
) -> Any:
    for _ in range(IN_A_ROW - 1):
        try:
            return make(first)
        except RejectedError:
            first = another()
    return make(first)


def _any_of(dataset: Any) -> int:
    return int(torch.randint(len(dataset), ()))
