"""Figures as a person writes them, on the page and on the screen."""

from __future__ import annotations

from mmdefect.metrics.rates import percent as percent
from mmdefect.metrics.rates import percent_range as interval

__all__ = ['interval', 'percent', 'points']


def points(value: float) -> str:
    """A difference of shares, in percentage points."""
    return (
        f'{100 * value:+.1f}'.replace('-', '−')
        .replace('+0.0', '0.0')
        .replace('−0.0', '0.0')
    )
