"""One source of a dataset: made once, right after changes, and never sent away."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from mmengine.registry import DATASETS
from torch.utils.data import ConcatDataset, Subset

from mmdefect.pools import source as module
from mmdefect.pools.source import KEPT, source_of

IMAGES = [[], [0], [1], [0, 1], []]


@pytest.fixture
def wrapped(annotated):
    """Five images, kept whole by a wrapper."""
    inside = annotated(IMAGES)
    config = dict(type=lambda: inside)
    return DATASETS.build(dict(type='DefectPreservingDataset', dataset=config))


def test_a_dataset_and_the_wrapper_that_keeps_its_defects_are_read_once(
    wrapped, monkeypatch
):
    calls, read = [], module.scan_leaves
    monkeypatch.setattr(
        module, 'scan_leaves', lambda *args: calls.append(1) or read(*args)
    )
    for dataset in (wrapped, wrapped.dataset, wrapped):
        assert source_of(dataset).classes['crack'].tolist() == [1, 3]
    assert len(calls) == 1


def test_images_that_left_a_dataset_are_not_in_its_pools(annotated):
    dataset = annotated(IMAGES)
    whole = ConcatDataset([dataset])
    assert source_of(whole).classes['dent'].tolist() == [2, 3]
    whole.datasets.append(annotated(IMAGES))
    whole.cumulative_sizes.append(10)
    assert source_of(whole).classes['dent'].tolist() == [2, 3, 7, 8]


def test_a_copy_of_a_dataset_is_asked_itself(annotated):
    dataset = annotated(IMAGES)
    source = source_of(dataset)
    for twin in (copy.copy(dataset), copy.deepcopy(dataset)):
        assert source_of(twin).leaves == [twin]
    assert source_of(dataset) is source


def test_workers_are_not_sent_what_the_main_process_found_out(annotated):
    dataset = annotated(IMAGES)
    plain = len(pickle.dumps(vars(dataset)))
    assert source_of(dataset).photographs.count(np.arange(5)) == 5
    sent = pickle.dumps(vars(dataset))
    assert len(sent) < plain + 100
    assert pickle.loads(sent)[KEPT] is None


def test_each_index_finds_its_image_through_wrappers(annotated):
    first, second = annotated(IMAGES), annotated([[1]])
    images = [5, 0, 3, 3, 1, 4]
    source = source_of(Subset(ConcatDataset([first, second]), images))
    assert len(source) == len(images)
    for index, image in enumerate(images):
        expected = (second, 0) if image == 5 else (first, image)
        assert source.leaf_of(index) == expected
        instances = source.info(index).get('instances', ())
        shown = {instance['bbox_label'] for instance in instances}
        assert shown == set([*IMAGES, [1]][image])
