"""A dataset class of the user's own does not switch the checks off without a word."""

from __future__ import annotations

import dataset_files as files
import pytest
from dataset_files import Image
from faulty_files import (
    DEFECT,
    DROPPED,
    NORMAL,
    SECOND_HALF,
    coco,
    drawn,
    edited_coco,
    editing,
    names,
    refusal,
    xml,
)

from mmdefect.checks.annotations import examine

mmdet = pytest.importorskip('mmdet.datasets')


class WithPart(mmdet.CocoDataset):
    """Adds a field, as public projects do."""

    def parse_data_info(self, raw_data_info):
        info = super().parse_data_info(raw_data_info)
        return {**info, 'part': raw_data_info['raw_img_info']['file_name'][:2]}


class WithPartInXml(mmdet.XMLDataset):
    """The same of XML files."""

    def parse_data_info(self, img_info):
        return {**super().parse_data_info(img_info), 'part': img_info['img_id'][:2]}


class Tiles(WithPart):
    """Makes two images of each, so that none is an image of the file."""

    def load_data_list(self):
        return 2 * super().load_data_list()


class Takes(WithPart):
    """Takes boxes that MMDetection drops."""

    def parse_data_info(self, raw_data_info):
        for annotation in raw_data_info['raw_ann_info']:
            annotation['area'] = 1
        return super().parse_data_info(raw_data_info)


def of(kind, dataset):
    dataset.__class__ = kind
    return dataset


@pytest.mark.parametrize('name', DROPPED)
def test_defects_that_a_class_of_ones_own_drops_are_told_with_their_cause(
    name, tmp_path, warnings
):
    _, why, _ = DROPPED[name]
    dataset = coco(tmp_path, editing(name), SECOND_HALF, lazy_init=True)
    made, (message,) = warnings(of(WithPart, dataset))
    assert drawn(made) == names(DEFECT[:4])
    assert 'not drawn as such: 4' in message
    assert why in message


def test_images_that_share_an_id_are_told_of_a_class_of_ones_own(tmp_path):
    def share(content):
        for image in content['images']:
            image['id'] = 1
        for annotation in content['annotations']:
            annotation['image_id'] = 1

    dataset = edited_coco(tmp_path, share, lazy_init=True)
    assert 'images that have the id of another one: 27 of 28' in refusal(
        of(WithPart, dataset)
    )


def test_boxes_without_area_in_xml_are_told_of_a_class_of_ones_own(tmp_path, warnings):
    def flat(name, text):
        return text.replace('<xmax>', '<xmax>-') if name > 'd03' else text

    assert examine(of(WithPartInXml, xml(tmp_path / 'sound'))) == []
    _, (message,) = warnings(of(WithPartInXml, xml(tmp_path / 'faulty', flat)))
    assert 'not drawn as such: 4' in message
    assert 'from the bottom right' in message


def test_what_a_class_of_ones_own_takes_is_not_called_lost(tmp_path, warnings):
    dataset = coco(tmp_path, editing('area'), SECOND_HALF, lazy_init=True)
    made, said = warnings(of(Takes, dataset))
    assert drawn(made) == names(DEFECT)
    assert said == []


def test_that_nothing_can_be_compared_is_said_once(tmp_path):
    dataset = of(Tiles, coco(tmp_path, lazy_init=True))
    (note,) = examine(dataset)
    assert 'in a way of its own' in note.what
    assert not note.breaks


def test_a_small_image_whose_xml_file_has_no_size_is_called_small(tmp_path, warnings):
    def without(_, text):
        start, end = text.index('<size>'), text.index('</size>')
        return text[:start] + text[end + len('</size>') :]

    images = [*NORMAL, *DEFECT, Image('d08', ('crack',), size=8)]
    files.write_pixels(tmp_path / 'JPEGImages', images)
    options = dict(filter_cfg=dict(filter_empty_gt=False, min_size=32))
    _, (message,) = warnings(xml(tmp_path, without, images, **options))
    assert 'smaller than filter_cfg.min_size' in message
    assert '<width>' not in message
