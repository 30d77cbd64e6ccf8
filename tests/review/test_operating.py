"""The thresholds that are told are the right ones, and no surer than they can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from mmdefect.metrics.rates import Rate
from mmdefect.review import operating
from mmdefect.review.operating import (
    Point,
    at_overkill,
    at_threshold,
    band,
    differences,
    images_to_prove,
    make_curve,
)

SCORES = st.lists(
    st.floats(0, 1, width=32) | st.sampled_from([0.0, 0.5, 0.9]),
    min_size=1,
    max_size=40,
)
RATES = st.sampled_from([0.001, 0.01, 0.05, 0.29, 0.5, 0.57])


def seen(hits, total):
    return Rate(hits, total, total, total)


def curve_of(defects, normals):
    scores = np.array([*defects, *normals], np.float32)
    return make_curve(scores, np.arange(len(scores)) < len(defects))


@given(SCORES, SCORES, RATES)
def test_no_threshold_keeps_the_overkill_rate_and_misses_fewer_defects(
    defects, normals, rate
):
    point = at_overkill(curve_of(defects, normals), rate)
    labels = [1] * len(defects) + [0] * len(normals)
    scores = np.array([*defects, *normals], np.float32)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    assert point.overkill.share <= rate + 1e-9
    assert point.escape.share == pytest.approx(1 - true[false <= rate + 1e-9].max())


@given(SCORES, SCORES, RATES)
def test_whoever_sets_the_score_gets_what_was_told(defects, normals, rate):
    curve = curve_of(defects, normals)
    point = at_overkill(curve, rate)
    reached = [np.array(s, np.float32) >= point.threshold for s in (defects, normals)]
    assert point.escape.hits == (~reached[0]).sum()
    assert point.overkill.hits == reached[1].sum()
    assert at_threshold(curve, point.threshold) == point


@given(SCORES, SCORES, RATES)
def test_the_line_that_is_drawn_goes_through_what_the_table_says(
    defects, normals, rate
):
    curve = curve_of(defects, normals)
    overkill, escape = curve.overkill.share[::-1], curve.escape.share[::-1]
    assert (np.diff(overkill) >= 0).all()
    assert (np.diff(escape) <= 0).all()
    point = at_overkill(curve, rate)
    reached = overkill <= rate + 1e-9  # what a step holds until the next one
    assert escape[reached][-1] == pytest.approx(point.escape.share)


def test_a_threshold_is_as_short_a_number_as_will_do():
    curve = curve_of([0.9213, 0.87], [0.3141592, 0.6, 0.61803])
    assert at_overkill(curve, 0.1).threshold == 0.7
    assert at_overkill(curve, 0.4) == Point(0.61, seen(0, 2), seen(1, 3))


def test_an_image_without_a_box_is_flagged_at_no_threshold():
    point = at_overkill(curve_of([0.0, 0.2], [0.0, 0.0, 0.3]), 0.9)
    assert point == Point(0.1, seen(1, 2), seen(1, 3))


def test_intervals_hold_the_true_rate_at_least_as_often_as_they_say():
    rng = np.random.default_rng(0)
    for rate, total in ((0.01, 190), (0.3, 24)):
        held = 0
        for _ in range(400):
            low, high = seen(int(rng.binomial(total, rate)), total).interval()
            held += low <= rate <= high
        assert held / 400 >= 0.95 - 0.03


def test_the_overkill_of_a_chosen_threshold_stays_below_its_bound_on_new_parts():
    # The threshold is chosen on the same normal images that the bound is told of.
    rng = np.random.default_rng(0)
    above = 0
    for _ in range(400):
        point = at_overkill(curve_of([0.5], rng.random(100)), 0.05)
        above += 1 - point.threshold > point.overkill.upper()
    assert above / 400 <= 0.05 + 0.03


def test_none_and_all_have_intervals_too():
    assert seen(0, 30).interval() == (0, pytest.approx(0.1157, abs=1e-4))
    assert seen(30, 30).interval() == (pytest.approx(0.8843, abs=1e-4), 1)


@pytest.mark.parametrize('rate', operating.RATES)
def test_so_many_images_are_needed_and_not_one_fewer(rate):
    needed = images_to_prove(rate)
    assert seen(0, needed).provable <= rate < seen(0, needed - 1).provable


def test_with_190_normal_images_a_tenth_of_a_percent_cannot_be_proven():
    assert seen(0, 190).provable == pytest.approx(0.0156, abs=1e-4)
    assert images_to_prove(0.001) == 2995


def test_the_band_holds_the_true_escape_rate_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(operating, 'ROUNDS', 200)
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        # Normal scores uniform on 0 … 1, defect scores on 0 … 2, halved.
        curve = curve_of(rng.random(60), rng.random(150) / 2)
        ((low,), (high,)) = band(curve, np.array([0.1]))
        held += low <= 0.45 <= high
    assert 0.85 <= held / 100 <= 1


def test_many_images_are_resampled_in_parts_as_all_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    curve = curve_of(rng.random(60), rng.random(150) / 2)
    before = band(curve, np.array(operating.RATES))
    monkeypatch.setattr(operating, 'CHUNK', 1500)
    assert band(curve, np.array(operating.RATES)) == pytest.approx(before, abs=0.06)


def test_a_detector_is_no_better_than_itself_and_better_than_chance():
    rng = np.random.default_rng(0)
    is_defect = np.arange(300) < 100
    scores = (rng.random(300) + is_defect).astype(np.float32)
    for one in differences(scores, scores.copy(), is_defect):
        assert (one.mean, one.low, one.high) == (0, 0, 0)
    for one in differences(scores, rng.random(300).astype(np.float32), is_defect):
        assert one.low <= one.mean <= one.high < -0.5


def test_two_alike_detectors_are_not_told_apart_by_chance(monkeypatch):
    monkeypatch.setattr(operating, 'ROUNDS', 200)
    rng = np.random.default_rng(1)
    is_defect = np.arange(300) < 100
    held, widths = 0, []
    for _ in range(40):
        common = rng.normal(is_defect, 1)
        one, two = (common + rng.normal(0, 0.1, 300) for _ in range(2))
        *_, difference = differences(one, two, is_defect)
        held += difference.low <= 0 <= difference.high
        widths.append(difference.high - difference.low)
    assert held >= 35
    # Drawn for both at once: independent of each other they would differ by 0.4.
    assert np.mean(widths) < 0.2
