"""How often each defect image is to be drawn."""

from __future__ import annotations

import numpy as np
import pytest
from torch.utils.data import Subset

from mmdefect import DefectPoolSampler, QuotaBatchSampler
from mmdefect.pools.source import source_of
from mmdefect.pools.weights import read_weights

LINE = 'train_dataloader.sampler.weights'


def by_id(info):
    return info['img_id'] / 2


def nothing(info):
    return None


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / 'weights.txt'
        path.write_text(text)
        return path

    return write


def test_a_file_weighs_the_images_that_it_names(few_defects, write):
    path = write('# hardest first\n0013.png 3\nline0/0026.png\t0.5\n\n9000  0\n')
    weights = read_weights(str(path), source_of(few_defects), {})
    assert weights.dtype == np.float64
    assert weights[[0, 13, 26]].tolist() == [0, 3, 0.5]
    assert (np.delete(weights, [0, 13, 26]) == 1).all()
    assert read_weights(path, source_of(few_defects), {}).tolist() == weights.tolist()


def test_a_file_may_name_images_with_spaces(annotated, write):
    class Spaces(annotated):
        def get_data_info(self, index):
            return dict(super().get_data_info(index), img_path=f'no {index}.png')

    weights = read_weights(write('no 1.png 4'), source_of(Spaces([[], [0]])), {})
    assert weights.tolist() == [1, 4]


@pytest.mark.parametrize('source', [by_id, f'{__name__}.by_id'], ids=['itself', 'name'])
def test_a_function_weighs_each_image(few_defects, source):
    expected = [(9000 - 7 * index) / 2 for index in range(52)]
    assert read_weights(source, source_of(few_defects), {}).tolist() == expected


def test_weights_follow_the_images_through_wrappers(few_defects, write):
    source = source_of(Subset(few_defects, [13, 13, 5]))
    assert read_weights(by_id, source, {}).tolist() == [
        4454.5,
        4454.5,
        4482.5,
    ]
    assert read_weights(write('0013.png 3'), source, {}).tolist() == [
        3,
        3,
        1,
    ]


def refusal(error, given, dataset):
    with pytest.raises(error) as caught:
        read_weights(given, source_of(dataset), {})
    assert caught.type is error
    message = str(caught.value)
    assert '\n' not in message
    assert LINE in message
    return message


@pytest.mark.parametrize(
    ('value', 'shown'), [('-1', '-1.0'), ('nan', 'nan'), ('inf', 'inf')]
)
def test_a_weight_that_is_no_odds_is_refused(few_defects, write, value, shown):
    path = write(f'0013.png {value}\n0017.png {value}')
    message = refusal(ValueError, path, few_defects)
    for word in ('2 weights', shown, 'image 13', '0 or more'):
        assert word in message


def test_a_function_that_gives_no_number_is_refused(few_defects):
    assert 'NoneType' in refusal(TypeError, nothing, few_defects)


def test_a_word_in_place_of_a_weight_is_refused(few_defects, write):
    assert "'much'" in refusal(TypeError, write('0013.png much'), few_defects)


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('0013.png', ["'0013.png'", 'and a weight']),
        ('', ['empty']),
        ('x.png 1\n0001.png 2', ['1 images', 'not in the dataset', "['x.png']"]),
        ('0001.png 1\n0001.png 2', ['twice', "['0001.png', '0001.png']"]),
        ('0001.png 1\n8993 2', ['twice', "['0001.png', '8993']"]),
    ],
    ids=['no weight', 'empty', 'unknown', 'twice', 'by name and by id'],
)
def test_a_file_that_does_not_fit_is_refused(few_defects, write, text, words):
    path = write(text)
    message = refusal(ValueError, path, few_defects)
    for word in [str(path), *words]:
        assert word in message


@pytest.mark.parametrize(
    'source',
    ['none.txt', 'a/b/none.txt', 'no_such_module.weigh', 'weights', 'class_balance'],
)
def test_a_missing_file_or_function_is_named(few_defects, source):
    message = refusal(FileNotFoundError, source, few_defects)
    assert source in message
    assert 'neither class_balanced nor repeat_factor' in message


