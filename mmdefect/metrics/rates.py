"""A rate: the threshold that makes it, how sure it is, and how it is written.

The interval is exact (Clopper and Pearson, "The use of confidence or fiducial limits
illustrated in the case of the binomial", Biometrika 26, 1934). Of images that come
several from a part, it is that of as many independent ones as tell the same (Korn and
Graubard, "Confidence intervals for proportions with small expected number of positive
counts estimated from survey data", Survey Methodology 24, 1998).
"""

from __future__ import annotations

import math
from typing import Any, Callable, Sequence

import numpy as np
import torch

CONFIDENCE = 0.95
DIGITS = 9  # tell any two scores of a detector apart, which are float32
STEPS = 100  # at most, to a quantile


def shortest_between(low: Any, high: Any) -> float:
    """The shortest decimal fraction above one score and not above the next.

    Set as a threshold it sorts all images as any other number in between does, and it
    can be read, written down and typed.
    """
    kind = np.asarray(low).dtype.type
    for digits in range(1, DIGITS + 1):
        for after in (1, 2):  # a detector's 0.9, in float32, is a little less than 0.9
            value = (math.floor(float(low) * 10**digits) + after) / 10**digits
            if low < kind(value) <= high:
                return value
    return float(high if np.isfinite(high) else np.nextafter(low, high))


def rate_interval(
    hits: np.ndarray, parts: np.ndarray | None = None, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Where the share of hits (N,) of new images, or of new parts' (N,), lies."""
    count, total = float(np.sum(hits)), float(len(hits))
    if parts is not None and total:
        independent = _independent(np.asarray(hits, float), parts)
        count, total = count * independent / total, independent
    return interval(count, total, confidence)


def interval(
    count: float, total: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Where a share lies with a confidence, seen ``count`` times in ``total``."""
    if not total:
        return math.nan, math.nan
    inside = (1 + confidence) / 2
    low, high = (bound(count, total, inside) for bound in (lower_bound, upper_bound))
    return low, float(high)


def upper_bound(counts: Any, total: float, confidence: float) -> Any:
    """What a share does not exceed with a confidence, seen ``counts`` times."""
    counts = np.asarray(counts, float)
    different, which = np.unique(counts, return_inverse=True)
    some = different < total  # all of them: nothing is above 1
    bounds = np.ones(len(different))
    bounds[some] = _beta_quantile(
        confidence, different[some] + 1, total - different[some]
    )
    return bounds[which].reshape(counts.shape)[()]


def lower_bound(count: float, total: float, confidence: float) -> float:
    """What a share does not fall below with a confidence, seen ``count`` times."""
    return float(1 - upper_bound(total - count, total, confidence))


def percent(value: float, rounded: Callable[[float], float] = round) -> str:
    """A share as a person writes it: ``12 %``, ``0.5 %``, ``99.96 %``."""
    hundred = round(100 * float(value), 9)
    near = min(hundred, 100 - hundred)  # to a rate of which nothing, or all, is left
    digits = max(1 - math.floor(math.log10(near) + 0.003), 0) if near > 0 else 0
    text = f'{rounded(round(hundred * 10**digits, 6)) / 10**digits:.{digits}f}'
    return f'{text.rstrip("0").rstrip(".") if digits else text} %'


def percent_range(pair: Sequence[float]) -> str:
    """From one share to another, no narrower than it is: ``0 to 14 %``."""
    low, high = percent(pair[0], math.floor), percent(pair[1], math.ceil)
    return f'{low[:-2]} to {high}' if low != high else low


def _independent(hits: np.ndarray, parts: np.ndarray) -> float:
    # So many independent images would leave the share as unsure as these parts do.
    _, which = np.unique(parts, return_inverse=True)
    number, total, share = int(which.max()) + 1, len(hits), hits.mean()
    if number == 1 or share in (0, 1):  # nothing tells how alike images of a part are
        return float(number)
    off = np.bincount(which, hits - share)
    variance = number / (number - 1) * (off**2).sum() / total**2
    return float(np.clip(share * (1 - share) / max(variance, 1e-12), 1, total))


def _beta_quantile(level: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Newton's steps, and halves of what is left wherever they lead out of it.
    low, high = np.zeros(len(a)), np.ones(len(a))
    scale = _lgamma(a + b) - _lgamma(a) - _lgamma(b)
    x = a / (a + b)
    for _ in range(STEPS):
        with np.errstate(all='ignore'):
            density = np.exp(scale + (a - 1) * np.log(x) + (b - 1) * np.log1p(-x))
            off = _beta_cdf(x, a, b, scale) - level
            low, high = np.where(off < 0, x, low), np.where(off < 0, high, x)
            newton = x - off / density
        inside = (newton > low) & (newton < high)
        before, x = x, np.where(inside, newton, (low + high) / 2)
        if np.all(abs(x - before) <= 1e-12 * x):
            break
    return x


def _beta_cdf(
    x: np.ndarray, a: np.ndarray, b: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    # The continued fraction, which converges fast on this side of the mean.
    far = x > (a + 1) / (a + b + 2)
    x, a, b = np.where(far, 1 - x, x), np.where(far, b, a), np.where(far, a, b)
    front = np.exp(scale + a * np.log(x) + b * np.log1p(-x)) / a
    share = front * _continued_fraction(x, a, b)
    return np.where(far, 1 - share, share)


def _continued_fraction(x: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Lentz's way to evaluate it from its beginning.
    c, d = np.ones(len(x)), 1 / (1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, 10_000):
        before = value
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d, c = 1 / (1 + step * d), 1 + step / c
            value = value * c * d
        if np.all(abs(value - before) <= 1e-13 * abs(value)):
            break
    return value


def _lgamma(values: np.ndarray) -> np.ndarray:
    return torch.lgamma(torch.from_numpy(values)).numpy()
