"""What a transform may do to a defect is known by the names that libraries have."""

from __future__ import annotations

import mmcv.transforms
import pytest
from mmdet.datasets import transforms
from mmdet.registry import TRANSFORMS
from mmengine.registry import init_default_scope

import mmdefect
from mmdefect.images.transforms import EFFECTS, Effect, effect_of, without_cutting

# Words for transforms of Albumentations and of users.
ELSEWHERE = {'Shift', 'Perspective', 'CoarseDropout', 'Rotate90', 'RGBShift'}


def test_the_table_names_no_transform_that_is_gone():
    names = [*vars(transforms), *vars(mmcv.transforms), *vars(mmdefect)]
    gone = {word for word in EFFECTS if not any(word in name for name in names)}
    assert gone <= ELSEWHERE


def albu(*names):
    step = transforms.Albu.__new__(transforms.Albu)  # Albumentations is not needed
    step.transforms = [dict(type='OneOf', transforms=[dict(type=n) for n in names])]
    step.skip_img_without_anno = False
    return step


def test_albu_cuts_where_one_of_its_transforms_does():
    assert effect_of(albu('RGBShift', 'ShiftScaleRotate')).cuts
    assert not effect_of(albu('RGBShift', 'RandomRotate90', 'CLAHE')).cuts


def test_augmentation_of_colours_alone_cuts_nothing():
    init_default_scope('mmdet')
    colours = [[dict(type='Color')], [dict(type='Equalize')]]
    assert not effect_of(
        TRANSFORMS.build(dict(type='RandAugment', aug_space=colours))
    ).cuts
    assert effect_of(TRANSFORMS.build(dict(type='RandAugment'))).cuts


@pytest.mark.parametrize('name', ['YOLOv5RandomAffine', 'Mosaic9', 'PPYOLOERandomCrop'])
def test_transforms_of_mmyolo_and_of_users_are_known_by_the_words_in_their_names(name):
    step = type(name, (), {})()
    assert effect_of(step).cuts
    assert list(without_cutting([step])) == []
    assert effect_of(type('Brighter', (), {})()) == Effect()
