"""Figures are written so that nobody reads more into them than they say."""

from __future__ import annotations

import pytest

from mmdefect.review.writing import interval, percent


@pytest.mark.parametrize(
    ('share', 'said'),
    [
        (0, '0 %'),
        (0.0004, '0.04 %'),
        (0.005, '0.5 %'),
        (0.0996, '10 %'),
        (0.29, '29 %'),
        (0.997, '99.7 %'),
        (0.9996, '99.96 %'),
        (1, '100 %'),
    ],
)
def test_hardly_any_is_not_none_and_nearly_all_is_not_all(share, said):
    assert percent(share) == said


@pytest.mark.parametrize(
    ('pair', 'said'),
    [
        ((0, 0.1157), '0 to 12 %'),
        ((0.00031, 0.0114), '0.031 to 1.2 %'),
        ((0.4567, 0.9999), '45 to 99.99 %'),
        ((0.011, 0.29), '1.1 to 29 %'),
        ((0.8843, 1), '88 to 100 %'),
    ],
)
def test_an_interval_is_told_no_narrower_than_it_is(pair, said):
    assert interval(pair) == said
