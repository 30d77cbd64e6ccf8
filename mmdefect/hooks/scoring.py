"""Scores of training images by the model that trains, on all ranks together."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info

from mmdefect.delivery.whole_photographs import Unreadable, load_for_test, predict
from mmdefect.metrics.image_score import found_on

# The score of an image that cannot be read.
UNREADABLE = -1


class Infos(Sequence):
    """What is known of images, looked up where it is used: in a worker, not before."""

    def __init__(self, indices: np.ndarray, info_of: Callable[[int], dict]) -> None:
        self.indices, self.info_of = indices, info_of

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return Infos(self.indices[place], self.info_of)
        return self.info_of(int(self.indices[place]))


def score_images(
    model: Any,
    infos: Sequence[dict],
    transforms: Sequence[dict],
    labels: Sequence[int],
    batch_size: int,
    workers: int,
) -> np.ndarray:
    """Scores of images (N,), each rank a part of them; -1 of what cannot be read."""
    rank, world_size = get_dist_info()
    scores: list[float] = []
    error = None
    training = model.training
    model.eval()
    try:
        scores = _scores(
            model, infos[rank::world_size], transforms, labels, batch_size, workers
        )
    except Exception as caught:  # the other ranks wait for what follows
        error = caught
    finally:
        model.train(training)
    said = None if error is None else f'{type(error).__name__}: {error}'
    together = np.zeros(len(infos), np.float32)
    for number, (part, failure) in enumerate(all_gather_object((scores, said))):
        if failure is not None:
            raise error or RuntimeError(f'rank {number} failed. {failure}')
        together[number::world_size] = part
    return together


def _scores(
    model: Any,
    infos: Sequence[dict],
    transforms: Sequence[dict],
    labels: Sequence[int],
    batch_size: int,
    workers: int,
) -> list[float]:
    batches = [infos[n : n + batch_size] for n in range(0, len(infos), batch_size)]
    scores = []
    for items in load_for_test(batches, transforms, workers):
        readable = [item for item in items if not isinstance(item, Unreadable)]
        found = iter(predict(model, readable))
        scores += [
            UNREADABLE
            if isinstance(item, Unreadable)
            else float(found_on(next(found), labels).score)
            for item in items
        ]
    return scores
