"""A gate lets through what meets a requirement, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdefect.analysis.errors import UnusableError
from mmdefect.metrics.rates import rate_of
from mmdefect.review.operating import make_curve
from mmdefect.review.requirement import judge, parse

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.6, 0.9]), min_size=1)
LIMITS = st.sampled_from([0.01, 0.05, 0.2, 0.34, 0.5])


def curve_of(defects, normals):
    scores = np.array([*defects, *normals], np.float32)
    return make_curve(scores, np.arange(len(scores)) < len(defects))


@given(SCORES, SCORES, LIMITS, LIMITS, st.booleans())
def test_it_is_met_where_any_threshold_meets_it(
    defects, normals, escape, overkill, confident
):
    met = False
    for threshold in (0.05, 0.2, 0.4, 0.55, 0.7, 0.95):
        counts = (
            (rate_of(np.array(defects) < threshold), escape),
            (rate_of(np.array(normals) >= threshold), overkill),
        )
        met |= all(
            (rate.upper() if confident else rate.share) <= limit + 1e-12
            for rate, limit in counts
        )
    curve = curve_of(defects, normals)
    for text in (
        f'escape<={escape}@overkill<={overkill}',
        f'overkill <= {100 * overkill:g}% @ escape <= {100 * escape:g} %',
    ):
        verdict = judge(parse(text), curve, confident)
        assert verdict.met == met
        assert str(verdict).startswith('met: ' if met else 'not met: ')


def test_what_is_told_of_it_can_be_counted_again():
    curve = curve_of([0.2, 0.6, 0.8], [0.1, 0.5])
    verdict = judge(parse('escape<=0.4@overkill<=0.1'), curve)
    assert str(verdict) == (
        'met: escape<=0.4@overkill<=0.1: escape is 0.3333 at a score of 0.6 '
        '(1 of 3 defect images pass)'
    )
    verdict = judge(parse('escape<=0.4@overkill<=0.1'), curve, confident=True)
    assert not verdict.met
    assert 'these images prove no overkill rate as low' in str(verdict)


@pytest.mark.parametrize(
    'text',
    [
        '',
        'escape<=0.05',
        'escape<=0.05@escape<=0.01',
        'escape<0.05@overkill<=0.01',
        'recall<=0.05@overkill<=0.01',
        'escape<=5@overkill<=0.01',
        'escape<=0@overkill<=0.01',
        'escape<=0.05@overkill<=nan',
        'escape<=0.05@overkill<=0.01 and more',
    ],
)
def test_what_cannot_be_read_is_refused_with_what_can(text):
    with pytest.raises(UnusableError, match=r'expected .escape<=0\.05@overkill<=0\.01'):
        parse(text)
