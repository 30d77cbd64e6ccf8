from __future__ import annotations

import copy
import importlib.util
import json
import pickle
import re
import shutil
from pathlib import Path

import cv2
import dataset_files as files
import faulty_files
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose, LoadImageFromFile
from mmdet.registry import TRANSFORMS
from mmengine.dataset import (
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
    pseudo_collate,
)
from mmengine.model import BaseModel
from mmengine.registry import DATASETS
from mmengine.runner import Runner, set_random_seed
from pipelines import (
    CLASSES,
    CROP,
    LOAD,
    NOTHING,
    PACK,
    SIZE,
    LosesTheFirst,
    classes_of,
    faster_rcnn,
    leaf,
    losing,
    path_of,
    plain,
    pools_of,
    preserving,
    rtmdet,
    shown,
    yolox,
)
from runner_configs import ROOT
from torch.utils.data import DataLoader

from mmdefect.delivery.preserving import DefectPreservingDataset
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler

pytestmark = pytest.mark.usefixtures('like_a_worker')


def arrivals(dataset, indices):
    """Share of the images that arrive as themselves and show a class of theirs."""
    arrived = 0
    for index in indices:
        result = dataset[int(index)]
        itself = result['data_samples'].img_path == path_of(dataset, index)
        arrived += itself and bool(shown(result) & classes_of(dataset, index))
    return arrived / len(indices)


# --- What arrives --------------------------------------------------------------------


@pytest.mark.parametrize('pipeline', [yolox, rtmdet, faster_rcnn])
def test_drawn_defects_reach_the_model(pipeline, small):
    dataset = DATASETS.build(pipeline(small))
    drawn = np.random.default_rng(0).choice(pools_of(dataset)['defect'], 600)
    # Else there is nothing to preserve, and this test could not fail.
    assert arrivals(dataset, drawn[:100]) < 0.95
    assert arrivals(preserving(pipeline(small)), drawn) >= 0.995


@pytest.mark.parametrize('pipeline', [yolox, rtmdet, faster_rcnn])
def test_normal_images_arrive_as_themselves(pipeline, small):
    dataset = preserving(pipeline(small))
    for index in pools_of(dataset)['normal'][:60].tolist():
        sample = dataset[index]['data_samples']
        assert sample.img_path == path_of(dataset, index)
        assert type(sample.gt_instances.bboxes).__name__ == 'HorizontalBoxes'


def test_masks_come_with_their_boxes(synthetic):
    masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    for recompute in (False, True):
        crop = dict(CROP, recompute_bbox=recompute)
        config = leaf(synthetic, [LOAD[0], masks, crop, *PACK])
        dataset = preserving({**config, 'ann_file': 'annotations/train.json'})
        for index in pools_of(dataset)['defect'].tolist() * 5:
            result = dataset[index]
            instances = result['data_samples'].gt_instances
            assert set(instances.labels.tolist()) & classes_of(dataset, index)
            assert instances.masks.masks.shape[0] == len(instances.bboxes)
            assert instances.masks.masks.shape[1:] == result['inputs'].shape[1:]


@pytest.mark.parametrize('nested', [False, True])
def test_boxes_made_anew_from_masks_are_judged_as_if_they_were_cut(synthetic, nested):
    # So the same crops are taken.
    masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    delivered = []
    for recompute in (False, True):
        crop = dict(CROP, crop_size=(0.1, 0.1), recompute_bbox=recompute)
        if nested:
            crop = dict(type='RandomChoice', transforms=[[crop]])
        config = leaf(synthetic, [LOAD[0], masks, crop, *PACK])
        dataset = preserving({**config, 'ann_file': 'annotations/train.json'})
        set_random_seed(0)
        drawn = pools_of(dataset)['defect'].tolist() * 25
        delivered.append([dataset[index]['inputs'] for index in drawn])
        assert dataset.counts['retries'] > 0 or not nested  # the window is aimed
    assert all(map(torch.equal, *delivered))


@pytest.mark.parametrize('ratio', [0, 0.2, 0.6])
def test_a_sliver_of_a_defect_does_not_count(ratio, small):
    # Nothing is scaled, so the boxes can be compared with the annotated ones.
    dataset = preserving(plain(small, CROP), min_area_ratio=ratio)
    drawn = np.random.default_rng(0).choice(pools_of(dataset)['defect'], 150)
    largest = []
    for index in drawn.tolist():
        whole = {}
        for i in dataset.get_data_info(index)['instances']:
            x1, y1, x2, y2 = i['bbox']
            whole.setdefault(i['bbox_label'], []).append((x2 - x1) * (y2 - y1))
        seen = dataset[index]['data_samples'].gt_instances
        # Which box of a class it is cannot be told: take the smallest.
        shares = [
            float(area) / min(whole[label])
            for area, label in zip(seen.bboxes.areas, seen.labels.tolist())
        ]
        largest.append(max(shares))
    assert min(largest) >= ratio - 1e-3
    assert ratio or min(largest) < 0.2


