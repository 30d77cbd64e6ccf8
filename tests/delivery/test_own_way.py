"""Datasets that prepare their images in a way of their own, as those of MMYOLO do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmengine.registry import DATASETS
from mmengine.runner import set_random_seed
from mmyolo_like import OwnWayDataset
from pipelines import (
    CROP,
    LOAD,
    NOTHING,
    PACK,
    SIZE,
    classes_of,
    path_of,
    plain,
    pools_of,
    preserving,
    shown,
)

pytestmark = pytest.mark.usefixtures('like_a_worker')

REFUSING = dict(CROP, allow_negative_crop=False)
SMALL = dict(CROP, crop_size=(0.15, 0.15))
AIMED = 'a crop that leaves slivers'  # it gets a window that keeps the defect
PIPELINES = {
    AIMED: lambda root: plain(root, SMALL),
    'a crop that leaves slivers inside another transform': lambda root: plain(
        root, dict(type='RandomApply', transforms=[SMALL], prob=1.0)
    ),
    'a crop that refuses normal images': lambda root: plain(root, REFUSING),
    'a crop that leaves nothing': lambda root: plain(root, dict(type='CropsItAll')),
}
SQUARE = (SIZE, SIZE)
MOSAIC = dict(type='OwnMosaic', img_scale=SQUARE, pad_val=114.0, pre_transform=LOAD)
AFFINE = dict(type='RandomAffine', border=(-SIZE // 2, -SIZE // 2))


def own_way(config):
    return {**config, 'type': 'OwnWayDataset'}


@TRANSFORMS.register_module(force=True)
class CropsItAll:
    """A user's transform that leaves no box."""

    def __call__(self, results):
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = results[key][:0]
        return results


@TRANSFORMS.register_module(force=True)
class ShiftsHalf:
    """Leaves the left half of each box, and moves it so that the next half is cut."""

    def __call__(self, results):
        boxes = results['gt_bboxes']
        height, width = results['img_shape'][:2]
        if len(boxes):
            x1, _, x2, _ = boxes.tensor[0].tolist()
            boxes.translate_((width - (x1 + x2) / 2, 0))
            # MMYOLO gives it the shape of an array with channels.
            boxes.clip_((height, width, 3))
        return results


@pytest.mark.parametrize('name', PIPELINES)
def test_it_delivers_what_a_dataset_of_mmdetection_delivers(name, small):
    """So the ratio, the retries and the fallback without crops are true for it."""
    config = PIPELINES[name](small)
    results, counts = [], []
    for dataset in (preserving(config), preserving(own_way(config))):
        set_random_seed(0)
        pools = pools_of(dataset)
        drawn = [*pools['defect'].tolist() * 3, *pools['normal'][:20].tolist()]
        results.append([dataset[index]['inputs'] for index in drawn])
        counts.append(dataset.counts)
    assert counts[0] == counts[1]
    assert (counts[0] == NOTHING) == (name == AIMED)
    assert all(map(torch.equal, *results))


def test_its_pipeline_is_its_own_again_afterwards(small):
    dataset = preserving(own_way(plain(small, dict(type='CropsItAll'))))
    held = dataset.pipeline
    for index in (int(pools_of(dataset)[name][0]) for name in ('defect', 'normal')):
        dataset[index]
        assert dataset.pipeline is held


class Pairs(OwnWayDataset):
    """Prepares an image without a defect besides."""

    def prepare_data(self, idx):
        assert self.pipeline(self.get_data_info(self.besides)) is not None
        return super().prepare_data(idx)


def test_an_image_that_it_prepares_besides_has_no_defect_to_keep(small):
    config = plain(small)
    del config['type']
    inside = Pairs(**config)
    dataset = preserving(inside)
    inside.besides = int(pools_of(dataset)['normal'][0])
    for index in pools_of(dataset)['defect'].tolist():
        assert shown(dataset[index]) == classes_of(dataset, index)
    assert dataset.counts == NOTHING


def test_what_is_left_of_a_box_is_known_through_a_mixture_of_its_own(small):
    half = dict(type='ShiftsHalf')
    normal = int(pools_of(DATASETS.build(plain(small)))['normal'][0])
    mixture = dict(type='OwnMixUp', pre_transform=LOAD, partner=normal)
    config = own_way(plain(small, half, mixture, half))
    for ratio, uncut in ((0.2, False), (0.3, True)):  # a quarter is left
        dataset = preserving(config, min_area_ratio=ratio)
        one_box = [
            index
            for index in pools_of(dataset)['defect'].tolist()
            if len(dataset.get_data_info(index)['instances']) == 1
        ]
        for index in one_box[:3]:
            sample = dataset[index]['data_samples']
            assert sample.img_path == path_of(dataset, index)
        assert dataset.counts['uncut'] == 3 * uncut


def test_every_attempt_mixes_the_same_images_each_of_them_read_once(small):
    load = [dict(type='CountsReading'), LOAD[1]]
    mosaic = dict(MOSAIC, pre_transform=load)
    steps = [mosaic, dict(type='CropsItAll')]
    dataset = preserving(own_way(plain(small, *steps)))
    step = dataset.pipeline.transforms[2]
    dataset[int(pools_of(dataset)['defect'][0])]
    assert dataset.counts == {**NOTHING, 'retries': 10, 'uncut': 1}
    assert step.pre_transform.transforms[0].times == 3


@pytest.mark.parametrize('ignore_empty', [False, True])
def test_an_image_to_mix_that_cannot_be_read_gives_way_to_another(ignore_empty, small):
    load = [dict(LOAD[0], ignore_empty=ignore_empty), LOAD[1]]
    mosaic = dict(MOSAIC, pre_transform=load, partners=[7, 7, 7])
    config = own_way(plain(small, mosaic, AFFINE))
    dataset = preserving({**config, 'serialize_data': False})
    dataset.dataset.data_list[7]['img_path'] = str(small / 'nowhere.png')
    for index in pools_of(dataset)['defect'].tolist():
        if index != 7:
            sample = dataset[index]['data_samples']
            assert sample.img_path == path_of(dataset, index)


def test_images_that_are_not_square_come_in_one_size_also_uncut(small):
    """MMYOLO stacks them."""
    wide = dict(type='Resize', scale=(120, 40), keep_ratio=False)
    load = [*LOAD, wide]
    steps = [wide, dict(MOSAIC, pre_transform=load), AFFINE]
    away = dict(type='CropsItAll')
    for end in ([], [dict(type='RandomAffine'), away]):
        config = own_way(plain(small, *steps))
        config['pipeline'][-1:-1] = end
        dataset = preserving(config, max_retries=0)
        pools = pools_of(dataset)
        for index in [*pools['defect'].tolist(), *pools['normal'][:9].tolist()]:
            assert dataset[index]['inputs'].shape[-2:] == SQUARE


def test_a_dataset_built_anew_with_another_pipeline_has_that(small):
    other = [*LOAD, dict(type='Resize', scale=(32, 32)), *PACK]
    for config in (plain(small, CROP), own_way(plain(small, CROP))):
        dataset = preserving(config, pipeline=other)
        index = int(np.random.default_rng(0).choice(pools_of(dataset)['defect']))
        assert dataset[index]['inputs'].shape[-2:] == (32, 32)
