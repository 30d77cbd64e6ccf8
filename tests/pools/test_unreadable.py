"""A file that MMDetection cannot read is told by its cause, and with the cure."""

from __future__ import annotations

import json
import re
from pathlib import Path

import dataset_files as files
import pytest
from faulty_files import CLASSES, IMAGES, sampler
from mmengine.registry import DATASETS

mmdet = pytest.importorskip('mmdet.datasets')


def without(key, part='annotations'):
    def change(content):
        for entry in content[part][2:]:
            del entry[key]

    return change


def setting(**values):
    def change(content):
        for annotation in content['annotations'][2:]:
            annotation.update(values)

    return change


COCO = {
    'no area': (
        without('area'),
        '6 of 8 annotations of PATH have no "area" (width * height of the bbox), such '
        "as {'id': 3, ",
    ),
    'no box': (without('bbox'), '6 of 8 annotations of PATH have no "bbox" ([x, y, w'),
    'null': (setting(bbox=None), '6 of 8 annotations of PATH have no "bbox" ([x'),
    'empty': (setting(bbox=[]), '6 of 8 annotations of PATH have no "bbox" ([x'),
    'text': (setting(bbox=['1'] * 4), '6 of 8 annotations of PATH have no "bbox"'),
    'no image': (without('image_id'), '6 of 8 annotations of PATH have no "image_id"'),
    'no width': (without('width', 'images'), '26 of 28 images of PATH have no "width"'),
    'width as text': (
        lambda c: [i.update(width='64') for i in c['images'][2:]],
        '26 of 28 images of PATH have text instead of a number as "width"',
    ),
    'area as text': (
        setting(area='9'),
        '6 of 8 annotations of PATH have text instead of a number as "area"',
    ),
    'same id': (setting(id=1), '6 annotations of PATH have the "id" of another one'),
    'no categories': (lambda c: c.pop('categories'), 'PATH has no list "categories"'),
    'no images': (lambda c: c.pop('images'), 'PATH has no list "images"'),
}


def told(config, wrapped):
    """What is said where MMDetection reads early, and where it reads late."""
    if wrapped:
        config = dict(type='DefectPreservingDataset', dataset=config)
    else:
        config['lazy_init'] = True
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        sampler(DATASETS.build(config))
    message = str(caught.value)
    assert '\n' not in message
    return message


def coco_config(path):
    return dict(type=mmdet.CocoDataset, ann_file=str(path), data_prefix=dict(img=''))


def xml_config(folder, edit=lambda path: None):
    for path in (Path(files.xml_files(folder, 'Annotations', IMAGES)),):
        edit(path)
    return dict(
        type=mmdet.XMLDataset,
        ann_file='train.txt',
        data_root=str(folder),
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=CLASSES),
    )


@pytest.mark.parametrize('wrapped', [False, True])
@pytest.mark.parametrize('name', COCO)
def test_what_a_coco_file_lacks_is_counted_and_named(name, wrapped, tmp_path):
    change, said = COCO[name]
    path = Path(files.coco_json(tmp_path / 'train.json', IMAGES, CLASSES))
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    assert said.replace('PATH', str(path)) in told(coco_config(path), wrapped)


@pytest.mark.parametrize('wrapped', [False, True])
@pytest.mark.parametrize('encoding', ['utf-16', 'utf-8-sig'])
@pytest.mark.parametrize('kind', ['json', 'txt'])
def test_an_encoding_that_mmdetection_cannot_read_is_named(
    kind, encoding, wrapped, tmp_path
):
    said = {'utf-16': 'is UTF-16; ', 'utf-8-sig': 'is UTF-8 with a byte order mark; '}

    def encode(path):
        path.write_bytes(path.read_text().encode(encoding))

    if kind == 'json':
        path = Path(files.coco_json(tmp_path / 'train.json', IMAGES, CLASSES))
        encode(path)
        message = told(coco_config(path), wrapped)
    else:
        path = tmp_path / 'train.txt'
        message = told(xml_config(tmp_path, encode), wrapped)
    assert f'{path} {said[encoding]}save it as UTF-8' in message


@pytest.mark.parametrize('wrapped', [False, True])
def test_an_image_without_its_xml_file_is_told_what_a_normal_one_needs(
    wrapped, tmp_path
):
    missing = tmp_path / 'Annotations/n07.xml'
    message = told(xml_config(tmp_path, lambda path: missing.unlink()), wrapped)
    assert f'{missing} does not exist' in message
    assert 'An image without a defect needs an empty one' in message
    assert '<annotation><size>' in message
    assert 'set train_dataloader' not in message


@pytest.mark.parametrize('wrapped', [False, True])
@pytest.mark.parametrize(
    ('edit', 'said'),
    [
        (lambda text: text[:-9], 'n07.xml: ParseError: '),
        (lambda text: text.replace('<size>', '<object/><size>'), 'n07.xml: Attrib'),
    ],
    ids=['cut off', 'no box'],
)
def test_a_broken_xml_file_is_named_with_what_it_needs(edit, said, wrapped, tmp_path):
    broken = tmp_path / 'Annotations/n07.xml'

    def mend(path):
        broken.write_text(edit(broken.read_text()))

    message = told(xml_config(tmp_path, mend), wrapped)
    assert said in message


def test_an_empty_line_in_a_list_of_images_is_named(tmp_path):
    def append(path):
        path.write_text(path.read_text() + '\n\n')

    assert 'train.txt has an empty line' in told(xml_config(tmp_path, append), True)


def test_an_error_of_another_kind_stays_as_it_is(tmp_path):
    path = files.coco_json(tmp_path / 'train.json', IMAGES, CLASSES)
    config = dict(type='DefectPreservingDataset', dataset=dict(type='NoDataset'))
    with pytest.raises(KeyError, match='NoDataset is not in'):
        DATASETS.build(config)
    config['dataset'] = dict(coco_config(path), no_such_option=1)
    with pytest.raises(TypeError, match='no_such_option'):
        DATASETS.build(config)


@pytest.mark.parametrize('head', ['', '<?xml version="1.0" encoding="gb2312"?>'])
def test_an_xml_file_in_chinese_encoding_is_not_told_to_lack_a_name(head, tmp_path):
    path = tmp_path / 'Annotations/d00.xml'

    def encode(_):
        text = head + path.read_text().replace('crack', '划痕')
        path.write_bytes(text.encode('gb2312'))

    message = told(xml_config(tmp_path, encode), True)
    assert f'{path} is written in' in message
    assert 'gb2312' in message
    assert 'each <object> needs' not in message


def test_a_list_of_which_all_images_are_dropped_says_by_what(tmp_path):
    def shrink(_):
        for path in (tmp_path / 'Annotations').iterdir():
            text = re.sub(r'<(width|height)>\d+', r'<\1>0', path.read_text())
            path.write_text(text)

    config = xml_config(tmp_path, shrink)
    config['filter_cfg'] = dict(min_size=32)
    assert 'train.txt leaves no image: all are dropped, by' in told(config, True)