@pytest.mark.slow
def test_boxes_that_count_by_default_show_a_good_part_of_their_defect():
    # Cuts the corner, or one side, off the boxes of synthetic defects. A picture drawn
    # again without its defect tells which of its pixels belong to that.
    path = ROOT / 'tools/make_dataset.py'
    spec = importlib.util.spec_from_file_location('make_dataset', path)
    make_dataset = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_dataset)
    rng = np.random.default_rng(0)
    boxes, pixels = [], []
    for number in range(600):
        name = CLASSES[number % 3]
        picture, instances = make_dataset.render(0, 'train', number, [name], 160)
        surface, _ = make_dataset.render(0, 'train', number, [], 160)
        ((_, (x, y, width, height)),) = instances
        changed = np.abs(picture.astype(int) - surface)[y : y + height, x : x + width]
        defect = changed >= 8  # grey levels, well above the noise of 1.5
        for share in rng.uniform(0.005, 0.8, 50):
            part = share ** rng.choice([0, 1, rng.random()])
            w, h = max(round(part * width), 1), max(round(share / part * height), 1)
            left, top = (rng.choice([0, n]) for n in (width - w, height - h))
            boxes.append(w * h / (width * height))
            pixels.append(defect[top : top + h, left : left + w].sum() / defect.sum())
    boxes, pixels = np.array(boxes), np.array(pixels)

    def hardly_visible(low, high):
        between = (boxes >= low) & (boxes < high)
        return (pixels[between] < 0.2).mean()

    default = DefectPreservingDataset.__init__.__defaults__[2]
    assert hardly_visible(0.2, 0.25) > 0.7
    assert hardly_visible(default, default + 0.05) < 0.01


def test_a_box_drawn_beyond_the_border_counts_by_what_the_photograph_shows(
    small, tmp_path
):
    content = json.loads((small / 'train.json').read_text())
    for annotation in content['annotations']:
        annotation['bbox'] = [-500, 0, 540, 40]
    (tmp_path / 'beyond.json').write_text(json.dumps(content))
    config = plain(small, dict(type='Resize', scale=(64, 64)))
    config['ann_file'] = str(tmp_path / 'beyond.json')
    dataset = preserving(config, min_area_ratio=0.9)
    assert arrivals(dataset, pools_of(dataset)['defect']) == 1
    assert dataset.counts == NOTHING


def test_an_image_looks_as_it_looks_whenever_the_pipeline_keeps_its_defect(small):
    # The crops that keep the defect are the same, with the wrapper and without.
    dataset = DATASETS.build(plain(small, CROP))
    index = int(pools_of(dataset)['defect'][0])

    def crops(dataset, tries):
        results = [dataset[index] for _ in range(tries)]
        sizes = [r['inputs'].shape[-2:] for r in results if shown(r)]
        return np.sort([height * width for height, width in sizes])

    stock, ours = (
        crops(dataset, 1200),
        crops(preserving(dataset, min_area_ratio=0), 500),
    )
    assert len(stock) < 1100
    assert len(ours) == 500
    both = np.concatenate([stock, ours])
    distance = np.abs(
        np.searchsorted(stock, both, 'right') / len(stock)
        - np.searchsorted(ours, both, 'right') / len(ours)
    ).max()
    # Kolmogorov-Smirnov: larger in one of a thousand cases.
    assert distance < 1.95 * np.sqrt(1 / len(stock) + 1 / len(ours))


def test_only_the_chosen_classes_are_preserved(small):
    dataset = preserving(plain(small, CROP), defect_classes=['pit'])
    pools = pools_of(dataset)
    pits = pools['pit'].tolist()
    others = np.setdiff1d(pools['defect'], pits).tolist()
    assert all(1 in shown(dataset[index]) for index in pits * 20)
    assert not all(shown(dataset[index]) for index in others * 20)


def test_the_classes_that_the_sampler_draws_are_preserved_unless_others_are_named(
    small,
):
    dataset = preserving(plain(small, CROP))
    DefectPoolSampler(dataset, seed=0, defect_classes=['pit'])
    pits = pools_of(dataset)['pit'].tolist()
    assert all(1 in shown(dataset[index]) for index in pits * 20)
    assert dataset.forms.names[-1] == 'pasted pit'
    dataset = preserving(plain(small, CROP), defect_classes=['dent'])
    DefectPoolSampler(dataset, seed=0, defect_classes=['pit'])
    assert dataset.defect_classes == ('dent',)


def test_labels_are_those_of_the_dataset_that_an_image_is_from(small):
    # The same files, their classes in another order: label 0 is another class.
    other = {**plain(small, CROP), 'metainfo': dict(classes=('dent',))}
    both = dict(type='ConcatDataset', datasets=[plain(small, CROP), other, other])
    dataset = preserving(both, defect_classes=['dent'])
    size = len(dataset) // 3
    for part, label in ((0, 2), (1, 0), (2, 0)):
        indices = (part * size + pools_of(dataset.dataset.datasets[0])['dent']).tolist()
        assert all(label in shown(dataset[index]) for index in indices * 10)


# --- Attempts ------------------------------------------------------------------------


@TRANSFORMS.register_module(force=True)
class CropsEverything(LosesTheFirst):
    """A user's crop that never leaves a box."""

    def __init__(self):
        super().__init__(times=10**9)


