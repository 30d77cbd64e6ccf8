"""A photograph is drawn as one thing, and what is sound is not accused."""

from __future__ import annotations

from pathlib import Path

import dataset_files as files
import pytest
from dataset_files import CLASSES
from faulty_files import (
    DEFECT,
    NORMAL,
    coco,
    drawn,
    edited_coco,
    load_coco,
    names,
    refusal,
    xml,
)
from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from torch.utils.data import Subset

from mmdefect.checks.annotations import examine

mmdet = pytest.importorskip('mmdet.datasets')


# --- The same photograph twice -----------------------------------------------------


def one_file_for_each_class(folder, defects):
    parts = []
    for name in CLASSES:
        images = [
            image._replace(shows=image.shows if image.shows == (name,) else ())
            for image in NORMAL + defects
        ]
        path = files.coco_json(Path(folder, f'{name}.json'), images, CLASSES)
        # The same folder, called otherwise.
        prefix = f'{folder}/images/' if name == 'crack' else f'{folder}/x/../images/'
        parts.append(load_coco(folder, path, data_prefix=dict(img=prefix)))
    return mmdet.ConcatDataset(parts)


def test_a_photograph_that_one_file_calls_normal_is_not_drawn_as_such_unseen(tmp_path):
    message = refusal(one_file_for_each_class(tmp_path, DEFECT))
    assert 'listed once more without one: 8 of 8, such as' in message
    assert 'images/d00.jpg' in message


def test_a_photograph_listed_twice_in_one_file_is_told(tmp_path, warnings):
    def again(content):
        content['images'] += [
            dict(image, id=i) for i, image in enumerate(content['images'][20:24])
        ]

    _, (message,) = warnings(edited_coco(tmp_path, again))
    assert '4 of 8, such as' in message


def test_a_photograph_that_is_repeated_as_it_is_is_no_fault(tmp_path, warnings):
    dataset = coco(tmp_path)
    for repeated in (
        RepeatDataset(dataset, 3),
        mmdet.ConcatDataset([dataset, coco(tmp_path)]),
        ClassBalancedDataset(dataset, 0.9),
        Subset(dataset, [0, 25, 0, 25]),
        mmdet.ConcatDataset([coco(tmp_path / 'coco'), xml(tmp_path / 'xml')]),
    ):
        assert warnings(repeated)[1] == []


def test_many_images_of_one_path_in_a_users_dataset_are_no_photograph(
    annotated, warnings
):
    class Tiles(annotated):
        def get_data_info(self, index):
            return {**super().get_data_info(index), 'img_path': 'large.png'}

    assert warnings(Tiles([[0], [], [], []]))[1] == []


# --- Nothing against what is sound -------------------------------------------------


@pytest.mark.parametrize('kind', files.BUILDERS)
def test_no_dataset_class_of_mmdetection_is_refused_for_its_own_ways(kind, tmp_path):
    if kind.startswith('LVIS'):
        pytest.importorskip('lvis')
    dataset, _ = files.BUILDERS[kind](tmp_path)
    assert [str(f) for f in examine(dataset) if f.refused] == []


def test_sound_files_are_not_accused(tmp_path, warnings):
    for dataset in (coco(tmp_path / 'coco'), xml(tmp_path / 'xml')):
        made, said = warnings(dataset)
        assert drawn(made) == names(DEFECT)
        assert said == []
        assert examine(dataset) == []


def test_what_a_users_class_makes_of_a_file_is_not_held_against_it(tmp_path, warnings):
    class Large(mmdet.CocoDataset):
        def parse_data_info(self, raw_data_info):
            info = super().parse_data_info(raw_data_info)
            info['instances'] = info['instances'] * (info['img_path'][-5] != '3')
            return info

    dataset = coco(tmp_path, lazy_init=True)
    dataset.__class__ = Large
    made, said = warnings(dataset)
    assert drawn(made) == [n for n in names(DEFECT) if n != 'd03']
    assert said == []


def test_findings_of_a_validation_set_name_its_own_key(tmp_path):
    parts = one_file_for_each_class(tmp_path, DEFECT)
    parts.datasets[1].metainfo['classes'] = CLASSES[::-1]
    found = examine(parts, where='val_dataloader.dataset')
    assert {finding.where for finding in found} == {'val_dataloader.dataset'}
    (twice,) = examine(
        one_file_for_each_class(tmp_path / 'twice', DEFECT),
        where='val_dataloader.dataset',
    )
    assert twice.where == 'val_dataloader.dataset'
