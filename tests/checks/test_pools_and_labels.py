"""Settings that cannot work are refused in one clear sentence."""

from __future__ import annotations

import json

import faulty_files
import numpy as np
import pytest
from mmengine.config import ConfigDict

from mmdefect import DefectPoolSampler, QuotaBatchSampler
from mmdefect.checks.pools import (
    check_defect_classes,
    check_pool_names,
    check_pools,
    missing_pools,
)
from mmdefect.pools.pools import make_pools
from mmdefect.pools.scan import Scan
from mmdefect.pools.source import source_of
from mmdefect.pools.walk import DATASET

NONE = np.array([], np.int64)
SCANNED = Scan(9, {'crack': np.array([1]), 'dent': NONE, 'normal': NONE}, NONE)
CLASSES = 'train_dataloader.sampler.defect_classes'
POOLS = 'train_dataloader.sampler.pools'


def refusal(error, call, *args):
    with pytest.raises(error) as caught:
        call(*args)
    assert caught.type is error
    message = str(caught.value)
    assert '\n' not in message
    return message


# --- the classes that count as defects ---------------------------------------


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        (None, ('crack', 'dent', 'normal')),
        (['dent'], ('dent',)),
        (('dent', 'crack'), ('dent', 'crack')),
        (ConfigDict(x=['crack']).x, ('crack',)),
    ],
    ids=repr,
)
def test_defect_classes_may_be_all_or_some(given, expected):
    assert check_defect_classes(given, SCANNED.classes) == expected


@pytest.mark.parametrize(
    ('given', 'error', 'words'),
    [
        (['crakc'], ValueError, ["'crakc'", "did you mean 'crack'?", 'crack, dent']),
        (['dent', 'xyz'], ValueError, ["'xyz', which is no class", 'crack, dent']),
        ([], ValueError, ['[]', 'at least one']),
        (['dent', 'dent'], ValueError, ["['dent', 'dent']", 'none twice']),
        ('dent', TypeError, ["'dent'", 'list of class names']),
        ([0, 1], TypeError, ['[0, 1]', 'list of class names']),
        (np.array([0]), TypeError, ['array([0])', 'list of class names']),
        (3, TypeError, ['=3', 'list of class names']),
    ],
    ids=repr,
)
def test_unknown_defect_classes_are_refused_with_the_known_ones(given, error, words):
    message = refusal(error, check_defect_classes, given, SCANNED.classes)
    for word in [*words, CLASSES]:
        assert word in message


def test_no_other_class_is_suggested_where_none_is_near():
    message = refusal(ValueError, check_defect_classes, ['xyz'], SCANNED.classes)
    assert 'did you mean' not in message
    assert message == (
        "defect_classes names 'xyz', which is no class of the dataset (the classes are "
        f'crack, dent, normal); set {CLASSES}'
    )


# --- names of the user's pools -----------------------------------------------


def test_a_users_pool_may_have_any_other_name():
    check_pool_names(['hard', 'line 2', 'cracks'], SCANNED)


@pytest.mark.parametrize(
    ('name', 'error'),
    [
        ('normal', ValueError),
        ('defect', ValueError),
        ('all', ValueError),
        ('crack', ValueError),
        (3, TypeError),
        (None, TypeError),
    ],
)
def test_a_users_pool_cannot_take_the_name_of_another(name, error):
    message = refusal(error, check_pool_names, ['hard', name], SCANNED)
    assert repr(name) in message
    assert POOLS in message


# --- something to draw -------------------------------------------------------


def check(dataset, extra=None):
    scanned = source_of(dataset).scan
    classes = tuple(scanned.classes)
    check_pools(make_pools(scanned, classes, extra), classes, dataset)


def test_a_dataset_with_normal_and_defect_images_passes(few_defects):
    check(few_defects)
    check(few_defects, {'hard': np.array([1, 2])})


def test_a_dataset_without_a_defect_is_refused(annotated):
    message = refusal(ValueError, check, annotated([[], [], [-1]]))
    for word in ('none of 3 images', 'crack, dent', 'metainfo', CLASSES):
        assert word in message


def test_a_dataset_without_a_normal_image_names_the_filter_that_drops_them(annotated):
    message = refusal(ValueError, check, annotated([[0], [1]]))
    for word in ('all of 2 images', 'filter_cfg=dict(filter_empty_gt=False)'):
        assert word in message


def test_a_pool_that_swallows_all_normal_images_is_named(annotated):
    extra = {'hard': np.array([0, 2])}
    message = refusal(ValueError, check, annotated([[], [0], []]), extra)
    for word in ('hard', 'no normal image of 3', POOLS):
        assert word in message


def test_filtering_the_empty_images_of_real_files_is_found_out(coco, tmp_path):
    content = json.loads((coco.root / 'train.json').read_text())
    content['annotations'] = [a for a in content['annotations'] if not a['iscrowd']]
    (tmp_path / 'train.json').write_text(json.dumps(content))
    dataset = coco.dataset(
        ann_file=str(tmp_path / 'train.json'),
        indices=[2],
        filter_cfg=dict(filter_empty_gt=True, min_size=16),
    )
    assert 'filter_empty_gt=False' in refusal(ValueError, check, dataset)


def test_the_filter_is_named_where_it_stands_inside_a_wrapper(annotated):
    wrapper, inside = annotated([[0], [1]]), annotated([[0], [1]])
    wrapper.dataset, inside.filter_cfg = inside, dict(filter_empty_gt=True)
    message = refusal(ValueError, check, wrapper)
    assert f'{DATASET}.dataset.filter_cfg=dict(filter_empty_gt=False)' in message


@pytest.mark.parametrize('kind', ['coco', 'xml'])
def test_files_that_list_no_normal_image_are_not_blamed_on_the_filter(kind, tmp_path):
    build = faulty_files.coco if kind == 'coco' else faulty_files.xml
    dataset = build(tmp_path, images=faulty_files.DEFECT)
    message = refusal(ValueError, check, dataset)
    for word in ("under 'images' without annotations", 'XML file without objects'):
        assert word in message
    assert 'filter_empty_gt' not in message


# --- images that no quota reaches --------------------------------------------


def test_images_that_no_quota_reaches_are_counted(few_defects):
    pools = make_pools(
        source_of(few_defects).scan, ('crack', 'dent'), {'hard': np.array([1, 2])}
    )
    assert missing_pools(pools, {'defect': 1, 'normal': 7}) == {'hard': 2}
    assert missing_pools(pools, {'defect': 1, 'hard': 1, 'normal': 6}) == {}
    # image 0 shows a crack, too
    assert missing_pools(pools, {'crack': 2, 'normal': 6}) == {'dent': 3, 'hard': 2}
    assert missing_pools(pools, {'all': 8}) == {}


@pytest.mark.parametrize('name', ['defect', 'normal', 'all'])
def test_a_class_called_like_a_pool_is_not_drawn_as_that_pool_unseen(annotated, name):
    dataset = annotated([[0], [1], [], [], []], classes=('scratch', name))
    made = DefectPoolSampler(dataset, seed=0)
    with pytest.raises(ValueError, match=f'names {name!r}, which is a class, beside 1'):
        QuotaBatchSampler(made, 4, {name: 1, 'scratch': 1})
    batches = QuotaBatchSampler(made, 4, 2)
    with pytest.raises(ValueError, match='another name in its files'):
        batches.count_images({name: 1})
    alone = DefectPoolSampler(dataset, seed=0, defect_classes=[name])
    assert QuotaBatchSampler(alone, 4, {'defect': 1}).quota == {'defect': 1}