@pytest.mark.parametrize('returns_none', [False, True])
@pytest.mark.parametrize(
    ('max_retries', 'times', 'counts'),
    [
        (4, 0, dict()),
        (4, 4, dict(retries=4)),
        (4, 5, dict(retries=4, uncut=1)),
        (4, 6, dict(retries=4, uncut=1, replaced=1)),
        (0, 0, dict()),
        (0, 1, dict(uncut=1)),
        (10, 11, dict(retries=10, uncut=1)),
    ],
)
def test_an_image_is_tried_again_then_uncut_then_replaced(
    small, max_retries, times, counts, returns_none
):
    dataset = preserving(losing(small, times, returns_none), max_retries=max_retries)
    index = int(pools_of(dataset)['pit'][0])
    result = dataset[index]
    assert 1 in shown(result)
    assert dataset.counts == {**NOTHING, **counts}
    # The first tries are all for the image itself, and it alone.
    seen = dataset.pipeline.transforms[2].seen
    path = path_of(dataset, index)
    assert seen[: times + 1 - ('replaced' in counts)].count(path) == len(seen) - (
        'replaced' in counts
    )
    assert (result['data_samples'].img_path == path) == ('replaced' not in counts)


def test_a_normal_image_that_is_refused_is_tried_again_and_not_swapped(small, log):
    # Stock takes other images at random, until one has a box.
    refusing = plain(small, dict(type='RandomCrop', crop_size=(60, 60)))
    refusing['pipeline'][0] = dict(type='CountsReading')
    stock, dataset = DATASETS.build(refusing), preserving(refusing)
    normal = pools_of(dataset)['normal'][:20].tolist()
    assert all(shown(stock[index]) for index in normal)
    for index in normal:
        result = dataset[index]
        assert not shown(result)
        assert result['data_samples'].img_path == path_of(dataset, index)
        # Shrunk to the size to which it would have been cut.
        assert result['inputs'].shape == (3, 60, 60)
    assert dataset.counts == {**NOTHING, 'retries': 20, 'refused': 20}
    said = [line for line in log if 'RandomCrop returned None' in line]
    assert len(said) == 1
    assert 'set allow_negative_crop=True' in said[0]
    # Each time costs a reading of the file.
    assert dataset.pipeline.transforms[0].times == 3 * 20
    assert 'its file was read 3 times' in said[0]


def test_uncut_images_have_a_size_that_the_model_can_take(small):
    for config in (yolox(small), rtmdet(small)):
        config['pipeline'].insert(-1, dict(type='CropsEverything'))
        dataset = preserving(config, max_retries=0)
        defects = pools_of(dataset)['defect'].tolist()
        for index in defects:
            result = dataset[index]
            assert max(result['inputs'].shape[-2:]) <= SIZE
            assert shown(result) == classes_of(dataset, index)
        assert dataset.counts == {**NOTHING, 'uncut': len(defects)}


def test_transforms_inside_others_are_left_out_too(small):
    inside = dict(
        type='RandomChoice',
        transforms=[[dict(type='Resize', scale=(60, 60)), dict(CROP)], [dict(CROP)]],
    )
    applied = dict(type='RandomApply', prob=1.0, transforms=[dict(CROP)])
    away = dict(type='RandomApply', prob=1.0, transforms=[dict(type='CropsEverything')])
    dataset = preserving(plain(small, inside, applied, away), max_retries=0)
    held = str(dataset.pipeline)
    defects = pools_of(dataset)['defect'].tolist()
    for index in defects:
        instances = dataset[index]['data_samples'].gt_instances
        assert len(instances) == len(dataset.get_data_info(index)['instances'])
    assert dataset.counts == {**NOTHING, 'uncut': len(defects)}
    assert str(dataset.pipeline) == held


@pytest.mark.parametrize('nested', [False, True])
def test_retries_do_not_fill_the_cache_that_mosaics_are_made_from(nested, small):
    config = rtmdet(small)
    mosaic = config['pipeline'][2]
    if nested:
        config['pipeline'][2] = dict(type='RandomApply', transforms=[mosaic], prob=1.0)
    config['pipeline'].insert(-1, dict(type='CropsEverything'))
    dataset = preserving(config)
    dataset[int(pools_of(dataset)['defect'][0])]
    assert dataset.counts['retries'] == 10
    step = dataset.pipeline.transforms[2]
    if nested:
        (step,) = step.transforms.transforms
    assert len(step.results_cache) == 1


def test_a_crop_is_tried_five_times_before_the_whole_pipeline_runs_again(small):
    dataset = preserving(plain(small, dict(type='CropsEverything')))
    dataset[int(pools_of(dataset)['defect'][0])]
    assert dataset.counts == {**NOTHING, 'retries': 10, 'uncut': 1}
    assert len(dataset.pipeline.transforms[2].seen) == 11 * 5


@TRANSFORMS.register_module(force=True)
class LosesTwoOfThree(LosesTheFirst):
    """A user's transform that loses all boxes, but each third time."""

    def __init__(self):
        super().__init__(times=2)

    def __call__(self, results):
        if len(self.seen) == 3:
            self.seen.clear()
        return super().__call__(results)


