"""Workers that are started anew draw other random numbers in each epoch."""

from __future__ import annotations

import logging
import random
from functools import partial
from typing import Any, Callable

import numpy as np
import torch
from mmengine.dataset import worker_init_fn
from mmengine.logging import print_log


def seed_workers_by_epoch(loader: Any) -> None:
    """Let the epoch count in the random numbers of workers that MMEngine seeds.

    It seeds by seed, rank and worker: with ``persistent_workers=False`` the same each
    epoch, and so would be all augmentation.
    """
    init: Any = getattr(loader, 'worker_init_fn', None)
    if getattr(init, 'func', None) is worker_init_fn:
        loader.worker_init_fn = _SeedByEpoch(init, loader.batch_sampler)
        return
    own = init is not None and not isinstance(init, _SeedByEpoch)
    if own and loader.num_workers and not loader.persistent_workers:
        print_log(
            'train_dataloader.worker_init_fn is your own, and its workers are started '
            'anew each epoch: where it does not count epochs, each has the same random '
            'augmentation; set persistent_workers=True',
            logger='current',
            level=logging.WARNING,
        )


class _SeedByEpoch:
    def __init__(self, init: Callable[[int], None], batch_sampler: Any) -> None:
        self.init, self.batch_sampler = init, batch_sampler

    def __call__(self, worker: int) -> None:
        _seed(self.init, self.batch_sampler.epoch, worker)

    def __reduce__(self) -> tuple:  # to a process that is spawned
        return partial, (_seed, self.init, self.batch_sampler.epoch)


def _seed(init: Callable[[int], None], epoch: int, worker: int) -> None:
    init(worker)
    if epoch:  # the first keeps MMEngine's own numbers
        own = torch.initial_seed()  # of this rank and worker
        words = np.random.SeedSequence([own, epoch]).generate_state(3).tolist()
        random.seed(words[0])
        np.random.seed(words[1])  # noqa: NPY002
        torch.manual_seed(words[2])
