"""Boxes that are not where the defect is are told before they are trained on."""

from __future__ import annotations

from pathlib import Path

import dataset_files as files
import pytest
from faulty_files import IMAGES, coco, edited_coco, refusal, xml

pytest.importorskip('mmdet.datasets')

from PIL import Image

from mmdefect.checks.annotations import examine

LOADING = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]


@pytest.fixture(autouse=True)
def pixels(tmp_path):
    files.write_pixels(tmp_path / 'images', IMAGES)


def scale(folder, factor):
    for path in Path(folder, 'images').iterdir():
        image = Image.open(path)
        image.resize([int(side * factor) for side in image.size]).save(path)


def test_images_scaled_after_labelling_are_told_with_both_sizes(tmp_path, warnings):
    dataset = coco(tmp_path, pipeline=LOADING)
    width, height = (dataset.get_data_info(0)[side] for side in ('width', 'height'))
    scale(tmp_path, 2)
    _, said = warnings(dataset)
    (message,) = [each for each in said if 'another size' in each]
    assert '8 of 8 looked at' in message
    assert 'scaled after labelling' in message
    assert f'{width} x {height} in the file' in message
    assert f'and {2 * width} x {2 * height} as loaded' in message


def test_images_so_much_smaller_that_boxes_lie_outside_are_refused(tmp_path):
    def far(content):
        for annotation in content['annotations']:
            image = content['images'][0]
            annotation['bbox'] = [image['width'] - 6, image['height'] - 6, 4, 4]

    dataset = edited_coco(tmp_path, far, pipeline=LOADING)
    scale(tmp_path, 0.5)
    assert 'as loaded' in refusal(dataset)


def test_a_photograph_that_loading_turns_is_told_with_its_cause(tmp_path, warnings):
    def lower(content):
        content['images'][20]['height'] -= 10

    dataset = edited_coco(tmp_path, lower, pipeline=LOADING)
    path = Path(dataset.get_data_info(20)['img_path'])
    exif = Image.Exif()
    exif[0x0112] = 6
    size = [dataset.get_data_info(20)[side] for side in ('width', 'height')]
    Image.new('RGB', size).save(path, exif=exif)
    _, said = warnings(dataset)
    (message,) = [each for each in said if 'another size' in each]
    assert '1 of 8 looked at' in message
    assert 'EXIF' in message
    assert "color_type='color_ignore_orientation'" in message


def test_boxes_written_as_two_corners_are_refused_with_the_right_format(tmp_path):
    def corners(content):
        size = {i['id']: (i['width'], i['height']) for i in content['images']}
        for each in content['annotations']:
            width, height = size[each['image_id']]
            each['bbox'] = [width // 2, height // 2, width - 2, height - 2]

    message = refusal(edited_coco(tmp_path, corners))
    assert '8 of 8 looked at' in message
    assert '"bbox": [x1, y1, x2 - x1, y2 - y1]' in message


def test_boxes_that_reach_beyond_their_images_as_a_rule_are_told(tmp_path, warnings):
    def shift(content):
        size = {i['id']: (i['width'], i['height']) for i in content['images']}
        for each in content['annotations']:
            width, height = size[each['image_id']]
            each['bbox'] = [width - 4, height - 4, 12, 12]

    _, (message,) = warnings(edited_coco(tmp_path, shift))
    assert 'a box that reaches beyond them: 8 of 8' in message


def test_images_of_another_suffix_beside_are_refused_with_their_name(tmp_path):
    dataset = xml(tmp_path, pipeline=LOADING)
    files.write_pixels(tmp_path / 'JPEGImages', IMAGES)
    for path in tmp_path.rglob('*.jpg'):
        path.rename(path.with_suffix('.png'))
    message = refusal(dataset)
    assert '.png is there' in message
    assert 'the images as .jpg files' in message


def test_check_finds_the_one_image_of_many_that_was_scaled(tmp_path):
    images = [files.Image(f'd{i:02d}', ('crack',)) for i in range(40)]
    files.write_pixels(tmp_path / 'images', images)
    path = tmp_path / 'images/d20.jpg'
    Image.open(path).resize((32, 32)).save(path)
    for pixels in (False, True):
        dataset = edited_coco(tmp_path, lambda _: None, images, pipeline=LOADING)
        said = [f.what for f in examine(dataset, pixels=pixels)]
        assert any('1 of 40 looked at' in what for what in said) == pixels
