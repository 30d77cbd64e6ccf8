"""What each choice of weights would draw, and which is advised."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from mmdefect import DefectPoolSampler, QuotaBatchSampler
from mmdefect.analysis.balance import FACTOR, balance
from mmdefect.samplers.draws import draws_per_image


@pytest.fixture(scope='module')
def uneven(annotated):
    """1,000 images: 60 cracks, 12 dents, 4 pits; one image shows a crack and a pit."""
    labels = [0] * 59 + [1] * 12 + [2] * 3
    images = [[label] for label in labels] + [[0, 2]] + [[]] * 925
    return annotated(images, classes=('crack', 'dent', 'pit'))


def mean_draws(sampler):
    """Draws of a defect image in 20 epochs, and the batches of these."""
    batches = QuotaBatchSampler(sampler, 8, 3, num_batches=400)
    return draws_per_image(batches, 20 * 400)['defect'], batches


@pytest.mark.parametrize('choice', ['None', 'class_balanced', 'repeat_factor'])
def test_the_draws_told_are_those_of_a_training(uneven, choice):
    mean, _ = mean_draws(DefectPoolSampler(uneven, seed=0))
    told = balance(DefectPoolSampler(uneven, seed=0), mean)
    weights = None if choice == 'None' else choice
    _, batches = mean_draws(DefectPoolSampler(uneven, seed=1, weights=weights))
    drawn = []
    for epoch in range(20):
        batches.sampler.set_epoch(epoch)
        drawn += chain(*batches)
    times = np.bincount(drawn, minlength=len(uneven))
    for name, expected in told.draws[choice].items():
        found = times[batches.sampler.pools[name]].sum()
        assert found == pytest.approx(expected, rel=0.1)
    most = times[batches.sampler.pools['defect']].max()
    assert most == pytest.approx(told.most[choice], rel=0.3)


def test_balance_is_advised_where_a_class_is_rare(uneven):
    sampler = DefectPoolSampler(uneven, seed=0)
    told = balance(sampler, 20)
    assert told.advice == "'class_balanced'"
    assert told.most['class_balanced'] == pytest.approx(20 * 75 / 3 / 4)
    assert 'crack is on 15 times as many images as pit' in told.reason
    often = balance(sampler, 100)
    assert often.advice == "'repeat_factor'"
    assert 'would draw an image 625 times' in often.reason


def test_no_weights_are_advised_where_classes_are_about_as_common(annotated):
    images = [[0]] * 10 * FACTOR + [[1]] * 10 + [[]] * 500
    told = balance(DefectPoolSampler(annotated(images), seed=0), 20)
    assert told.advice == 'None'
    assert f'not more than {FACTOR}' in told.reason


def test_one_class_needs_no_balance(annotated):
    sampler = DefectPoolSampler(annotated([[0]] * 5 + [[]] * 50), seed=0)
    assert balance(sampler, 20) is None