@TRANSFORMS.register_module(force=True)
class Darkens:
    """A user's transform that works on the image in place."""

    def __call__(self, results):
        results['img'] //= 2
        return results


@pytest.fixture(scope='module')
def bright(tmp_path_factory):
    """Black images; every fourth has a white box, which is its defect."""
    root = tmp_path_factory.mktemp('bright')
    (root / 'train').mkdir()
    rng = np.random.default_rng(0)
    content = dict(images=[], annotations=[], categories=[dict(id=1, name='pit')])
    for number in range(24):
        pixels = np.zeros((60, 80, 3), np.uint8)
        name = f'{number:02d}.png'
        content['images'].append(dict(id=number, file_name=name, height=60, width=80))
        if number % 4 == 0:
            x, y, w, h = (int(n) for n in (*rng.integers(0, 40, 2), 20, 16))
            pixels[y : y + h, x : x + w] = 255
            box = dict(id=number + 1, image_id=number, category_id=1, iscrowd=0)
            content['annotations'].append({**box, 'bbox': [x, y, w, h], 'area': w * h})
        cv2.imwrite(str(root / 'train' / name), pixels)
    (root / 'train.json').write_text(json.dumps(content))
    return root


STRAIGHT = dict(max_rotate_degree=0, max_shear_degree=0, border_val=(0, 0, 0))
TRIED_AGAIN = {
    'a crop': lambda root: plain(root, dict(type='Resize', scale=(160, 160)), CROP),
    'a mosaic': lambda root: dict(
        type='MultiImageMixDataset',
        dataset=leaf(root, LOAD),
        pipeline=[
            dict(type='Mosaic', img_scale=(80, 80), pad_val=0),
            dict(type='RandomAffine', border=(-40, -40), **STRAIGHT),
            dict(type='RandomFlip', prob=0.5),
            *PACK,
        ],
    ),
    'a mixture': lambda root: dict(
        type='MultiImageMixDataset',
        dataset=leaf(root, LOAD),
        pipeline=[
            dict(type='MixUp', img_scale=(80, 60), ratio_range=(0.9, 1.1), pad_val=0),
            dict(type='LosesTwoOfThree'),
            *PACK,
        ],
    ),
}


@pytest.mark.parametrize('kind', TRIED_AGAIN)
def test_boxes_lie_on_the_defects_however_often_an_image_was_tried(kind, bright):
    config = TRIED_AGAIN[kind](bright)
    config.get('dataset', config)['metainfo'] = dict(classes=('pit',))
    dataset, stock = preserving(config), DATASETS.build(config)
    drawn = list(range(0, 24, 4)) * 12
    assert sum(not shown(stock[index]) for index in drawn) > 5
    for index in drawn:
        result = dataset[index]
        white = result['inputs'][0].numpy() > 50
        inside = np.zeros_like(white)
        for box in result['data_samples'].gt_instances.bboxes.numpy():
            x1, y1, x2, y2 = box.round().astype(int)
            inside[max(y1 - 2, 0) : y2 + 2, max(x1 - 2, 0) : x2 + 2] = True
            assert white[y1 + 2 : max(y2 - 2, 0), x1 + 2 : max(x2 - 2, 0)].all()
        assert not (white & ~inside).any()


def test_an_image_is_read_once_and_each_try_begins_with_it_unchanged(bright):
    steps = dict(type='Darkens'), dict(type='LosesTheFirst', times=3)
    config = {**plain(bright, *steps), 'metainfo': dict(classes=('pit',))}
    config['pipeline'][0] = dict(type='CountsReading')
    dataset = preserving(config)
    result = dataset[0]
    assert dataset.counts == {**NOTHING, 'retries': 3}
    assert result['inputs'].max() == 127
    assert dataset.pipeline.transforms[0].times == 1


PAINTING = {
    'CutOut': dict(type='CutOut', n_holes=2, cutout_ratio=(0.5, 0.5)),
    'RandomErasing': dict(
        type='RandomErasing', n_patches=2, ratio=0.5, img_border_value=0
    ),
}


@pytest.mark.parametrize('nested', [False, True])
@pytest.mark.parametrize('name', PAINTING)
def test_a_defect_that_is_painted_over_is_not_delivered(name, nested, bright):
    painting = PAINTING[name]
    if nested:
        painting = dict(type='RandomApply', transforms=[painting], prob=1.0)
    config = {**plain(bright, painting), 'metainfo': dict(classes=('pit',))}
    dataset = preserving(config)
    drawn = list(range(0, 24, 4)) * 20
    shows = [(dataset[index]['inputs'][0] == 255).sum() / (20 * 16) for index in drawn]
    assert dataset.counts['retries'] > 10
    assert min(shows) >= 0.2


@TRANSFORMS.register_module(force=True)
class LoadReference(LoadImageFromFile):
    """A user's photograph without the defect, as further channels."""

    def transform(self, results):
        image = super().transform(dict(img_path=results['img_path']))['img']
        results['img'] = np.concatenate([results['img'], 255 - image], axis=2)
        return results


