"""A defect image is delivered without its defect."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import DATASETS
from pipelines import (
    CLASSES,
    CROP,
    LOAD,
    PACK,
    leaf,
    path_of,
    plain,
    preserving,
    shown,
    yolox,
)

from mmdefect import DefectPoolSampler, QuotaBatchSampler, QuotaScheduleHook
from mmdefect.forms.counterexample import LEAST, Counterexample, free_windows

pytestmark = pytest.mark.usefixtures('like_a_worker')

HEIGHT, WIDTH = 30, 40
QUOTA = dict(defect=2, counterexample=1)


@st.composite
def boxes(draw):
    found = []
    for _ in range(draw(st.integers(0, 4))):
        left, top = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
        right = draw(st.integers(left + 1, WIDTH))
        found.append([left, top, right, draw(st.integers(top + 1, HEIGHT))])
    return np.array(found, float).reshape(-1, 4)


@given(boxes=boxes())
def test_no_part_that_is_kept_shows_anything_of_a_box(boxes):
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    for left, top, right, bottom in boxes.astype(int):
        pixels[top:bottom, left:right] = True
    windows = free_windows((HEIGHT, WIDTH), boxes)
    for left, top, right, bottom in windows:
        assert 0 <= left < right <= WIDTH
        assert 0 <= top < bottom <= HEIGHT
        assert (right - left) * (bottom - top) >= LEAST * HEIGHT * WIDTH
        assert not pixels[top:bottom, left:right].any()
    # What is clear of every box by some pixels is found.
    for size in ((20, 20), (30, 12), (10, 35)):
        for top in range(0, HEIGHT - size[0] + 1, 5):
            for left in range(0, WIDTH - size[1] + 1, 5):
                near = pixels[
                    max(top - 6, 0) : top + size[0] + 6,
                    max(left - 6, 0) : left + size[1] + 6,
                ]
                assert near.any() or any(
                    w.left <= left
                    and w.top <= top
                    and w.right >= left + size[1]
                    and w.bottom >= top + size[0]
                    for w in windows
                )


def test_a_counterexample_is_no_narrow_strip_where_there_is_a_large_part():
    # Free: 26 columns on the right of the defect, 10 on its left.
    box = np.array([[12.0, 0, 12, HEIGHT]])
    sizes = set()
    for _ in range(30):
        results = dict(
            img=np.zeros((HEIGHT, WIDTH), np.uint8),
            gt_bboxes=box.astype(np.float32),
            gt_bboxes_labels=np.array([0]),
        )
        sizes.add(Counterexample([0])(results)['img'].shape)
    assert sizes == {(HEIGHT, 26)}


def batches_of(dataset, quota=None, **options):
    sampler = DefectPoolSampler(dataset, seed=0, **options)
    return QuotaBatchSampler(sampler, 8, quota or QUOTA)


def counterexamples(dataset):
    images = dataset.counterexamples()
    return (images + dataset.forms.offset('counterexample')).tolist()


@pytest.mark.parametrize(
    'pipeline',
    [plain, yolox, lambda root: plain(root, CROP)],
    ids=['plain', 'yolox', 'crop'],
)
def test_a_counterexample_is_a_defect_image_that_shows_none(small, pipeline):
    dataset = preserving(pipeline(small))
    batches = batches_of(dataset)
    indices = counterexamples(dataset) * 4
    assert len(indices) > 20
    for index in indices:
        image = dataset.forms.split(index)[1]
        assert image in batches.sampler.pools['defect']
        sample = dataset[index]['data_samples']
        assert sample.img_path == path_of(dataset, image)
        if pipeline is not yolox:  # whose other images show theirs
            assert not len(sample.gt_instances)
    assert not dataset.counts['replaced']


def test_what_is_left_of_the_image_is_none_of_its_defect(small):
    dataset = preserving(plain(small))
    batches_of(dataset)
    for index in counterexamples(dataset) * 3:
        image = dataset.forms.split(index)[1]
        whole = dataset.dataset[image]['inputs'].numpy()
        for instance in dataset.get_data_info(image)['instances']:
            left, top, right, bottom = map(round, instance['bbox'])
            whole[:, top:bottom, left:right] = 0
        part = dataset[index]['inputs'].numpy()
        assert part.shape[1] * part.shape[2] >= LEAST * whole[0].size
        places = (
            whole[:, top : top + part.shape[1], left : left + part.shape[2]]
            for top in range(whole.shape[1] - part.shape[1] + 1)
            for left in range(whole.shape[2] - part.shape[2] + 1)
        )
        assert any((place == part).all() for place in places)


def test_the_batches_hold_as_many_as_asked_for_and_the_others_keep_their_defect(small):
    dataset = preserving(plain(small, CROP))
    batches = batches_of(dataset)
    for batch in list(batches)[:8]:
        forms = [dataset.forms.split(index)[0] for index in batch]
        assert forms.count('counterexample') == 1
        assert sum(bool(shown(dataset[index])) for index in batch) == 2
    drawn = {i for batch in batches for i in batch if i >= len(dataset)}
    assert drawn <= set(counterexamples(dataset))
    assert len(drawn) > 4


@pytest.fixture
def covered(small, tmp_path):
    """The small set, with one defect image whose defect is all over."""
    content = json.loads((small / 'train.json').read_text())
    first = content['annotations'][0]
    (image,) = (i for i in content['images'] if i['id'] == first['image_id'])
    first['bbox'] = [0, 0, image['width'], image['height']]
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(content))
    return str(path), image['file_name'], content


def test_an_image_whose_defect_is_all_over_is_left_out_and_counted(small, covered, log):
    path, name, _ = covered
    dataset = preserving(dict(leaf(small, [*LOAD, *PACK]), ann_file=path))
    sampler = batches_of(dataset).sampler
    images = dataset.counterexamples()
    left_out = np.setdiff1d(sampler.pools['defect'], images)
    assert [path_of(dataset, i).rsplit('/', 1)[1] for i in left_out] == [name]
    number = len(sampler.pools['defect'])
    assert any(f'{number - 1} of {number} defect images' in line for line in log)


def test_no_image_that_can_be_delivered_so_is_said_when_training_starts(small, covered):
    path, _, content = covered
    sizes = {i['id']: (i['width'], i['height']) for i in content['images']}
    for annotation in content['annotations']:
        annotation['bbox'] = [0, 0, *sizes[annotation['image_id']]]
    with open(path, 'w') as file:
        json.dump(content, file)
    dataset = preserving(dict(leaf(small, [*LOAD, *PACK]), ann_file=path))
    with pytest.raises(ValueError, match='counterexample') as caught:
        batches_of(dataset)
    assert 'train_dataloader.batch_sampler.quota' in str(caught.value)
    bare = DATASETS.build(plain(small))
    with pytest.raises(ValueError, match="type='DefectPreservingDataset'"):
        batches_of(bare)


def test_images_of_other_classes_stay_and_are_cropped_with_the_image(small):
    dataset = preserving(plain(small), defect_classes=['pit'])
    batches_of(dataset, defect_classes=['pit'])
    labels = {n for index in counterexamples(dataset) for n in shown(dataset[index])}
    assert CLASSES.index('pit') not in labels


def test_counterexamples_are_drawn_by_weight_like_defect_images(small):
    dataset = preserving(plain(small))
    pools = DefectPoolSampler(dataset, seed=0).pools

    def weigh(info):
        return 0.0 if {i['bbox_label'] for i in info['instances']} == {0} else 1.0

    batches = batches_of(dataset, weights=weigh)
    only = set(pools['scratch'].tolist()) - set(pools['pit'].tolist())
    only -= set(pools['dent'].tolist())
    assert only & set(dataset.counterexamples().tolist())
    drawn = {dataset.forms.split(i)[1] for b in batches for i in b if i >= len(dataset)}
    assert drawn
    assert not drawn & only


def test_hard_normal_images_are_drawn_beside_images_in_other_forms(small):
    dataset = preserving(plain(small))
    batches = batches_of(dataset, dict(defect=2, pasted=2, counterexample=1))
    hard = batches.sampler.pools['normal'][:3]
    batches.set_further_pool('hard', 1, [(2, hard)])
    for step, batch in enumerate(list(batches)[:6]):
        forms = [dataset.forms.split(index)[0] for index in batch]
        assert (forms.count('pasted'), forms.count('counterexample')) == (2, 1)
        assert step < 2 or set(batch) & set(hard.tolist())
    with pytest.raises(ValueError, match='pasted'):
        batches.set_further_pool('pasted', 1, [(2, hard)])


def test_a_schedule_may_ask_for_them_later_and_resuming_draws_the_same(small):
    dataset = preserving(plain(small))

    def scheduled():
        batches = batches_of(dataset, 2)
        milestones = [(4, dict(defect=2, counterexample=2, pasted=1))]
        QuotaScheduleHook(milestones, by_epoch=False).apply(batches)
        return batches

    whole = list(scheduled())
    forms = [[dataset.forms.split(i)[0] for i in batch] for batch in whole]
    assert [b.count('counterexample') for b in forms[:6]] == [0] * 4 + [2] * 2
    assert [b.count('pasted') for b in forms[:6]] == [0] * 4 + [1] * 2
    first = scheduled()
    iterator = iter(first)
    for _ in range(6):
        next(iterator)
    later = scheduled()
    later.load_state_dict(first.state_dict())
    assert list(later) == whole[6:]


def test_a_dataloader_built_anew_knows_the_counterexamples_of_a_later_milestone(small):
    def batches():
        return batches_of(preserving(plain(small)), dict(defect=2))

    before, anew = batches(), batches()
    milestones = [(0, dict(defect=2)), (4, dict(defect=2, counterexample=2))]
    QuotaScheduleHook(milestones).apply(before)
    anew.take_over(before)
    assert anew.plan_at(4, 0).pools.keys() >= {'counterexample'}