@pytest.mark.parametrize('source', [3, [1.0, 2.0], 'os.path', True])
def test_what_is_neither_file_nor_function_is_refused(few_defects, source):
    assert 'text file or a function' in refusal(TypeError, source, few_defects)


# --- by class ----------------------------------------------------------------

# 60 images with a crack, 30 with a dent, 6 with a pit; some show two, one all three.
CLASSES = dict(
    crack=np.arange(60),
    dent=np.arange(50, 80),
    pit=np.array([0, 55, 70, 80, 81, 82]),
)


def counts_for(index):
    rarest = ('pit', 'dent', 'crack')
    return next((name for name in rarest if index in CLASSES[name]), 'normal')


def test_class_balanced_draws_each_class_equally_often(annotated):
    weights = read_weights('class_balanced', source_of(annotated([[]] * 100)), CLASSES)
    assert weights.dtype == np.float64
    sums = dict.fromkeys(['crack', 'dent', 'pit', 'normal'], 0.0)
    for index, weight in enumerate(weights):
        sums[counts_for(index)] += weight
    assert sums == pytest.approx(dict(crack=1, dent=1, pit=1, normal=17))
    # within a class, every image the same
    assert len({round(weight, 12) for weight in weights}) == 4


def test_repeat_factor_draws_by_the_root_of_how_rare_the_rarest_class_is(annotated):
    weights = read_weights('repeat_factor', source_of(annotated([[]] * 100)), CLASSES)
    for index, weight in enumerate(weights):
        name = counts_for(index)
        images = 1 if name == 'normal' else len(CLASSES[name])
        assert weight == pytest.approx(images**-0.5)


def test_the_repeat_factors_are_those_of_class_balanced_dataset(annotated):
    from mmengine.dataset import ClassBalancedDataset

    labels = [[] for _ in range(100)]
    for number, images in enumerate(CLASSES.values()):
        for image in images:
            labels[image].append(number)
    dataset = annotated(labels, classes=tuple(CLASSES))
    dataset.get_cat_ids = labels.__getitem__
    lvis = ClassBalancedDataset.__new__(ClassBalancedDataset)
    lvis.dataset = dataset
    # With a threshold that no class reaches, of which none is commoner.
    factors = np.array(lvis._get_repeat_factors(dataset, 1.0))
    weights = read_weights('repeat_factor', source_of(dataset), CLASSES)
    ratios = factors[:83] / weights[:83]
    assert ratios == pytest.approx(np.full(83, ratios[0]))


def test_a_class_without_images_of_its_own_takes_no_draws(annotated):
    classes = dict(crack=np.arange(3), dent=np.arange(0), pit=np.arange(3))
    weights = read_weights('class_balanced', source_of(annotated([[]] * 5)), classes)
    assert weights == pytest.approx([1 / 3] * 3 + [1, 1])
    assert np.isfinite(
        read_weights('repeat_factor', source_of(annotated([[]] * 5)), classes)
    ).all()


@pytest.mark.parametrize(
    ('weights', 'shares'),
    [
        (None, (0.9, 0.1)),
        ('class_balanced', (0.5, 0.5)),
        ('repeat_factor', (0.75, 0.25)),
    ],
)
def test_a_quota_of_defects_is_drawn_by_class_as_asked(annotated, weights, shares):
    # 90 cracks, 10 dents among 1,000 images
    images = [[int(i < 100)] if i % 10 == 0 else [] for i in range(1000)]
    dataset = annotated(images)
    sampler = DefectPoolSampler(dataset, seed=1, weights=weights)
    drawn = [0, 0]
    for epoch in range(5):
        sampler.set_epoch(epoch)
        for batch in QuotaBatchSampler(sampler, 8, 3):
            for index in batch:
                for label in images[index]:
                    drawn[label] += 1
    assert np.divide(drawn, sum(drawn)) == pytest.approx(shares, abs=0.02)