def test_a_second_file_is_read_for_every_try(bright):
    config = {
        **plain(bright, dict(type='LosesTheFirst', times=3)),
        'metainfo': dict(classes=('pit',)),
    }
    config['pipeline'].insert(1, dict(type='LoadReference'))
    dataset = preserving(config)
    image = dataset[0]['inputs']
    assert dataset.counts == {**NOTHING, 'retries': 3}
    assert len(image) == 6
    assert torch.equal(image[3:], 255 - image[:3])


def test_each_kind_of_trouble_is_said_once_and_counted(small, log):
    dataset = preserving(losing(small, 10**6), max_retries=1)
    index = int(pools_of(dataset)['defect'][0])
    with pytest.raises(RuntimeError, match='10 images in a row') as error:
        dataset[index]
    assert path_of(dataset, index) in str(error.value)
    assert 'LosesTheFirst cut its defect away' in str(error.value)
    assert dataset.counts == {**NOTHING, 'retries': 10, 'uncut': 10, 'replaced': 10}
    said = [line for line in log if 'LosesTheFirst cut its defect away' in line]
    assert len(said) == 2
    assert all(path_of(dataset, index) in line for line in said)


class Ready(torch.utils.data.Dataset):
    """A user's dataset with transforms of its own, which MMDetection does not know."""

    def __init__(self, dataset):
        self.dataset, self.asked = dataset, []
        self.metainfo = dataset.metainfo

    def __len__(self):
        return len(self.dataset)

    def get_data_info(self, index):
        return self.dataset.get_data_info(index)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.dataset[index]


def test_a_dataset_of_another_kind_is_watched_by_its_results(small):
    dataset = preserving(Ready(DATASETS.build(plain(small, CROP))))
    drawn = np.random.default_rng(0).choice(pools_of(dataset)['defect'], 200)
    assert arrivals(dataset, drawn) == 1
    assert len(dataset.dataset.asked) == 200 + dataset.counts['retries'] > 230


# --- Files that cannot be read -------------------------------------------------------


@pytest.fixture
def spoiled(small, tmp_path):
    """The set with one defect and one normal image spoilt, and the indices of them."""
    root = tmp_path / 'set'
    shutil.copytree(small, root)
    dataset = DATASETS.build(plain(root))
    pools = pools_of(dataset)
    alone = [i for i in pools['pit'] if classes_of(dataset, int(i)) == {1}]
    bad = [int(alone[0]), int(pools['normal'][0])]
    for index, content in zip(bad, (b'no picture', None)):
        path = Path(path_of(dataset, index))
        path.unlink() if content is None else path.write_bytes(content)
    return root, bad


@pytest.mark.parametrize('ignore_empty', [False, True])
@pytest.mark.parametrize('pipeline', [plain, yolox])
def test_an_unreadable_image_gives_way_to_one_of_its_pool(
    pipeline, ignore_empty, spoiled, log
):
    root, (defect, normal) = spoiled
    config = pipeline(root)
    config.get('dataset', config)['pipeline'][0] = dict(
        LOAD[0], ignore_empty=ignore_empty
    )
    dataset = preserving(config)
    good = {path_of(dataset, i) for i in pools_of(dataset)['normal'] if i != normal}
    for _ in range(10):
        assert 1 in shown(dataset[defect])
        sample = dataset[normal]['data_samples']
        assert sample.img_path in good
    # Mixed with others at random, they are no reason to stop either.
    for index in pools_of(dataset)['normal'][1:60].tolist():
        dataset[index]
    assert dataset.counts['unreadable'] == 20
    said = [line for line in log if 'cannot be read' in line]
    assert len(said) == 1
    assert path_of(dataset, defect) in said[0]


def test_an_image_unlike_any_other_gives_way_to_one_of_its_rarest_class(spoiled):
    root, (defect, _) = spoiled
    content = json.loads((root / 'train.json').read_text())
    image = DATASETS.build(plain(root)).get_data_info(defect)['img_id']
    (own,) = [a for a in content['annotations'] if a['image_id'] == image]
    for category in content['categories']:
        last = dict(own, id=10**6 + category['id'], category_id=category['id'])
        content['annotations'].append(last)
    (root / 'train.json').write_text(json.dumps(content))
    dataset = preserving(plain(root))
    pools = pools_of(dataset)
    QuotaBatchSampler(DefectPoolSampler(dataset, seed=0), 8, quota=2)
    rarest = min(range(3), key=lambda label: len(pools[CLASSES[label]]))
    assert all(rarest in shown(dataset[defect]) for _ in range(10))


def test_the_only_image_of_its_class_may_be_unreadable(spoiled):
    root, (defect, _) = spoiled
    content = json.loads((root / 'train.json').read_text())
    image = DATASETS.build(plain(root)).get_data_info(defect)['img_id']
    content['categories'].append(dict(id=9, name='hole'))
    for annotation in content['annotations']:
        if annotation['image_id'] == image:
            annotation['category_id'] = 9
    (root / 'train.json').write_text(json.dumps(content))
    metainfo = dict(classes=(*CLASSES, 'hole'))
    dataset = preserving({**plain(root, CROP), 'metainfo': metainfo})
    for _ in range(10):
        result = dataset[defect]
        assert shown(result)
        assert result['data_samples'].img_path != path_of(dataset, defect)
    assert dataset.counts['unreadable'] == 10
    assert dataset.counts['replaced'] == 0


