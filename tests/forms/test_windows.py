"""Windows of large photographs, around their small defects."""

from __future__ import annotations

import json
from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import DATASETS
from pipelines import CLASSES, LOAD, NOTHING, PACK, leaf, shown

from mmdefect import DefectCrop
from mmdefect.delivery.attempts import Attempts

WIDTH, HEIGHT, SIZE = 90, 60, 32
sides = st.floats(1, 50)


def loaded(boxes, labels=None, image=None):
    """What LoadAnnotations makes of a photograph."""
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8) if image is None else image
    return dict(
        img=image,
        img_shape=image.shape[:2],
        gt_bboxes=HorizontalBoxes(boxes),
        gt_bboxes_labels=np.arange(len(boxes)) if labels is None else np.array(labels),
        gt_ignore_flags=np.zeros(len(boxes), bool),
    )


def area(box):
    return np.prod(np.subtract(box[2:], box[:2]))


@st.composite
def boxes(draw):
    left, top = draw(st.floats(0, WIDTH - 2)), draw(st.floats(0, HEIGHT - 2))
    right = min(left + draw(sides), WIDTH)
    return [left, top, right, min(top + draw(sides), HEIGHT)]


@given(found=st.lists(boxes(), min_size=1, max_size=4), data=st.data())
def test_a_window_always_shows_enough_of_the_defect_that_was_drawn(found, data):
    ratio = data.draw(st.sampled_from([0.2, 0.5, 1.0]))
    size = data.draw(st.sampled_from([(SIZE, SIZE), (20, 48), (200, 40)]))
    wanted = data.draw(st.integers(0, len(found) - 1))
    results = DefectCrop(size, ratio)(loaded(found), [wanted])
    assert results['img'].shape[:2] == size[::-1] == tuple(results['img_shape'])
    (number,) = np.flatnonzero(results['gt_bboxes_labels'] == wanted)
    left, top, right, bottom = found[wanted]
    most = min(right - left, size[0]) * min(bottom - top, size[1])
    kept = results['gt_bboxes'].tensor[number].numpy()
    assert area(kept) >= ratio * most * 0.999 - 0.01
    # What is still there shows as much as was asked for.
    for label, box in zip(results['gt_bboxes_labels'], results['gt_bboxes'].tensor):
        x1, y1, x2, y2 = found[label]
        most = min(x2 - x1, size[0]) * min(y2 - y1, size[1])
        assert area(box.numpy()) >= ratio * most * 0.999 - 0.01


def test_the_defect_is_anywhere_in_its_window_and_not_in_the_middle():
    places = Counter()
    for _ in range(2000):
        results = DefectCrop(SIZE, 1.0)(loaded([[40, 28, 44, 32]]))
        places[tuple(results['gt_bboxes'].tensor[0, :2].int().tolist())] += 1
    # 29 x 29 places, all alike: 2.4 times each.
    assert len(places) > 700
    assert {x for x, _ in places} == {y for _, y in places} == set(range(29))
    assert max(places.values()) < 15


def test_a_mask_stays_on_its_defect():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[28:32, 40:44] = 255
    results = loaded([[40, 28, 44, 32]], image=image)
    results['gt_masks'] = BitmapMasks(
        (image[None, ..., 0] > 0).astype(np.uint8), 60, 90
    )
    results = DefectCrop(SIZE)(results)
    mask = results['gt_masks'].masks[0] > 0
    assert mask.any()
    assert (mask == (results['img'][..., 0] > 0)).all()


def test_a_small_photograph_is_padded_and_a_normal_one_gives_any_window():
    image = np.full((20, 24, 3), 9, np.uint8)
    results = DefectCrop(SIZE)(loaded([], image=image))
    assert results['img'].shape == (SIZE, SIZE, 3)
    assert (results['img'][:20, :24] == 9).all()
    assert (results['img'][20:] == 114).all()
    image = np.arange(WIDTH, dtype=np.uint8)[None, :, None].repeat(HEIGHT, 0)
    first = {
        int(DefectCrop(SIZE)(loaded([], image=image))['img'][0, 0, 0])
        for _ in range(500)
    }
    assert first == set(range(WIDTH - SIZE + 1))


