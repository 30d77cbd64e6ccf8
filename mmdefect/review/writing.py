"""Figures as a person writes them, on the page and on the screen."""

from __future__ import annotations

import math
from typing import Callable, Sequence


def percent(value: float, rounded: Callable[[float], float] = round) -> str:
    """A share as a person writes it: ``12 %``, ``0.5 %``, ``99.96 %``."""
    hundred = round(100 * float(value), 9)
    near = min(hundred, 100 - hundred)  # to a rate of which nothing, or all, is left
    digits = max(1 - math.floor(math.log10(near) + 0.003), 0) if near > 0 else 0
    text = f'{rounded(round(hundred * 10**digits, 6)) / 10**digits:.{digits}f}'
    return f'{text.rstrip("0").rstrip(".") if digits else text} %'


def interval(pair: Sequence[float]) -> str:
    """From one share to another, no narrower than it is."""
    low, high = percent(pair[0], math.floor), percent(pair[1], math.ceil)
    return f'{low[:-2]} to {high}' if low != high else low


def points(value: float) -> str:
    """A difference of shares, in percentage points."""
    return (
        f'{100 * value:+.1f}'.replace('-', '−')
        .replace('+0.0', '0.0')
        .replace('−0.0', '0.0')
    )