def test_a_pool_of_the_users_own_is_not_left_either(spoiled):
    root, (_, normal) = spoiled
    dataset = preserving(plain(root))
    hard = pools_of(dataset)['normal'][:4]
    assert normal in hard
    DefectPoolSampler(dataset, seed=0, pools=dict(hard=hard))
    paths = {path_of(dataset, index) for index in hard if index != normal}
    arrived = {dataset[normal]['data_samples'].img_path for _ in range(20)}
    assert arrived <= paths


def test_when_no_image_can_be_read_training_stops_and_names_one(small, tmp_path):
    root = tmp_path / 'set'
    shutil.copytree(small, root)
    for path in (root / 'train').iterdir():
        path.write_bytes(b'')
    dataset = preserving(plain(root))
    with pytest.raises(RuntimeError, match='cannot be read') as error:
        dataset[7]
    assert path_of(dataset, 7) in str(error.value)


def test_errors_of_the_users_transforms_are_not_hidden(small):
    dataset = preserving(plain(small))
    dataset.pipeline = Compose([lambda results: 1 / 0])
    with pytest.raises(ZeroDivisionError):
        dataset[0]


# --- What samplers and hooks reach for -----------------------------------------------


def mixed_config(small):
    return dict(type='MultiImageMixDataset', dataset=leaf(small, LOAD), pipeline=PACK)


def wrappers(small):
    image = DATASETS.build(plain(small))
    return {
        'CocoDataset': image,
        'RepeatDataset': RepeatDataset(image, 2),
        'ClassBalancedDataset': ClassBalancedDataset(image, 0.5),
        'ConcatDataset': ConcatDataset([image, DATASETS.build(plain(small))]),
        'MultiImageMixDataset': DATASETS.build(mixed_config(small)),
        'MultiImageMixDataset in RepeatDataset': DATASETS.build(
            dict(type='RepeatDataset', times=2, dataset=mixed_config(small))
        ),
    }


def test_every_wrapper_keeps_working(small):
    for name, inner in wrappers(small).items():
        check_wrapper(name, inner)


def check_wrapper(name, inner):
    dataset = preserving(inner)
    assert len(dataset) == len(inner)
    assert dataset.metainfo == inner.metainfo
    pools = pools_of(inner)
    for index in [*pools['defect'][:3].tolist(), *pools['normal'][-3:].tolist()]:
        assert dataset.get_data_info(index) == inner.get_data_info(index)
        result = dataset[index]
        assert result['data_samples'].img_path == path_of(inner, index)
        assert shown(result) == set(dataset.get_cat_ids(index))
    # What PipelineSwitchHook does.
    switched = Compose([*LOAD, dict(type='Resize', scale=(32, 32)), *PACK])
    if 'MultiImageMix' in name:
        switched = Compose([dict(type='Resize', scale=(32, 32)), *PACK])
    dataset.pipeline = switched
    assert dataset.pipeline is switched
    for index in (0, len(dataset) - 1):
        assert dataset[index]['inputs'].shape[-2:] == (32, 32)


def test_skipped_transforms_are_skipped_through_any_wrapper(small):
    dataset = preserving(yolox(small))
    assert dataset._skip_type_keys is None
    dataset.update_skip_type_keys(['Mosaic', 'RandomAffine', 'MixUp'])
    assert dataset.dataset._skip_type_keys == ['Mosaic', 'RandomAffine', 'MixUp']
    assert dataset._skip_type_keys == ['Mosaic', 'RandomAffine', 'MixUp']
    for index in pools_of(dataset)['defect'].tolist():
        assert shown(dataset[index]) == classes_of(dataset, index)
    assert dataset.counts == NOTHING
    dataset._skip_type_keys = None
    assert dataset.dataset._skip_type_keys is None


