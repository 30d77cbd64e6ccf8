"""A defect is pasted into images that show none."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.registry import DATASETS
from pipelines import (
    CLASSES,
    CROP,
    LOAD,
    PACK,
    leaf,
    path_of,
    plain,
    pools_of,
    preserving,
    shown,
    yolox,
)

from mmdefect import DefectPoolSampler, PasteDefect, QuotaBatchSampler
from mmdefect.forms.sources import Sources
from mmdefect.images.instances import boxes_of

pytestmark = pytest.mark.usefixtures('like_a_worker')

SQUARE = (40, 30, 52, 50)


def source(dtype=np.uint8, channels=3):
    """A grey photograph with a white defect, 12 x 20 pixels."""
    image = np.full((80, 90, channels)[: 2 + bool(channels)], 60, dtype)
    image[SQUARE[1] : SQUARE[3], SQUARE[0] : SQUARE[2]] = 220
    return image


def target(shape=(100, 120, 3), value=110, dtype=np.uint8, boxes=(), **more):
    return dict(
        img=np.full(shape, value, dtype),
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes).reshape(-1, 4).float()),
        gt_bboxes_labels=np.zeros(len(boxes), np.int64),
        gt_ignore_flags=np.zeros(len(boxes), bool),
        **more,
    )


def paste(results, image=None, mask=None, **options):
    step = PasteDefect(**options)
    patch = step.cut(source() if image is None else image, SQUARE, mask)
    assert step.paste(results, patch, 2)
    return results


def extent(image):
    """The box of what is white."""
    rows, columns = np.nonzero(image.reshape(*image.shape[:2], -1).max(2) > 200)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def test_the_new_box_is_where_the_defect_is():
    for turn in (False, True):
        for _ in range(30):
            results = paste(target(), turn=turn)
            (box,) = boxes_of(results)
            assert extent(results['img']) == pytest.approx(box, abs=1.6)
            assert results['gt_bboxes_labels'].tolist() == [2]
            assert results['gt_ignore_flags'].tolist() == [False]


def test_a_pasted_defect_varies_in_size_and_place_as_asked_for():
    boxes = np.array([boxes_of(paste(target()))[0] for _ in range(200)])
    heights = (boxes[:, 3] - boxes[:, 1]) / 20
    assert heights.min() > 0.65
    assert heights.max() < 1.45
    assert np.ptp(heights) > 0.6
    assert (boxes[:, :2].min(0) < 3).all()
    assert (boxes[:, 2:].max(0) > [117, 97]).all()
    assert (boxes.min(0) >= 0).all()
    assert (boxes.max(0) <= [120, 100, 120, 100]).all()


@pytest.mark.parametrize('value', [20, 110, 180])
def test_a_defect_takes_on_the_brightness_of_its_place(value):
    image = paste(target(value=value))['img'].astype(int)
    changed = (image != value).any(2)
    assert 20 < changed.sum() < 28 * 17 * 4
    # What surrounds the defect in its own photograph is as bright as the place.
    assert (np.abs(image[changed] - value) < 30).mean() > 0.1
    assert image.max() >= min(value + 100, 255)


def test_a_defect_goes_on_no_other_box_and_not_on_padding():
    others = [[0, 0, 60, 90], [60, 40, 90, 90]]
    for _ in range(40):
        results = target(
            (160, 160, 3), boxes=others, ori_shape=(45, 50), scale_factor=(2.0, 2.0)
        )
        results['pad_shape'] = (160, 160)
        if not PasteDefect().paste(results, PasteDefect().cut(source(), SQUARE), 2):
            continue
        box = boxes_of(results)[-1]
        assert (box[2:] <= [100, 90]).all()
        for other in others:
            apart = (box[:2] >= other[2:]).any() or (box[2:] <= other[:2]).any()
            assert apart
        assert (results['img'][90:] == 110).all()
        assert (results['img'][:, 100:] == 110).all()


def test_where_there_is_no_place_the_image_stays_as_it_is():
    results = target(boxes=[[0, 0, 120, 100]])
    before = results['img'].copy()
    step = PasteDefect()
    assert not step.paste(results, step.cut(source(), SQUARE), 2)
    assert (results['img'] == before).all()
    assert len(results['gt_bboxes']) == 1


@pytest.mark.parametrize(
    ('dtype', 'channels'), [('uint8', 3), ('float32', 3), ('uint8', 0)]
)
def test_any_image_that_a_pipeline_loads_can_be_pasted_into(dtype, channels):
    shape = (100, 120, 3)[: 2 + bool(channels)]
    results = target(shape, dtype=np.dtype(dtype))
    paste(results, source(np.dtype(dtype), channels))
    image = results['img']
    assert (image.dtype, image.shape) == (np.dtype(dtype), shape)
    (x1, y1, x2, y2) = boxes_of(results)[0].round().astype(int)
    assert image[y1:y2, x1:x2].max() > 160


@pytest.mark.parametrize('kind', [BitmapMasks, PolygonMasks])
def test_a_mask_says_what_is_pasted_and_joins_the_others(kind):
    mask = np.zeros((80, 90), np.uint8)
    mask[30:50, 40:46] = 1  # the left half of the box
    results = target(gt_masks=kind([], 100, 120))
    paste(results, mask=mask)
    assert len(results['gt_masks']) == 1
    (shape,) = results['gt_masks'].to_ndarray()
    (x1, y1, x2, y2) = boxes_of(results)[0]
    rows, columns = np.nonzero(shape)
    held = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert held == pytest.approx([x1, y1, x2, y2], abs=1)
    assert (x2 - x1) / (y2 - y1) == pytest.approx(6 / 20, abs=0.12)


def test_boxes_without_a_type_stay_arrays():
    results = target()
    results['gt_bboxes'] = np.zeros((0, 4), np.float32)
    assert isinstance(paste(results)['gt_bboxes'], np.ndarray)
    assert results['gt_bboxes'].shape == (1, 4)


@pytest.mark.parametrize('turn', [False, True])
def test_a_defect_that_the_border_cuts_stays_at_the_border(turn):
    image = np.full((80, 90, 3), 60, np.uint8)
    image[70:, 30:50] = 220
    step = PasteDefect(scale_range=(1, 1), turn=turn)
    sides = set()
    for _ in range(20):
        results = target()
        assert step.paste(results, step.cut(image, (30, 70, 50, 80)), 2)
        (x1, y1, x2, y2) = boxes_of(results)[0]
        assert sorted([x2 - x1, y2 - y1]) == [10, 20]
        across = x2 - x1 == 20
        at = [y1 == 0, y2 == 100] if across else [x1 == 0, x2 == 120]
        assert sum(at) == 1
        sides.add((across, at.index(True)))
        assert extent(results['img']) == pytest.approx([x1, y1, x2, y2], abs=4)
    assert len(sides) == (4 if turn else 2)
    assert turn or all(across for across, _ in sides)


@pytest.mark.parametrize(
    ('options', 'error', 'words'),
    [
        (dict(prob=2), ValueError, ['prob=2', '0 … 1']),
        (dict(max_size='half'), TypeError, ["max_size='half'", 'number']),
        (dict(scale_range=0.7), TypeError, ['scale_range=0.7', 'two numbers']),
        (dict(scale_range=(1.4, 0.7)), ValueError, ['(1.4, 0.7)', 'least first']),
        (dict(turn=1), TypeError, ['turn=1', 'True or False']),
    ],
    ids=str,
)
def test_an_argument_of_a_wrong_kind_is_refused(options, error, words):
    with pytest.raises(error) as caught:
        PasteDefect(**options)
    for word in [*words, '; set PasteDefect.']:
        assert word in str(caught.value)


# --- in a pipeline of MultiImageMixDataset -------------------------------------------


def mixed(root, *steps, **options):
    return dict(
        type='MultiImageMixDataset',
        dataset=leaf(root, LOAD),
        pipeline=[dict(type='PasteDefect', **options), *steps, *PACK],
    )


def test_it_works_with_any_sampler_in_a_pipeline_of_mixed_images(small):
    dataset = DATASETS.build(mixed(small, prob=0.5))
    pools = pools_of(dataset)
    normal = pools['normal'][:200].tolist()
    got = sum(len(dataset[index]['data_samples'].gt_instances) for index in normal)
    assert 0.35 < got / len(normal) < 0.65
    for index in pools['defect'][:5].tolist():
        info = dataset.get_data_info(index)
        sample = dataset[index]['data_samples']
        assert len(sample.gt_instances) == len(info['instances'])


def test_alone_in_an_ordinary_pipeline_it_says_where_it_belongs(small):
    dataset = DATASETS.build(plain(small, dict(type='PasteDefect')))
    with pytest.raises(ValueError, match='MultiImageMixDataset'):
        dataset[0]


def test_only_the_classes_that_count_are_pasted(small):
    dataset = DATASETS.build(mixed(small, defect_classes=['pit']))
    normal = pools_of(dataset)['normal'][:40].tolist()
    labels = {label for index in normal for label in shown(dataset[index])}
    assert labels == {CLASSES.index('pit')}


# --- by a quota ----------------------------------------------------------------------


def batches_of(dataset, quota, size=8, **options):
    sampler = DefectPoolSampler(dataset, seed=0)
    return QuotaBatchSampler(sampler, size, quota, **options)


def pasted_indices(dataset, form='pasted', number=40):
    images = pools_of(dataset)['normal'][:number]
    return (images + dataset.forms.offset(form)).tolist()


@pytest.mark.parametrize('pipeline', [plain, yolox], ids=['plain', 'mosaic'])
def test_a_pasted_image_is_a_normal_one_that_shows_a_defect(small, pipeline):
    dataset = preserving(pipeline(small))
    batches_of(dataset, dict(defect=2, pasted=2))
    labels = set()
    for index in pasted_indices(dataset):
        image = dataset.forms.split(index)[1]
        result = dataset[index]
        assert result['data_samples'].img_path == path_of(dataset, image)
        assert shown(result)
        labels |= shown(result)
    assert labels == {0, 1, 2}
    assert not dataset.counts['replaced']


def test_a_pasted_defect_is_kept_through_cropping(small):
    dataset = preserving(plain(small, CROP))
    batches_of(dataset, dict(defect=2, pasted=2))
    assert all(shown(dataset[index]) for index in pasted_indices(dataset, number=60))
    assert not dataset.counts['replaced']


def test_a_quota_by_class_pastes_that_class(small):
    dataset = preserving(plain(small, CROP))
    batches_of(dataset, dict(defect=2, pasted=dict(pit=1, dent=1)))
    for name in ('pit', 'dent'):
        for index in pasted_indices(dataset, f'pasted {name}', 15):
            assert shown(dataset[index]) == {CLASSES.index(name)}


def test_batches_hold_pasted_images_that_the_dataset_understands(small):
    dataset = preserving(plain(small))
    batches = batches_of(dataset, dict(defect=2, pasted=2))
    pools = batches.sampler.pools
    for batch in list(batches)[:4]:
        samples = [dataset[index]['data_samples'] for index in batch]
        assert sum(len(sample.gt_instances) > 0 for sample in samples) == 4
        forms = [dataset.forms.split(index) for index in batch]
        assert sum(form == 'pasted' for form, _ in forms) == 2
        assert np.isin([i for form, i in forms if form], pools['normal']).all()


def test_the_dataset_still_ends_after_its_last_image(small):
    dataset = preserving(plain(small))
    with pytest.raises(IndexError):
        dataset[len(dataset)]
    batches_of(dataset, dict(pasted=1))
    assert sum(1 for _ in dataset) == len(dataset)


def test_pasting_without_the_wrapper_says_to_put_it_around_the_dataset(small):
    sampler = DefectPoolSampler(DATASETS.build(plain(small)), seed=0)
    with pytest.raises(ValueError, match='pasted') as caught:
        QuotaBatchSampler(sampler, 8, dict(defect=2, pasted=2))
    assert "type='DefectPreservingDataset'" in str(caught.value)


def test_a_dataset_that_loads_images_in_its_own_way_is_refused(small):
    from mmdet.datasets import CocoDataset

    class Own(CocoDataset):
        def prepare_data(self, index):
            return super().prepare_data(index)

    config = plain(small)
    del config['type']
    dataset = preserving(Own(**config))
    with pytest.raises(TypeError, match='prepare_data of its own'):
        batches_of(dataset, dict(pasted=1))
    no_loading = preserving(leaf(small, PACK))
    with pytest.raises(TypeError, match='LoadAnnotations'):
        batches_of(no_loading, dict(pasted=1))


def test_no_defect_that_is_small_enough_is_said_when_training_starts(small):
    dataset = preserving(plain(small), paste=dict(max_size=0.001))
    with pytest.raises(ValueError, match='can be pasted') as caught:
        batches_of(dataset, dict(pasted=1))
    for word in ('none of', 'max_size=0.001', 'set max_size of PasteDefect'):
        assert word in str(caught.value)
    with pytest.raises(TypeError, match='paste=3'):
        preserving(plain(small), paste=3)


def test_a_pipeline_that_loads_masks_pastes_only_what_has_one(small, tmp_path):
    with_mask = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
    pipeline = [LOAD[0], with_mask, *PACK]
    shutil.copytree(small, tmp_path, dirs_exist_ok=True)
    content = json.loads((tmp_path / 'train.json').read_text())
    for annotation in content['annotations']:
        annotation['segmentation'] = []
    (tmp_path / 'train.json').write_text(json.dumps(content))
    with pytest.raises(ValueError, match='"segmentation"'):
        batches_of(preserving(leaf(tmp_path, pipeline)), dict(pasted=1))
    for annotation in content['annotations']:
        x, y, w, h = annotation['bbox']
        annotation['segmentation'] = [[x, y, x + w, y, x + w / 2, y + h]]
    (tmp_path / 'train.json').write_text(json.dumps(content))
    dataset = preserving(leaf(tmp_path, pipeline))
    batches_of(dataset, dict(pasted=1))
    for index in pasted_indices(dataset, number=5):
        instances = dataset[index]['data_samples'].gt_instances
        assert len(instances.masks) == len(instances.bboxes) == 1


def test_a_run_with_pasted_images_resumes_with_the_next_batch(small):
    dataset = preserving(plain(small))
    quota = dict(defect=2, pasted=dict(pit=1))
    whole = list(batches_of(dataset, quota))
    first = batches_of(dataset, quota)
    iterator = iter(first)
    for _ in range(5):
        next(iterator)
    later = batches_of(dataset, quota)
    later.load_state_dict(first.state_dict())
    assert list(later) == whole[5:]
    with pytest.raises(ValueError, match='belongs to other batches'):
        batches_of(dataset, dict(defect=2)).load_state_dict(first.state_dict())


def test_a_schedule_may_begin_to_paste_and_end_it(small):
    from mmdefect import QuotaScheduleHook

    dataset = preserving(plain(small))
    batches = batches_of(dataset, dict(defect=2, pasted=2))
    milestones = [(3, dict(defect=2, pasted=dict(pit=1))), (6, 2)]
    QuotaScheduleHook(milestones, by_epoch=False).apply(batches)
    forms = [[dataset.forms.split(i)[0] for i in batch] for batch in batches]
    assert [sum(map(bool, batch)) for batch in forms[:8]] == [2] * 3 + [1] * 3 + [0] * 2
    assert 'pasted pit' in forms[4]


# --- what must not end training, nor be labelled without being there ------------------


def test_a_class_around_the_whole_part_is_no_obstacle():
    step = PasteDefect()
    patch = step.cut(source(), SQUARE)
    for _ in range(10):
        assert step.paste(target(boxes=[[0, 0, 120, 100]]), patch, 2, {2})
        ignored = target(boxes=[[0, 0, 120, 100]])
        ignored['gt_ignore_flags'][:] = True
        assert step.paste(ignored, patch, 2)
        beside = target(boxes=[[0, 0, 60, 100]])
        beside['gt_ignore_flags'][:] = True
        assert step.paste(beside, patch, 2)
        assert boxes_of(beside)[1, 0] >= 60


@pytest.mark.parametrize('options', [dict(blur=0.8), dict(context=0, blur=0.6)])
def test_a_wide_edge_leaves_the_middle_of_the_defect(options):
    for _ in range(10):
        results = paste(target(), **options)
        (x1, y1, x2, y2) = boxes_of(results)[0]
        middle = results['img'][int(y1 + y2) // 2, int(x1 + x2) // 2]
        assert (middle > 170).all()


@pytest.mark.parametrize('kind', [BitmapMasks, PolygonMasks])
@pytest.mark.parametrize('scale', [0.3, 0.7, 1.4])
def test_a_scratch_as_thin_as_a_pixel_is_pasted_with_its_mask(kind, scale):
    image, mask = np.full((80, 90, 3), 60, np.uint8), np.zeros((80, 90), np.uint8)
    image[33, 40:60], mask[33, 40:60] = 220, 1
    step = PasteDefect(scale_range=(scale, scale))
    patch = step.cut(image, (40, 33, 60, 34), mask)
    for _ in range(20):
        results = target(gt_masks=kind([], 100, 120))
        assert step.paste(results, patch, 2)
        assert results['gt_masks'].to_ndarray()[0].any()
        assert (results['img'].astype(int) - 110 > 10).any()


def test_a_mask_without_a_pixel_gives_way_to_the_box():
    results = paste(target(), mask=np.zeros((80, 90), np.uint8))
    assert extent(results['img']) == pytest.approx(boxes_of(results)[0], abs=1.6)


@pytest.mark.parametrize('channels', [1, 2, 4, 6])
def test_images_of_any_number_of_channels_are_pasted(channels):
    for turn in (False, True):
        results = target((100, 120, channels))
        paste(results, source(channels=channels), turn=turn)
        assert results['img'].shape == (100, 120, channels)
        assert extent(results['img']) == pytest.approx(boxes_of(results)[0], abs=1.6)


def test_the_map_of_classes_shows_the_pasted_defect_where_the_image_does():
    classes = np.zeros((80, 90), np.uint8)
    classes[SQUARE[1] : SQUARE[3], SQUARE[0] : SQUARE[2]] = 3
    step = PasteDefect(turn=True)
    patch = step.cut(source(), SQUARE, None, classes)
    for _ in range(20):
        results = target(gt_seg_map=np.zeros((100, 120), np.uint8))
        assert step.paste(results, patch, 2)
        rows, columns = np.nonzero(results['gt_seg_map'] == 3)
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found == pytest.approx(boxes_of(results)[0], abs=1.6)


@pytest.mark.parametrize('masked', [False, True])
def test_a_box_beyond_its_photograph_is_pasted_as_what_that_shows(masked):
    image = np.full((80, 90, 3), 60, np.uint8)
    image[30:50, :12] = 220
    mask = (image[..., 0] == 220).astype(np.uint8) if masked else None
    step = PasteDefect(scale_range=(1, 1))
    for _ in range(20):
        results = target()
        assert step.paste(results, step.cut(image, (-30, 30, 12, 50), mask), 2)
        assert extent(results['img']) == pytest.approx(boxes_of(results)[0], abs=2)


def changed(root, folder, change):
    """The small set with its annotations changed."""
    shutil.copytree(root, folder, dirs_exist_ok=True)
    content = json.loads((folder / 'train.json').read_text())
    change(content)
    (folder / 'train.json').write_text(json.dumps(content))
    return folder


def rle_of(content):
    sizes = {i['id']: (i['height'], i['width']) for i in content['images']}
    for annotation in content['annotations']:
        height, width = sizes[annotation['image_id']]
        mask = np.zeros((height, width), np.uint8, order='F')
        x, y, w, h = map(round, annotation['bbox'])
        mask[y : y + h, x : x + w] = 1
        edges = np.flatnonzero(np.diff(mask.ravel('F'), prepend=0, append=0))
        counts = np.diff([0, *edges.tolist(), mask.size]).tolist()
        annotation['segmentation'] = dict(counts=counts, size=[height, width])


def one_in_three_invalid(content):
    for number, annotation in enumerate(content['annotations']):
        x, y, w, h = annotation['bbox']
        whole = [x, y, x + w, y, x + w, y + h, x, y + h]
        kinds = ([whole], [whole[:4]], [[x, y, x + w / 2, y, x + w, y]])
        annotation['segmentation'] = kinds[number % 3]


@pytest.mark.parametrize('poly2mask', [False, True])
@pytest.mark.parametrize('change', [rle_of, one_in_three_invalid])
def test_masks_that_cannot_be_read_are_no_source(small, tmp_path, change, poly2mask):
    load = dict(LOAD[1], with_mask=True, poly2mask=poly2mask)
    root = changed(small, tmp_path, change)
    dataset = preserving(leaf(root, [LOAD[0], load, *PACK]))
    batches_of(dataset, dict(pasted=1))
    for index in pasted_indices(dataset, number=30):
        instances = dataset[index]['data_samples'].gt_instances
        assert len(instances) == 1
        assert instances.masks.to_ndarray().any()
    assert not dataset.counts['replaced']


def test_a_defect_that_touches_another_is_left_where_it_is(small, tmp_path):
    def touch(content):
        first = content['annotations'][0]
        for annotation in content['annotations'][1:]:
            if annotation['category_id'] == first['category_id']:
                x, y, w, h = annotation['bbox']
                beside = dict(annotation, bbox=[x + w, y, w, h])
                beside['id'] = 10_000 + annotation['id']
                content['annotations'].append(beside)
                touched.append(annotation['image_id'])
                if len(touched) == 5:
                    break

    touched = []
    dataset = preserving(plain(changed(small, tmp_path, touch)))
    defects = pools_of(dataset)['defect']
    sources = Sources(dataset.dataset, defects, None, dataset.paste)
    crowded = {
        index
        for index in sources.of['']
        if dataset.get_data_info(index)['img_id'] in touched
    }
    assert crowded
    for _ in range(300):
        image, number = sources.draw()
        boxes = [i['bbox'] for i in dataset.get_data_info(image)['instances']]
        x1, y1, x2, y2 = boxes.pop(number)
        assert not any(
            (a < x2 and c > x1 and b < y2 and d > y1) or a == x2 or c == x1
            for a, b, c, d in boxes
        )


def pits_with_a_dent_beside(content):
    """No pit stands alone: each has a dent on its right."""
    for annotation in list(content['annotations']):
        if annotation['category_id'] == 2:
            x, y, w, h = annotation['bbox']
            beside = dict(annotation, bbox=[x + w, y, w, h], category_id=3)
            beside['id'] = 10_000 + annotation['id']
            content['annotations'].append(beside)


def test_what_touches_the_only_sources_of_a_class_comes_with_its_label(small, tmp_path):
    dataset = preserving(plain(changed(small, tmp_path, pits_with_a_dent_beside)))
    batches_of(dataset, dict(pasted=dict(pit=1)))
    for index in pasted_indices(dataset, 'pasted pit', 20):
        instances = dataset[index]['data_samples'].gt_instances
        assert {CLASSES.index('pit'), CLASSES.index('dent')} <= set(
            instances.labels.tolist()
        )
        assert len(instances) >= 2


def test_a_class_that_the_images_own_part_lacks_is_not_pasted(small, monkeypatch):
    dataset = preserving(plain(small))
    batches_of(dataset, dict(pasted=1))
    monkeypatch.setattr(Sources, 'labels_in', lambda *_: [])
    with pytest.raises(RuntimeError, match='PasteDefect finds no defect'):
        dataset[pasted_indices(dataset)[0]]


def test_in_a_pipeline_of_mixed_images_it_comes_with_its_label_too(small, tmp_path):
    root = changed(small, tmp_path, pits_with_a_dent_beside)
    dataset = DATASETS.build(mixed(root, defect_classes=['pit', 'dent']))
    dataset.pipeline[0].get_indexes = lambda _: [int(pools_of(dataset)['pit'][0])]
    dataset.pipeline[0]._labels = {CLASSES.index('pit'), CLASSES.index('dent')}
    got = [shown(dataset[i]) for i in pools_of(dataset)['normal'][:10].tolist()]
    assert {1, 2} in got
    assert all(labels in ({1, 2}, set()) for labels in got)


@pytest.mark.parametrize('masked', [False, True])
def test_boxes_pasted_together_lie_where_their_defects_do(masked):
    image = source()
    image[30:50, 52:60] = (230, 0, 0)  # another one beside the white one
    boxes = np.array([SQUARE, (52, 30, 60, 50)])
    masks = np.zeros((2, 80, 90), np.uint8)
    masks[0, 30:50, 40:52] = masks[1, 30:50, 52:60] = 1
    step = PasteDefect(turn=True)
    patch = step.cut(image, boxes, masks if masked else None)
    for _ in range(20):
        results = target(value=60)
        if masked:
            results['gt_masks'] = BitmapMasks([], 100, 120)
        assert step.paste(results, patch, [2, 1])
        assert results['gt_bboxes_labels'].tolist() == [2, 1]
        pixels = results['img'].astype(int)
        for box, channel in zip(boxes_of(results), (1, 0)):
            there = pixels[..., channel] > 150
            if channel == 0:
                there &= pixels[..., 1] < 100
            rows, columns = np.nonzero(there)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert found == pytest.approx(box, abs=3)
        assert not masked or len(results['gt_masks']) == 2


def test_in_a_pipeline_under_the_wrapper_the_dataset_is_scanned_once(
    small, monkeypatch
):
    from mmdefect.pools import source as module

    dataset = preserving(mixed(small))
    normal = pools_of(dataset)['normal']
    scans = []
    scan = module.scan_leaves
    monkeypatch.setattr(module, 'scan_leaves', lambda *d: scans.append(d) or scan(*d))
    for index in normal[:10].tolist():
        assert shown(dataset[index])
    assert len(scans) == 1


def test_an_image_too_small_for_any_defect_gives_way_without_trying_again(small):
    dataset = preserving(plain(small), paste=dict(max_size=0.5))
    batches_of(dataset, dict(pasted=1))
    dataset.paste.max_size = 0.001
    with pytest.raises(RuntimeError, match='small enough'):
        dataset[pasted_indices(dataset)[0]]
    assert dataset.counts['retries'] == 0
