"""What the figures of a review do not say stands beside them."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import ConfigDict

from mmdefect.metrics.rates import Rate
from mmdefect.review.caveats import chosen, same_images, unproved, validations


def seen(hits, total):
    return Rate(hits, total, total, total)


def review_of(escape):
    return SimpleNamespace(point=SimpleNamespace(escape=escape))


def test_250_normal_images_are_pointed_to_two_percent():
    (said,) = unproved(0.01, seen(0, 250))
    assert '250 normal images cannot prove that only 1 %' in said
    assert 'The first step that they can prove is 2 %; 1 % needs 299 images' in said
    assert unproved(0.02, seen(0, 250)) == []
    (said,) = unproved(0.01, seen(0, 20))
    assert 'They prove no step of the table' in said


@pytest.mark.parametrize('checkpoints', [12, 30])
def test_the_bound_of_a_chosen_checkpoint_holds_on_new_parts(checkpoints):
    # All are as good; what tells them apart on 30 defect images is chance.
    rng = np.random.default_rng(0)
    rate, defects, rounds = 0.2, 30, 4000
    best = rng.binomial(defects, rate, (rounds, checkpoints)).min(1)
    missed, times = np.unique(best, return_counts=True)
    rates = [seen(int(n), defects) for n in missed]
    naive = [one.interval()[1] < rate for one in rates]
    cfg = ConfigDict(max_epochs=checkpoints)
    said = [chosen(review_of(one), validations(cfg))[0] for one in rates]
    told = [float(re.search(r'up to (\S+) %', text)[1]) / 100 for text in said]
    honest = np.array(told) < rate
    assert times @ naive / rounds > 0.05
    assert times @ honest / rounds <= 0.025


@pytest.mark.parametrize(
    ('settings', 'number'),
    [
        (dict(max_epochs=12), 12),
        (dict(max_epochs=12, val_begin=3, val_interval=2), 5),
        (dict(max_iters=3000, val_interval=500), 6),
        (dict(), 0),
    ],
)
def test_as_many_checkpoints_are_counted_as_were_validated(settings, number):
    assert validations(settings) == number


def test_a_test_set_that_is_the_validation_set_chose_the_checkpoint_too():
    one, other = dict(dataset=dict(ann_file='a')), dict(dataset=dict(ann_file='b'))
    cfg = ConfigDict(val_dataloader=one, test_dataloader=one)
    assert same_images(cfg, 'val')
    assert same_images(cfg, 'test')
    assert not same_images(ConfigDict(cfg, test_dataloader=other), 'test')
