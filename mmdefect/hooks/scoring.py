"""Scores of training images by the model that trains, on all ranks together."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np
from mmengine.dist import all_gather_object, get_dist_info

from mmdefect.delivery.testing import Unreadable, load_for_test, predict
from mmdefect.metrics.image_score import found_on


def score_images(
    model: Any,
    infos: Sequence[dict],
    transforms: Sequence[dict],
    labels: Sequence[int],
    batch_size: int,
    workers: int,
) -> np.ndarray:
    """Score images, each rank a part of them."""
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
        for item in items:
            if isinstance(item, Unreadable):
                raise OSError(f'{item.path} cannot be read ({item.why})')
        found = [found_on(one, labels) for one in predict(model, items)]
        scores += [float(one.score) for one in found]
    return scores
