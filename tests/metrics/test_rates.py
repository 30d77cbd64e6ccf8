"""A rate is told no surer than it is, in training as in a review."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from mmdefect.metrics.rates import (
    Rate,
    percent,
    percent_range,
    rate_of,
    rates_up_to,
)


@pytest.mark.parametrize('confidence', [0.5, 0.95, 0.975, 0.9999])
@pytest.mark.parametrize('total', [1, 2, 24, 1031, 10**6])
def test_the_bounds_of_a_rate_are_those_of_clopper_and_pearson(total, confidence):
    counts = np.unique(np.linspace(0, total, 40).astype(int))
    above = beta.ppf(confidence, counts + 1, np.maximum(total - counts, 1e-9))
    above[counts == total] = 1
    seen = Rate(counts, total, total, np.full(len(counts), float(total)))
    assert seen.upper(confidence) == pytest.approx(above, rel=1e-7)
    below = beta.ppf(1 - confidence, np.maximum(counts, 1e-9), total - counts + 1)
    below[counts == 0] = 0
    for number in (0, len(counts) // 2, -1):
        low, _ = seen.at(number).interval(2 * confidence - 1)
        assert low == pytest.approx(below[number], abs=1e-9)


def alone(hits, total):
    return Rate(hits, total, total, total)


def test_of_nothing_seen_nothing_is_known():
    assert np.isnan(alone(0, 0).interval()).all()
    assert np.isnan(rate_of(np.zeros(0, bool), np.zeros(0, int)).interval()).all()


def test_photographs_of_one_part_count_as_the_evidence_that_they_are():
    hits = np.arange(270) % 6 < 2
    single = rate_of(hits).interval()
    assert rate_of(hits, np.arange(270)).interval() == pytest.approx(single, abs=0.01)
    # All photographs of a part say the same: it is one piece of evidence.
    parts = np.repeat(np.arange(45), 6)
    alike = np.repeat(np.arange(45) % 3 == 0, 6)
    expected = alone(15, 45).interval()
    assert rate_of(alike, parts).interval() == pytest.approx(expected, abs=0.01)
    # None missed: 45 parts prove what 45 images would.
    none = rate_of(np.zeros(270, bool), parts)
    assert none.interval() == alone(0, 45).interval()
    assert rate_of(hits[:6], np.zeros(6, int)).interval()[1] > 0.8


def test_one_photograph_missed_makes_no_surer_than_none():
    parts, one = np.repeat(np.arange(45), 6), np.arange(270) == 7
    assert rate_of(one, parts).upper() >= rate_of(one & False, parts).upper()
    assert (
        rate_of(~one, parts).interval()[0] <= rate_of(~one | True, parts).interval()[0]
    )


def test_each_threshold_is_as_sure_as_its_rate_alone():
    rng = np.random.default_rng(0)
    level, parts = rng.integers(5, size=60), rng.integers(12, size=60)
    rates = rates_up_to(level, 5, parts)
    for number in range(5):
        one = rate_of(level <= number, parts)
        assert rates.at(number) == pytest.approx(one)
        # Korn and Graubard's formula, part by part.
        if 0 < one.share < 1:
            off = [
                ((level <= number)[parts == p] - one.share).sum() for p in set(parts)
            ]
            p = len(off)
            variance = p / (p - 1) * np.square(off).sum() / 60**2
            expected = np.clip(one.share * (1 - one.share) / variance, 1, 60)
            assert one.independent == pytest.approx(expected)


@pytest.mark.parametrize(
    ('share', 'said'),
    [(0, '0 %'), (0.0004, '0.04 %'), (0.9996, '99.96 %'), (1, '100 %')],
)
def test_a_rate_near_0_or_1_keeps_two_digits(share, said):
    assert percent(share) == said


def test_the_ends_of_an_interval_are_rounded_away_from_it():
    assert percent_range(alone(0, 24).interval()) == '0 to 15 %'
    assert percent_range((0.121, 0.129)) == '12 to 13 %'
