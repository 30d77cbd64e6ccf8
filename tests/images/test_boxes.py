from __future__ import annotations

import copy

import cv2
import numpy as np
import pytest
from mmdet.datasets import transforms
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.runner import set_random_seed

from mmdefect.images.boxes import TracedBoxes
from mmdefect.images.remembering import remembering

SIZE = 96
BORDER = (-SIZE // 4, -SIZE // 4)
MOVING = {
    'RandomFlip': dict(prob=1.0, direction='diagonal'),
    'Resize': dict(scale=(150, 60), keep_ratio=False),
    'Pad': dict(size=(120, 130)),
    'RandomCrop': dict(crop_size=(40, 50), allow_negative_crop=True),
    'RandomAffine': dict(border=BORDER),
    'RandomShift': dict(prob=1.0, max_shift_px=30),
    'Expand': dict(prob=1.0),
    'MinIoURandomCrop': dict(),
    'RandomCenterCropPad': dict(
        crop_size=(64, 64),
        ratios=(0.8, 1.2),
        mean=[0, 0, 0],
        std=[1, 1, 1],
        to_rgb=False,
        test_pad_mode=None,
    ),
    'ShearX': dict(prob=1.0),
    'Rotate': dict(prob=1.0),
    'TranslateY': dict(prob=1.0),
    'Mosaic': dict(img_scale=(SIZE, SIZE)),
    'MixUp': dict(img_scale=(SIZE, SIZE)),
    'CachedMosaic': dict(img_scale=(SIZE, SIZE)),
    'CachedMixUp': dict(img_scale=(SIZE, SIZE)),
    'FilterAnnotations': dict(min_gt_bbox_wh=(20, 20), keep_empty=False),
    'CutOut': dict(n_holes=3, cutout_ratio=(0.3, 0.3)),
}


MASKED = {
    'RandomCrop': dict(
        crop_size=(40, 50), allow_negative_crop=True, recompute_bbox=True
    ),
    'CopyPaste': dict(),
    'RandomErasing': dict(n_patches=3, ratio=0.3),
}


def an_image(kind, seed, masked=False):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, SIZE - 40, (4, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (4, 2))], axis=1)
    image = dict(
        img=rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8),
        img_shape=(SIZE, SIZE),
        gt_bboxes=kind(boxes.astype(np.float32)),
        gt_bboxes_labels=np.arange(4),
        gt_ignore_flags=np.array([False, False, True, False]),
    )
    if masked:
        masks = np.zeros((4, SIZE, SIZE), np.uint8)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes.astype(int)):
            mask[y1:y2, x1:x2] = 1
        image['gt_masks'] = BitmapMasks(masks, SIZE, SIZE)
    return image


def run(name, kind, seed, masked):
    set_random_seed(seed)
    step = getattr(transforms, name)(**(MASKED if masked else MOVING)[name])
    for cached in range(6 if name.startswith('Cached') else 0):
        step(an_image(kind, 100 + cached))
    image = an_image(kind, seed, masked)
    if kind is TracedBoxes:
        step = remembering(step)
    if name == 'RandomCenterCropPad':
        image['img'] = image['img'].astype(np.float32)
    partners = {'Mosaic': 3, 'MixUp': 1, 'CopyPaste': 1}.get(name, 0)
    if partners:
        image['mix_results'] = [
            an_image(kind, seed + 11 + n, masked) for n in range(partners)
        ]
    return step(image)


@pytest.mark.parametrize(
    ('name', 'masked'), [(n, False) for n in MOVING] + [(n, True) for n in MASKED]
)
def test_training_gets_the_boxes_that_it_would_get_without_the_memory(name, masked):
    for seed in range(5):
        plain, traced = (
            run(name, kind, seed, masked) for kind in (HorizontalBoxes, TracedBoxes)
        )
        assert type(plain['gt_bboxes']) is HorizontalBoxes
        np.testing.assert_array_equal(traced['img'], plain['img'])
        np.testing.assert_array_equal(
            traced['gt_bboxes'].numpy(), plain['gt_bboxes'].numpy()
        )
        np.testing.assert_array_equal(
            traced['gt_bboxes_labels'], plain['gt_bboxes_labels']
        )
        assert len(traced['gt_bboxes'].kept) == len(plain['gt_bboxes'])


