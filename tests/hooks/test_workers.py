"""Augmentation is another in each epoch, whether or not workers persist."""

from __future__ import annotations

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Annotated
from mmengine.runner import Runner

from mmdefect.hooks import workers
from mmdefect.hooks.workers import seed_workers_by_epoch


class Random(Annotated):
    """Images that are nothing but random numbers of all three kinds."""

    def __init__(self):
        super().__init__([[0] if index % 5 == 0 else [] for index in range(20)])

    def __getitem__(self, index):
        return [random.random(), np.random.rand(), torch.rand(()).item()]  # noqa: NPY002


def loader_of(seed, start='fork'):
    loader = Runner.build_dataloader(
        dict(
            dataset=Random(),
            batch_size=8,
            num_workers=2,
            persistent_workers=False,
            multiprocessing_context=start,
            collate_fn=dict(type='pseudo_collate'),
            sampler=dict(type='DefectPoolSampler', seed=0),
            batch_sampler=dict(type='QuotaBatchSampler', quota=1),
        ),
        seed=seed,
    )
    seed_workers_by_epoch(loader)
    return loader


def drawn(loader, epoch):
    loader.batch_sampler.sampler.set_epoch(epoch)
    return np.concatenate([np.stack(batch) for batch in loader]).ravel().tolist()


def test_each_epoch_of_workers_that_do_not_persist_draws_other_numbers():
    loader = loader_of(3)
    epochs = [drawn(loader, epoch) for epoch in range(3)]
    numbers = sum(map(len, epochs))
    assert len({number for epoch in epochs for number in epoch}) == numbers
    assert not set(epochs[1]) & set(drawn(loader_of(40), 1))


@pytest.mark.parametrize('start', ['fork', 'spawn'])
def test_a_run_that_is_resumed_draws_what_it_would_have_drawn(start):
    loader = loader_of(3)
    epochs = [drawn(loader, epoch) for epoch in range(3)]
    assert drawn(loader_of(3, start), 2) == epochs[2]


@pytest.mark.parametrize('persistent', [True, False])
def test_an_own_way_to_seed_workers_is_left_alone_and_told(persistent, monkeypatch):
    own = SimpleNamespace(
        worker_init_fn=print,
        batch_sampler=None,
        num_workers=2,
        persistent_workers=persistent,
    )
    said = []
    monkeypatch.setattr(workers, 'print_log', lambda text, **kwargs: said.append(text))
    seed_workers_by_epoch(own)
    assert own.worker_init_fn is print
    assert len(said) == (not persistent)
    assert all('persistent_workers=True' in text for text in said)