@pytest.fixture(scope='module')
def large(tmp_path_factory):
    """Photographs of 400 x 300 pixels: six of eight show a pit of 6."""
    root = tmp_path_factory.mktemp('large')
    (root / 'train').mkdir()
    images, annotations = [], []
    rng = np.random.default_rng(0)
    for n in range(8):
        image = rng.integers(90, 110, (300, 400), np.uint8)
        images.append(dict(id=n, file_name=f'{n}.png', width=400, height=300))
        labels = [2] * (n % 4 > 0) + [3] * (n % 4 == 1)
        for label in labels:
            x, y = (int(v) for v in rng.integers(0, (394, 294)))
            image[y : y + 6, x : x + 6] = 40 * label
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=n,
                    category_id=label,
                    bbox=[x, y, 6, 6],
                    area=36,
                    iscrowd=0,
                )
            )
        cv2.imwrite(str(root / f'train/{n}.png'), image)
    categories = [dict(id=n, name=name) for n, name in enumerate(CLASSES, 1)]
    content = dict(images=images, annotations=annotations, categories=categories)
    (root / 'train.json').write_text(json.dumps(content))
    return root


def dataset(root, crop, wrapped=True):
    pipeline = [*LOAD, crop, dict(type='RandomFlip', prob=0.5), *PACK]
    config = leaf(root, pipeline, filter_cfg=dict(filter_empty_gt=False))
    if wrapped:
        config = dict(type='DefectPreservingDataset', dataset=config)
    return DATASETS.build(config)


@pytest.mark.usefixtures('like_a_worker')
def test_every_small_defect_of_a_large_photograph_is_delivered_in_one_try(large):
    data = dataset(large, dict(type='DefectCrop', size=64))
    for index in range(8):
        for _ in range(20):
            sample = data[index]
            assert sample['inputs'].shape[-2:] == (64, 64)
            assert bool(len(shown(sample))) == (index % 4 > 0)
    assert data.counts == NOTHING
    # MMDetection's crop finds them too, where it is tried until it does.
    random = dict(type='RandomCrop', crop_size=(64, 64), allow_negative_crop=True)
    missed = sum(
        not len(shown(dataset(large, random, wrapped=False)[2])) for _ in range(50)
    )
    assert missed > 35


def test_the_window_is_around_the_class_that_the_image_was_drawn_for(large):
    data = dataset(large, dict(type='DefectCrop', size=64), wrapped=False)
    for label in (1, 2):  # the first of them shows both, far from each other
        for _ in range(20):
            assert label in shown(Attempts(frozenset([label])).run(data, 1))


def test_what_is_no_defect_draws_no_window_of_a_normal_photograph(large):
    data = dataset(large, dict(type='DefectCrop', size=64), wrapped=False)
    missed = sum(not shown(Attempts().run(data, 2)) for _ in range(50))
    assert missed > 35


def test_a_window_shows_a_defect_without_the_wrapper_as_well(large):
    data = dataset(large, dict(type='DefectCrop', size=64), wrapped=False)
    for _ in range(20):
        assert len(shown(data[2]))
        assert not len(shown(data[4]))


@pytest.mark.parametrize(
    ('arguments', 'error', 'said'),
    [
        (dict(size=0), ValueError, 'size=0: expected at least 1'),
        (dict(size='640'), TypeError, "size='640': expected an int"),
        (dict(size=(640,)), TypeError, 'or \\(width, height\\)'),
        (dict(size=640, min_area_ratio=0), ValueError, 'min_area_ratio=0: expected'),
        (dict(size=640, min_area_ratio='1'), TypeError, "min_area_ratio='1'"),
    ],
)
def test_a_wrong_window_is_told_before_training(arguments, error, said):
    with pytest.raises(error, match=said):
        DefectCrop(**arguments)