@pytest.mark.parametrize('seed', range(20))
def test_the_visible_share_is_that_of_the_pixels_at_any_scale(seed):
    # The box is white on black, so that what is left of it can be counted.
    rng = np.random.default_rng(seed)
    x, y, w, h = (int(n) for n in (*rng.integers(10, 40, 2), *rng.integers(30, 50, 2)))
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[y : y + h, x : x + w] = 255
    results = dict(
        img=image,
        img_shape=(SIZE, SIZE),
        gt_bboxes=TracedBoxes([[x, y, x + w, y + h]]),
        gt_bboxes_labels=np.array([0]),
        gt_ignore_flags=np.array([False]),
        mix_results=[
            dict(
                img=np.zeros((SIZE, SIZE, 3), np.uint8),
                gt_bboxes=TracedBoxes(np.zeros((0, 4), np.float32)),
                gt_bboxes_labels=np.zeros(0, int),
                gt_ignore_flags=np.zeros(0, bool),
            )
        ]
        * 3,
    )
    zoom = rng.uniform(0.6, 2)
    set_random_seed(seed)
    for step in (
        transforms.Mosaic(img_scale=(2 * SIZE, 2 * SIZE), pad_val=0),
        transforms.RandomAffine(
            max_rotate_degree=0,
            max_shear_degree=0,
            scaling_ratio_range=(zoom, zoom),
            border=(-SIZE, -SIZE),
            border_val=(0, 0, 0),
        ),
        transforms.RandomFlip(prob=0.5),
        transforms.Resize(scale=(3 * SIZE, SIZE), keep_ratio=False),
        transforms.RandomCrop((2 * SIZE, SIZE), allow_negative_crop=True),
    ):
        results = step(results)
    # Mosaic doubles the image, RandomAffine zooms, Resize takes 192 to 288 x 96.
    whole = w * h * 4 * zoom**2 * 1.5 * 0.5
    left = results['img'][..., 0].sum() / 255 / whole
    shares = results['gt_bboxes'].visible_share(results['img_shape'])
    assert left == pytest.approx(shares[0] if len(shares) else 0, abs=0.03)


def test_a_box_that_a_transform_leaves_beyond_the_image_is_seen_in_part():
    boxes = TracedBoxes([[-10.0, 0, 10, 10], [-10, 0, -5, 10], [0, 0, 10, 10]])
    assert boxes.visible_share((20, 30)).tolist() == [0.5, 0, 1]
    # What the photograph itself does not show is not missed, also after a cut.
    boxes = TracedBoxes.showing(boxes, (20, 30))
    assert boxes.visible_share((20, 30)).tolist() == [1, 0, 1]
    boxes.translate_((-5, 0))
    boxes.clip_((20, 30))
    assert boxes.visible_share((20, 30)).tolist() == [0.5, 0, 0.5]


@pytest.mark.parametrize('angle', [-30, -7, 15, 45])
@pytest.mark.parametrize('by', ['rotate_', 'project_'])
def test_turning_what_a_crop_left_of_a_long_defect_takes_nothing_from_it(by, angle):
    boxes = TracedBoxes([[20.0, 96, 180, 104]])
    boxes.translate_((-100, 0))
    boxes.clip_((200, 200))
    assert boxes.visible_share((200, 200)).tolist() == [0.5]
    turn = cv2.getRotationMatrix2D((100, 100), -angle, 1)
    if by == 'rotate_':
        boxes.rotate_((100, 100), angle)
    else:
        boxes.project_(np.vstack([turn, [0, 0, 1]]))
    boxes.translate_((50, 50))
    assert boxes.visible_share((300, 300)) == pytest.approx([0.5])


def test_a_crop_and_a_turn_seldom_reject_a_long_defect_that_shows():
    crop = transforms.RandomCrop((0.4, 0.4), 'relative_range', allow_negative_crop=True)
    turn = transforms.Rotate(prob=1.0, max_mag=30.0, img_border_value=0)
    rng = np.random.default_rng(0)
    rejected = wrongly = 0
    for _ in range(700):
        w, h = rng.permutation([160, 8])
        x, y = int(rng.integers(0, 256 - w)), int(rng.integers(0, 256 - h))
        image = np.zeros((256, 256, 3), np.uint8)
        image[y : y + h, x : x + w] = 255
        results = dict(
            img=image,
            img_shape=(256, 256),
            gt_bboxes=TracedBoxes(np.float32([[x, y, x + w, y + h]])),
            gt_bboxes_labels=np.array([0]),
        )
        results = turn(crop(results))
        if any(results['gt_bboxes'].visible_share(results['img_shape']) < 0.2):
            rejected += 1
            wrongly += results['img'][..., 0].sum() / 255 / (160 * 8) >= 0.2
    assert rejected > 10
    assert wrongly <= 0.1 * rejected


def test_copies_do_not_share_what_they_remember():
    boxes = TracedBoxes([[0.0, 0, 10, 10]])
    for other in (copy.deepcopy(boxes), boxes.clone()):
        other.rescale_((2, 2))
        other.clip_((10, 10))
        assert other.visible_share((10, 10)).tolist() == [0.25]
        assert boxes.visible_share((10, 10)).tolist() == [1]


def test_a_window_of_an_image_shows_what_a_crop_to_it_leaves():
    boxes = TracedBoxes(np.array([[10, 10, 30, 30], [0, 0, 8, 8]], np.float32))
    boxes.kept[:] = 0.5
    moved = boxes.clone()
    moved.translate_([-20, -5])
    shares = boxes.visible_share((15, 40), (20, 5))
    assert shares.tolist() == moved.visible_share((15, 40)).tolist() == [0.125, 0]
