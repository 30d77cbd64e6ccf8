from __future__ import annotations

import numpy as np
import pytest
from mmcv.transforms import RandomApply, RandomChoice
from mmdet.datasets import transforms
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed

from mmdefect.images.boxes import TracedBoxes
from mmdefect.images.remembering import remembering

SIZE = 96
CROP = dict(type='RandomCrop', crop_size=(60, 60), allow_negative_crop=True)
RECOMPUTE = dict(CROP, crop_size=(50, 40), recompute_bbox=True)
STEPS = {
    'CutOut': dict(type='CutOut', n_holes=3, cutout_ratio=(0.4, 0.4)),
    'RandomErasing': dict(
        type='RandomErasing', n_patches=3, ratio=0.4, img_border_value=0
    ),
    'CopyPaste': dict(type='CopyPaste', selected=False),
    'RandomCrop': RECOMPUTE,
}
INSIDE = {
    'alone': lambda step: step,
    'RandomApply': lambda step: RandomApply([step], prob=1.0),
    'RandomChoice': lambda step: RandomChoice([[step], [step]]),
}


def build(step):
    step = dict(step)
    return getattr(transforms, step.pop('type'))(**step)


def an_image(box, label, value):
    x1, y1, x2, y2 = box
    mask = np.zeros((1, SIZE, SIZE), np.uint8)
    mask[0, y1:y2, x1:x2] = 1
    return dict(
        img=value * mask[0][..., None].repeat(3, axis=2),
        img_shape=(SIZE, SIZE),
        gt_bboxes=TracedBoxes(np.float32([box])),
        gt_bboxes_labels=np.array([label]),
        gt_ignore_flags=np.array([False]),
        gt_masks=BitmapMasks(mask, SIZE, SIZE),
    )


def boxes_at_random(seed):
    rng = np.random.default_rng(seed)
    while True:
        corner = rng.integers(0, SIZE - 40, 2)
        yield [*corner.tolist(), *(corner + rng.integers(10, 40, 2)).tolist()]


@pytest.mark.parametrize('inside', INSIDE.values(), ids=INSIDE)
@pytest.mark.parametrize('name', STEPS)
def test_a_defect_counts_by_what_shows_after_boxes_are_made_anew_or_painted_over(
    name, inside
):
    # The defect is white on black, and painted over in black.
    init_default_scope('mmdet')
    set_random_seed(0)
    crop, step = build(RECOMPUTE), build(STEPS[name])
    step = inside(step)
    hidden = 0
    for box, other in zip(boxes_at_random(1), boxes_at_random(2)):
        results = remembering(crop)(an_image(box, 5, 255))
        if not len(results['gt_bboxes']):
            continue
        if name == 'CopyPaste':
            partner = an_image([other[0] % 10, other[1] % 10, 35, 38], 3, 0)
            height, width = results['img_shape']
            partner['img'] = partner['img'][:height, :width]
            masks = partner['gt_masks'].masks[:, :height, :width]
            partner['gt_masks'] = BitmapMasks(masks, height, width)
            results['mix_results'] = [partner]
        results = remembering(step)(results)
        own = results['gt_bboxes_labels'] == 5
        assert set(results['gt_bboxes_labels']) <= {3, 5}
        shares = results['gt_bboxes'].visible_share(results['img_shape'])
        if name == 'CopyPaste':
            assert shares[~own] == 1
        x1, y1, x2, y2 = box
        shown = (results['img'][..., 0] == 255).sum() / ((x2 - x1) * (y2 - y1))
        assert shares[own] == pytest.approx(shown if own.any() else 0)
        hidden += 0 < shown < 0.2
        if hidden == 10:
            break


def test_a_box_beyond_the_border_counts_by_what_shows_after_an_erasing():
    results = an_image([10, 10, 50, 30], 5, 255)
    results['gt_bboxes'] = TracedBoxes([[-30.0, 10, 50, 30]])
    step = transforms.RandomErasing(n_patches=1, ratio=(0.0, 0.001))
    boxes = remembering(step)(results)['gt_bboxes']
    assert boxes.tensor.tolist() == [[-30, 10, 50, 30]]
    assert boxes.visible_share((SIZE, SIZE)) == pytest.approx([50 / 80])


class ErasesPits(transforms.RandomErasing):
    """A user's transform, which looks at the labels."""

    def transform(self, results):
        assert set(results['gt_bboxes_labels']) <= {1, 5}
        return super().transform(results)


def test_a_transform_of_the_users_own_gets_the_labels_as_they_are():
    step = ErasesPits(n_patches=1, ratio=0.1)
    assert remembering(step) is step
    assert len(remembering(step)(an_image([10, 10, 50, 30], 5, 255))['gt_bboxes']) == 1


def test_transforms_that_boxes_notice_are_left_as_they_are():
    plain = RandomApply([build(CROP)])
    assert remembering(plain) is plain
    without_boxes = dict(img=np.zeros((9, 9, 3), np.uint8), img_shape=(9, 9))
    assert remembering(build(STEPS['CutOut']))(without_boxes)['img'].shape == (9, 9, 3)
