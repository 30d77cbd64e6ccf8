"""A rate is told no surer than it is, in training as in a review."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import beta

from mmdefect.metrics.rates import (
    interval,
    lower_bound,
    percent,
    percent_range,
    rate_interval,
    upper_bound,
)


@pytest.mark.parametrize('confidence', [0.5, 0.95, 0.975, 0.9999])
@pytest.mark.parametrize('total', [1, 2, 24, 1031, 10**6])
def test_the_bounds_of_a_rate_are_those_of_clopper_and_pearson(total, confidence):
    counts = np.unique(np.linspace(0, total, 40).astype(int))
    above = beta.ppf(confidence, counts + 1, np.maximum(total - counts, 1e-9))
    above[counts == total] = 1
    assert upper_bound(counts, total, confidence) == pytest.approx(above, rel=1e-7)
    for count in (counts[0], counts[len(counts) // 2], counts[-1]):
        below = beta.ppf(1 - confidence, count, total - count + 1) if count else 0
        assert lower_bound(count, total, confidence) == pytest.approx(below, abs=1e-9)


def test_training_needs_no_scipy_for_its_intervals():
    code = (
        'import sys; sys.modules["scipy"] = None\n'
        'from mmdefect.metrics.rates import interval; print(interval(0, 24)[1])'
    )
    said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert float(said.stdout.split()[-1]) == pytest.approx(0.1425, abs=1e-4)


def test_of_nothing_seen_nothing_is_known():
    assert np.isnan(interval(0, 0)).all()
    assert np.isnan(rate_interval(np.zeros(0, bool), np.zeros(0, int))).all()


def test_photographs_of_one_part_count_as_the_evidence_that_they_are():
    hits = np.arange(270) % 6 < 2
    alone = rate_interval(hits)
    assert rate_interval(hits, np.arange(270)) == pytest.approx(alone, abs=0.01)
    # All photographs of a part say the same: it is one piece of evidence.
    parts = np.repeat(np.arange(45), 6)
    alike = np.repeat(np.arange(45) % 3 == 0, 6)
    expected = interval(15, 45)
    assert rate_interval(alike, parts) == pytest.approx(expected, abs=0.01)
    # None missed: 45 parts prove what 45 images would.
    assert rate_interval(np.zeros(270, bool), parts) == interval(0, 45)
    assert rate_interval(hits[:6], np.zeros(6, int))[1] > 0.8


@pytest.mark.parametrize(
    ('share', 'said'),
    [(0, '0 %'), (0.0004, '0.04 %'), (0.9996, '99.96 %'), (1, '100 %')],
)
def test_a_rate_near_0_or_1_keeps_two_digits(share, said):
    assert percent(share) == said


def test_the_ends_of_an_interval_are_rounded_away_from_it():
    assert percent_range(interval(0, 24)) == '0 to 15 %'
    assert percent_range((0.121, 0.129)) == '12 to 13 %'