class Sizes(BaseModel):
    """Learns nothing, and keeps the size of each image that it gets."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.bbox_head = torch.nn.Identity()
        self.seen = []

    def forward(self, inputs, data_samples, mode):
        self.seen += [tuple(image.shape[-2:]) for image in inputs]
        self.defects = sum(len(sample.gt_instances) > 0 for sample in data_samples)
        return dict(loss=self.weight**2)


HOOKS = {
    'PipelineSwitchHook': (
        lambda root: plain(root, dict(type='Resize', scale=(48, 48)), CROP),
        dict(
            switch_epoch=1,
            switch_pipeline=[*LOAD, dict(type='Resize', scale=(32, 32)), *PACK],
        ),
        {(32, 32)},
    ),
    'YOLOXModeSwitchHook': (
        # Images of 80 pixels, which Mosaic would make 192 pixels large.
        lambda root: {**mixed_config(root), 'pipeline': [MOSAIC, *PACK]},
        dict(num_last_epochs=0, skip_type_keys=('Mosaic',)),
        {(80, 80)},
    ),
}
MOSAIC = dict(type='Mosaic', img_scale=(SIZE, SIZE))


@pytest.mark.parametrize('hook', HOOKS)
def test_hooks_reach_the_dataset_inside_also_in_persistent_workers(
    hook, small, tmp_path
):
    dataset, options, sizes = HOOKS[hook]
    runner = Runner(
        Sizes(),
        str(tmp_path),
        dict(
            dataset=dict(type='DefectPreservingDataset', dataset=dataset(small)),
            sampler=dict(type='DefectPoolSampler'),
            batch_sampler=dict(type='QuotaBatchSampler', quota=2, num_batches=3),
            batch_size=6,
            num_workers=1,
            persistent_workers=True,
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[dict(type=hook, **options)],
        default_hooks=dict(checkpoint=None, logger=None),
        default_scope='mmdet',
        experiment_name=hook,
    )
    runner.train()
    assert len(runner.model.seen) == 36
    assert set(runner.model.seen[:18]) & sizes == set()
    assert set(runner.model.seen[18:]) == sizes
    assert runner.model.defects == 2


@pytest.mark.parametrize(
    'start', ['fork', pytest.param('spawn', marks=pytest.mark.slow)]
)
def test_the_main_process_reads_what_workers_count(start, small):
    dataset = preserving(losing(small, times=3))
    indices = pools_of(dataset)['defect'].tolist() * 4
    loader = DataLoader(
        dataset,
        batch_size=4,
        sampler=indices,
        num_workers=2,
        collate_fn=pseudo_collate,
        multiprocessing_context=start,
    )
    arrived = [s.gt_instances for batch in loader for s in batch['data_samples']]
    assert len(arrived) == len(indices)
    assert all(map(len, arrived))
    assert dataset.counts == {**NOTHING, 'retries': 2 * 3}


def test_a_copy_works_like_the_original(small):
    dataset = preserving(yolox(small), defect_classes=['pit', 'dent'])
    index = int(pools_of(dataset)['pit'][0])
    for other in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        images = []
        for one in (dataset, other):
            set_random_seed(3)
            images.append(one[index]['inputs'])
        assert torch.equal(*images)


def test_workers_of_a_copy_are_counted_too(small):
    # The Runner copies a dataset that it is given built.
    loader = Runner.build_dataloader(
        dict(
            dataset=preserving(losing(small, times=3)),
            sampler=dict(type='DefectPoolSampler'),
            batch_sampler=dict(type='QuotaBatchSampler', quota=2, num_batches=3),
            batch_size=4,
            num_workers=1,
            collate_fn=dict(type='pseudo_collate'),
        ),
        seed=0,
    )
    assert len(list(loader)) == 3
    assert loader.dataset.counts == {**NOTHING, 'retries': 3}
    copied = pickle.loads(pickle.dumps(loader.dataset))
    loader = DataLoader(copied, num_workers=1, collate_fn=pseudo_collate)
    next(iter(loader))
    assert copied.counts['retries'] == 3


def test_a_subset_keeps_its_defects_and_its_map(small):
    dataset = preserving(plain(small, CROP), defect_classes=['pit'])
    pools = pools_of(dataset)
    chosen = [*pools['normal'][-4:].tolist(), *pools['pit'].tolist()]
    paths = [path_of(dataset, index) for index in chosen]
    part = dataset.get_subset(chosen)
    assert len(dataset) == 300
    dataset.get_subset_(chosen)
    for subset in (part, dataset):
        assert isinstance(subset, DefectPreservingDataset)
        sampler = DefectPoolSampler(subset, seed=0, defect_classes=['pit'])
        assert len(subset) == len(chosen)
        assert sampler.pools['pit'].tolist() == list(range(4, len(chosen)))
        for index in list(range(4, len(chosen))) * 10:
            result = subset[index]
            assert 1 in shown(result)
            assert result['data_samples'].img_path == paths[index]
    assert part.counts is not dataset.counts
    assert len(dataset.get_subset(-2)) == 2
    both = preserving(ConcatDataset([part.dataset, part.dataset]))
    with pytest.raises(NotImplementedError):
        both.get_subset([0])


def test_annotations_are_read_when_they_are_needed(small, tmp_path):
    config = {**plain(small), 'lazy_init': True, 'ann_file': 'later.json'}
    config['data_root'] = str(tmp_path)
    dataset = preserving(config, lazy_init=True)
    shutil.copytree(small / 'train', tmp_path / 'train')
    shutil.copy(small / 'train.json', tmp_path / 'later.json')
    assert len(dataset) == 300
    assert shown(dataset[int(pools_of(dataset)['pit'][0])])


@pytest.mark.parametrize('corners', [(0, 0, 0, 0), (30, 30, 9, 9)])
def test_a_box_that_never_had_an_area_is_not_said_to_be_cut_away(corners, tmp_path):
    def flatten(name, text):
        for corner, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), corners):
            if name.startswith('n'):
                text = re.sub(f'<{corner}>.*?<', f'<{corner}>{value}<', text)
        return text

    images = [image._replace(shows=('crack',)) for image in faulty_files.IMAGES]
    files.write_pixels(tmp_path / 'JPEGImages', images)
    leaf = faulty_files.xml(tmp_path, flatten, images, pipeline=LOAD)
    dataset = preserving(leaf)
    assert [len(dataset._defects(index)) for index in (0, 27)] == [0, 1]
    for index in range(len(dataset)):
        dataset[index]
    assert dataset.counts == NOTHING


# --- Mistakes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('options', 'kind', 'said'),
    [
        (dict(max_retries=-1), ValueError, 'max_retries=-1: expected 0 or more'),
        (dict(max_retries=1.5), TypeError, 'max_retries=1.5: expected an int'),
        (dict(max_retries=True), TypeError, 'max_retries=True'),
        (dict(min_area_ratio=1.1), ValueError, 'min_area_ratio=1.1: expected 0 … 1'),
        (dict(min_area_ratio=-0.1), ValueError, 'min_area_ratio=-0.1'),
        (dict(min_area_ratio=float('nan')), ValueError, 'min_area_ratio=nan'),
        (dict(min_area_ratio='0.1'), TypeError, "min_area_ratio='0.1'"),
        (dict(defect_classes='pit'), TypeError, "defect_classes='pit'"),
        (dict(defect_classes=[1]), TypeError, r'defect_classes=\[1\]'),
        (
            dict(defect_classes=[]),
            ValueError,
            r'defect_classes=\[\]: expected at least one',
        ),
        (dict(defect_classes=['pot']), ValueError, "'pot', which is no class"),
        (dict(pipeline='load'), TypeError, "pipeline='load': expected a list"),
    ],
)
def test_arguments_out_of_range_are_refused_with_the_line_to_change(
    options, kind, said, small
):
    with pytest.raises(kind, match=said) as error:
        preserving(plain(small), **options)
    assert f'set train_dataloader.dataset.{next(iter(options))}' in str(error.value)


@pytest.mark.parametrize('thing', [[1, 2], 'plain', None, torch.utils.data.Dataset()])
def test_what_is_no_dataset_is_refused(thing):
    with pytest.raises(TypeError, match=r'set train_dataloader\.dataset\.dataset'):
        preserving(thing)


def test_a_second_wrapper_is_refused(small):
    inner = dict(type='DefectPreservingDataset', dataset=plain(small))
    for dataset in (inner, dict(type='RepeatDataset', times=2, dataset=inner)):
        with pytest.raises(ValueError, match='stands there, and only there') as error:
            preserving(dataset)
        where = 'train_dataloader.dataset.dataset' + '.dataset' * ('times' in dataset)
        assert str(error.value).startswith(f'{where}: ')


def test_a_wrapper_further_inside_is_refused_before_training(small):
    inner = dict(type='DefectPreservingDataset', dataset=plain(small))
    for sound in (inner, plain(small)):
        DefectPoolSampler(DATASETS.build(sound), seed=0)
    outer = DATASETS.build(dict(type='RepeatDataset', times=2, dataset=inner))
    said = r'train_dataloader\.dataset\.dataset: .* inside another dataset'
    with pytest.raises(ValueError, match=said):
        DefectPoolSampler(outer, seed=0)


@pytest.mark.parametrize('lazy', [False, True])
def test_a_missing_file_is_named_with_the_keys_to_set(lazy, small, tmp_path):
    def refused(**changed):
        config = {**plain(small), 'lazy_init': lazy, **changed}
        with pytest.raises(FileNotFoundError) as error:
            preserving(config, lazy_init=lazy).full_init()
        message = str(error.value)
        assert '\n' not in message
        assert 'make_dataset' not in message
        return message

    said = refused(ann_file='nowhere.json')
    assert said.startswith(f'{small}/nowhere.json does not exist')
    assert 'set data_root and ann_file' in said
    said = refused(data_prefix=dict(img='nowhere/'))
    assert said.startswith(f'{small}/nowhere does not exist')
    assert 'set data_root and data_prefix' in said
    said = refused(data_root=str(tmp_path))
    assert said.startswith(f'{tmp_path}/train.json does not exist')
    said = refused(data_root=f'{small}/{small.name}')
    assert f'{small.name}/{small.name}/train.json does not exist, while ' in said
    assert f'while {small}/train.json does: a folder is named twice' in said


@pytest.mark.parametrize(
    'content',
    ['', '{"images": [', '{"images": [], "annotations": [], "categories": []}'],
)
def test_a_broken_annotation_file_is_named(content, small, tmp_path):
    path = tmp_path / 'broken.json'
    path.write_text(content)
    for wrap in (
        lambda leaf: leaf,
        lambda leaf: dict(type='RepeatDataset', times=2, dataset=leaf),
    ):
        with pytest.raises(ValueError, match=r'broken\.json cannot be read') as error:
            preserving(wrap({**plain(small), 'ann_file': str(path)}))
        assert 'set ann_file' in str(error.value)


def test_images_that_are_not_on_the_disk_are_not_looked_for_there(small):
    elsewhere = plain(small)
    elsewhere['data_prefix'] = dict(img='nowhere/')
    elsewhere['pipeline'] = [dict(LOAD[0], backend_args=dict(backend='local'))]
    assert len(preserving(elsewhere)) == 300


def test_a_hook_that_the_dataset_cannot_serve_is_told_so(small):
    dataset = preserving(plain(small))
    with pytest.raises(AttributeError, match='update_skip_type_keys'):
        dataset.update_skip_type_keys(['Mosaic'])
    assert not hasattr(dataset, 'no_such_thing')
    assert dataset.cat_ids == dataset.dataset.cat_ids
