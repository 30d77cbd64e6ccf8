"""Defects that the loader drops or ignores are told, with the cause and the cure."""

from __future__ import annotations

import re
from pathlib import Path

import dataset_files as files
import pytest
from dataset_files import Image
from faulty_files import (
    ALL,
    DEFECT,
    DROPPED,
    IMAGES,
    NORMAL,
    SECOND_HALF,
    coco,
    drawn,
    edited_coco,
    editing,
    names,
    refusal,
    sampler,
    xml,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmdefect.checks.annotations import examine

pytest.importorskip('mmdet.datasets')


# --- Boxes that MMDetection drops --------------------------------------------------


@pytest.mark.parametrize('serialize', [True, False])
@pytest.mark.parametrize('name', DROPPED)
def test_defects_that_the_loader_drops_do_not_become_normal_without_a_word(
    name, serialize, tmp_path, warnings
):
    _, why, fix = DROPPED[name]
    dataset = coco(tmp_path, editing(name), SECOND_HALF, serialize_data=serialize)
    made, (message,) = warnings(dataset)
    assert drawn(made) == names(DEFECT[:4])
    assert message.startswith(f'{tmp_path}/train.json: defect images that are not')
    each = 'category_id 99: 4' if name == 'no category' else 'crack: 2 of 4, dent: 2'
    assert f'not drawn as such: 4 ({each}' in message
    for words in ('such as d04.jpg', why, f'Write there: {fix}'):
        assert words in message


@pytest.mark.parametrize('name', DROPPED)
def test_losing_most_of_a_class_is_refused_with_the_cause(name, tmp_path):
    _, why, _ = DROPPED[name]
    for which in (range(3, 8), ALL):
        message = refusal(coco(tmp_path, editing(name), which))
        assert why in message
        assert 'metainfo' not in message


def test_width_and_height_that_exif_swapped_are_called_so(tmp_path, warnings):
    def turn(content):
        for image in content['images'][24:]:
            image.update(width=64, height=200)
        for annotation in content['annotations'][4:]:
            annotation['bbox'] = [120, 10, 20, 20]

    _, (message,) = warnings(edited_coco(tmp_path, turn))
    assert 'seem to be swapped' in message


def test_an_image_with_one_sound_box_is_drawn_whatever_its_other_boxes_are(
    tmp_path, warnings
):
    def add(content):
        for number, annotation in enumerate(list(content['annotations'])):
            flat = dict(annotation, id=1000 + number, area=0)
            content['annotations'].append(flat)

    made, said = warnings(edited_coco(tmp_path, add))
    assert drawn(made) == names(DEFECT)
    assert said == []


def test_boxes_of_nothing_but_zeros_are_normal_and_said_in_a_note_only(
    tmp_path, warnings
):
    def add(content):
        for number, image in enumerate(content['images'][:9]):
            content['annotations'].append(
                dict(
                    id=1000 + number,
                    image_id=image['id'],
                    category_id=content['categories'][0]['id'],
                    bbox=[0, 0, 0, 0],
                    area=0,
                    iscrowd=0,
                )
            )

    dataset = edited_coco(tmp_path, add)
    made, said = warnings(dataset)
    assert drawn(made) == names(DEFECT)
    assert said == []
    (note,) = examine(dataset)
    assert not note.breaks
    assert '9 (crack: 9 of 13)' in note.what


def test_boxes_of_one_pixel_in_the_corner_are_told_to_be_drawn(tmp_path, warnings):
    corner = dict(bbox=[0, 0, 1, 1], area=1)
    dataset = coco(tmp_path, lambda a: a.update(corner), SECOND_HALF)
    _, (message,) = warnings(dataset)
    assert 'images drawn as defects: 4' in message
    assert 'one pixel in the corner' in message


def test_defect_images_below_min_size_are_told_where_they_are_many(tmp_path, warnings):
    images = IMAGES + [Image(f'e{i}', ('crack',)) for i in range(12)]
    tiny = [Image(f't{i}', ('crack',), (), 16) for i in range(3)]
    dataset = coco(tmp_path, images=images + tiny[:2], filter_cfg=dict(min_size=32))
    assert warnings(dataset)[1] == []
    assert [f.breaks for f in examine(dataset)] == [False]
    dataset = coco(tmp_path, images=images + tiny, filter_cfg=dict(min_size=32))
    _, (message,) = warnings(dataset)
    assert message.startswith('train_dataloader.dataset.filter_cfg: ')
    assert '3 (crack: 3 of 19)' in message
    assert 'filter_cfg=dict(min_size=0)' in message


def test_images_that_the_config_cuts_off_are_not_told_as_lost(tmp_path, warnings):
    for options in (dict(indices=24), dict(indices=[25, 1, 1, 0])):
        assert warnings(coco(tmp_path, **options))[1] == []


FAULTS = st.sampled_from([None, *DROPPED, 'crowd'])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(faults=st.lists(FAULTS, min_size=8, max_size=8), serialize=st.booleans())
def test_every_image_with_a_defect_in_the_file_is_in_its_pool_or_told(
    tmp_path, faults, serialize
):
    def change(content):
        for annotation, fault in zip(content['annotations'], faults):
            if fault == 'crowd':
                annotation['iscrowd'] = 1
            elif fault:
                editing(fault)(annotation)

    dataset = edited_coco(tmp_path, change, serialize_data=serialize)
    told = sum(
        int(finding.what.partition('as such: ')[2].split()[0])
        for finding in examine(dataset)
    )
    lost = [fault for fault in faults if fault]
    assert told == len(lost)
    try:
        made = sampler(dataset)
    except ValueError:
        assert len(lost) > 4 or any(
            lost_of > 4 - lost_of
            for lost_of in (sum(map(bool, faults[n::2])) for n in (0, 1))
        )
    else:
        sound = [image for image, fault in zip(DEFECT, faults) if not fault]
        assert drawn(made) == names(sound)


# --- Ignored instances -------------------------------------------------------------


def ignored(kind, folder, count):
    """20 defect images, of some of which the only instances are ignored."""
    marked = [Image(f'd{i:02d}', (), ('crack',)) for i in range(count)]
    images = NORMAL + marked + [Image(f'e{i:02d}', ('crack',)) for i in range(20)]
    if kind == 'coco':
        return coco(folder, images=images)
    if kind == 'xml':
        return xml(folder, images=images)
    path = files.data_list_json(Path(folder, 'list.json'), images)
    return files.data_list(folder, ann_file=path)[0]


@pytest.mark.parametrize(
    ('kind', 'fix'),
    [
        ('coco', '"iscrowd": 0 where'),
        ('xml', '<difficult>0</difficult> where'),
        ('list', 'ignore_flag=0 where'),
    ],
)
def test_ignored_defects_are_told_where_they_are_many_and_noted_where_few(
    kind, fix, tmp_path, warnings
):
    few = ignored(kind, tmp_path / 'few', 2)
    assert warnings(few)[1] == []
    (note,) = examine(few)
    assert not note.breaks
    assert '2 (crack: 2 of 22)' in note.what
    _, (message,) = warnings(ignored(kind, tmp_path / 'many', 3))
    assert '3 (crack: 3 of 23)' in message
    assert fix in message


@pytest.mark.parametrize('kind', ['coco', 'xml', 'list'])
def test_where_all_defects_are_ignored_no_other_cause_is_named(kind, tmp_path):
    images = [*NORMAL, Image('d00', (), ('crack', 'dent'))]
    if kind == 'coco':
        dataset = coco(tmp_path, images=images)
    elif kind == 'xml':
        dataset = xml(tmp_path, images=images)
    else:
        path = files.data_list_json(tmp_path / 'list.json', images)
        dataset = files.data_list(tmp_path, ann_file=path)[0]
    message = refusal(dataset)
    assert '1 (crack: 1 of 1, dent: 1 of 1)' in message
    assert 'metainfo' not in message


def test_boxes_below_bbox_min_size_are_told_as_such(tmp_path):
    filtered = dict(filter_empty_gt=False, bbox_min_size=9)
    message = refusal(xml(tmp_path, filter_cfg=filtered))
    assert 'filter_cfg.bbox_min_size' in message
    assert 'filter_cfg=dict(bbox_min_size=None)' in message


def test_what_cannot_be_compared_stops_no_training(tmp_path, warnings, monkeypatch):
    def fail(*args):
        raise KeyError('odd')

    monkeypatch.setattr('mmdefect.checks.annotations.coco_losses', fail)
    made, (message,) = warnings(coco(tmp_path))
    assert drawn(made) == names(DEFECT)
    assert "KeyError: 'odd'; whether its defects are drawn as such was not" in message


def test_a_width_of_0_in_xml_is_not_told_to_be_a_small_image(tmp_path, warnings):
    def flatten(name, text):
        size = re.sub(r'<width>\d+', '<width>0', text)
        return size if name in ('d06', 'd07') else text

    _, (message,) = warnings(xml(tmp_path, flatten, filter_cfg=dict(min_size=1)))
    assert 'their <width> or <height> is 0' in message
    assert '<width> and' in message
