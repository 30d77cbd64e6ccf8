"""What judges a detector is looked at as closely as what teaches it."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmdefect.checks.evaluation import judge_split

NAMES = ('scratch', 'pit')
CFG = Config(dict(train_dataloader=dict(sampler=dict(type='DefectPoolSampler'))))
# What the detector learns from: 4 normal images and 4 of each class.
SHOWN = dict(enumerate([None] * 4 + [1, 2] * 4))


@pytest.fixture
def make(tmp_path):
    """Builds a dataset: label by image, and the changes of its file."""

    def build(name, shown=SHOWN, folder=None, categories=NAMES, **change):
        folder = tmp_path / (folder or name)
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(list(name.encode()))
        for number in shown:
            path = folder / f'{number}.png'
            if not path.exists():
                pixels = rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)
                cv2.imwrite(str(path), pixels)
        ids = {label: n for n, label in enumerate(NAMES, 1)}
        content = dict(
            images=[
                dict(id=n, file_name=f'{n}.png', width=32, height=32) for n in shown
            ],
            annotations=[
                dict(
                    dict(bbox=[4, 4, 9, 9], area=81, iscrowd=0, id=n, image_id=n),
                    category_id=label,
                    **change,
                )
                for n, label in shown.items()
                if label
            ],
            categories=[
                dict(id=ids.get(each.lower(), 9), name=each) for each in categories
            ],
        )
        file = tmp_path / f'{name}.json'
        file.write_text(json.dumps(content))
        init_default_scope('mmdet')
        return DATASETS.build(
            dict(
                type='CocoDataset',
                ann_file=str(file),
                data_prefix=dict(img=f'{folder}/'),
                metainfo=dict(classes=NAMES),
                filter_cfg=dict(filter_empty_gt=False),
                pipeline=[],
                test_mode=name != 'train',
            )
        )

    return build


def judged(training, other):
    return judge_split(CFG, training, other, 'val')


def test_other_photographs_with_the_same_labels_are_not_accused(make):
    assert judged(make('train'), make('other')) == []


def test_categories_in_another_order_would_judge_each_class_as_another(make):
    (found,) = judged(make('train'), make('other', categories=NAMES[::-1]))
    assert found.where == 'val_dataloader.dataset.metainfo'
    assert "gives label 0 to 'pit', which is 'scratch' in training" in found.what
    assert "('scratch', 'pit')" in found.fix
    assert found.breaks


def test_names_that_training_does_not_know_are_told_before_the_first_validation(make):
    capitals = [name.capitalize() for name in NAMES]
    found = judged(make('train'), make('other', categories=capitals))
    assert any("'Scratch'" in each.what and each.breaks for each in found)
    assert not any('train_dataloader.dataset' in str(each) for each in found)


def test_defects_without_an_area_would_be_judged_as_normal(make):
    found = judged(make('train'), make('other', area=0))
    (lost, *_) = (each for each in found if '"area"' in each.fix)
    assert lost.breaks
    assert 'not judged as such' in lost.what


def test_validating_with_the_training_file_is_told_by_its_name(make):
    training = make('train')
    (found,) = judged(training, training)
    assert '12 of 12' in found.what
    assert f'both read {training.ann_file}' in found.what


def test_a_defect_that_the_other_set_lists_as_normal_is_named(make):
    other = make('other', {0: None, 4: None, 20: 1}, folder='train')
    same, unlike = judged(make('train'), other)
    assert '2 of 3' in same.what
    assert 'both read' not in same.what
    assert 'none in the other: 1,' in unlike.what
    assert '4.png, which shows one in training' in unlike.what


def test_copies_under_other_names_are_found_where_files_may_be_read(make, tmp_path):
    training = make('train')
    other = make('other', {30: None, 31: 1, 32: 2})
    shutil.copy(tmp_path / 'train/4.png', tmp_path / 'other/31.png')
    (found,) = judged(training, other)
    assert '1 of 3' in found.what
    assert '31.png of ' in found.what
    assert '4.png' in found.what
    assert judge_split(CFG, training, other, 'val', pixels=False) == []


def test_a_set_that_cannot_be_examined_is_a_note(make):
    (found,) = judged(make('train'), [1, 2])
    assert not found.breaks
    assert 'cannot be examined' in found.what


@pytest.mark.parametrize('said_by', [['train', 'other'], ['other']])
def test_a_part_in_training_and_in_validation_is_found(make, said_by):
    training, other = make('train'), make('other', {20: None, 31: 1, 7: 2})
    for dataset, name in ((training, 'train'), (other, 'other')):
        if name in said_by:
            dataset._metainfo['part'] = dict(pattern=r'(\d)\.png')
    (found,) = judge_split(CFG, training, other, 'val', pixels=False)
    assert found.breaks
    assert '3 of 3, such as 0 in ' in found.what
    training._metainfo['part'] = other._metainfo['part'] = dict(pattern=r'(\d+)\.png')
    (found,) = judged(training, other)
    assert '1 of 3, such as 7 in ' in found.what


def test_a_part_that_cannot_be_told_leaves_the_other_findings(make):
    training = make('train')
    training._metainfo['part'] = dict(pattern=r'(t\d)')
    same, unknown = judged(training, training)
    assert 'also trained on' in same.what
    assert 'names no part of' in unknown.what


def test_two_files_of_one_order_are_not_accused_of_that_of_metainfo(make):
    training, other = make('train'), make('other')
    for dataset in (training, other):
        dataset._metainfo['classes'] = NAMES[::-1]
    assert not any('in training' in each.what for each in judged(training, other))
