"""A rate: the threshold that makes it, how sure it is, and how it is written.

How sure is asked of ``Rate``, wherever a rate is told, judged or drawn.

The interval is exact (Clopper and Pearson, "The use of confidence or fiducial limits
illustrated in the case of the binomial", Biometrika 26, 1934). Of images that come
several from a part, it is that of as many independent ones as tell the same (Korn and
Graubard, "Confidence intervals for proportions with small expected number of positive
counts estimated from survey data", Survey Methodology 24, 1998).
"""

from __future__ import annotations

import math
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

CONFIDENCE = 0.95
DIGITS = 9  # tell any two scores of a detector apart, which are float32


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


class Rate(NamedTuple):
    """A share of images, and how much they tell of it: of one threshold, or of each."""

    hits: Any  # images that count, (k,) for k thresholds
    total: int
    parts: int  # parts that they show
    independent: Any  # as many independent images tell the same, (k,)

    def at(self, number: int) -> Rate:
        """That of one of the thresholds."""
        hits, independent = int(self.hits[number]), float(self.independent[number])
        return self._replace(hits=hits, independent=independent)

    @property
    def share(self) -> Any:
        """float: The share seen, (k,)."""
        return self.hits / self.total if self.total else math.nan

    @property
    def others(self) -> Rate:
        """Rate: That of the images that do not count."""
        return self._replace(hits=self.total - self.hits)

    @property
    def provable(self) -> float:
        """float: The smallest rate that so many parts can prove: none must count."""
        return float(_upper(0, self.parts, CONFIDENCE))

    def upper(self, confidence: float = CONFIDENCE) -> Any:
        """What the share of new parts does not exceed with a confidence, (k,)."""
        seen = _upper(self.share * self.independent, self.independent, confidence)
        # One part of which some photographs count makes no surer than none at all.
        return np.maximum(seen, _upper(0, self.parts, confidence))

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Where the share of new parts lies with a confidence."""
        if not self.total:
            return math.nan, math.nan
        inside = (1 + confidence) / 2
        return float(1 - self.others.upper(inside)), float(self.upper(inside))


def rate_of(hits: np.ndarray, parts: np.ndarray | None = None) -> Rate:
    """The share of images that count (n,) bool, and which parts (n,) they show."""
    return rates_up_to(~np.asarray(hits, bool) + 0, 2, parts).at(0)


def rates_up_to(level: np.ndarray, size: int, parts: np.ndarray | None = None) -> Rate:
    """The share of images up to each of some levels, from the level of each (n,)."""
    total = len(level)

    def summed(weights: Any = None) -> np.ndarray:
        return np.bincount(level, weights, minlength=size).cumsum()

    hits = summed()
    if parts is None or not total:
        return Rate(hits, total, total, np.full(size, float(total)))
    _, which, sizes = np.unique(parts, return_inverse=True, return_counts=True)
    number, share = len(sizes), hits / total
    order = np.lexsort((level, which))
    place = np.empty(total, int)  # among the images of its part
    place[order] = np.arange(total) - np.repeat(sizes.cumsum() - sizes, sizes)
    # Squared, what each part has more than its share of, summed over the parts.
    off = summed(2 * place + 1) - 2 * share * summed(sizes[which])
    off += share**2 * (sizes**2).sum()
    variance = number / max(number - 1, 1) * off / total**2
    independent = (share * (1 - share) / variance.clip(1e-12)).clip(1, total)
    # Nothing tells how alike images of a part are.
    independent[(hits == 0) | (hits == total)] = number
    return Rate(hits, total, number, independent if number > 1 else np.ones(size))


def _upper(hits: Any, totals: Any, confidence: float) -> np.ndarray:
    from scipy.special import betaincinv  # which MMDetection needs as well

    hits, totals = np.broadcast_arrays(np.asarray(hits, float), totals)
    bounds = np.ones(hits.shape)
    some = hits < totals  # all of them: nothing is above 1
    hits, totals = hits[some], totals[some]
    bounds[some] = betaincinv(hits + 1, totals - hits, confidence)
    return bounds


def allowed(rate: Any, total: Any) -> Any:
    """How many of some images a rate allows."""
    return np.floor(rate * total + 1e-9)  # 0.29 * 100 is below 29


def lowest_cuts(normals: np.ndarray, rates: Any) -> np.ndarray:
    """The lowest thresholds that keep overkill rates, (sets, rates), by their numbers.

    ``normals`` (sets, k) counts the normal images with each score.
    """
    total = normals.sum(1, keepdims=True)
    passing = total - allowed(np.asarray(rates), total)
    return np.array([np.searchsorted(*row) for row in zip(normals.cumsum(1), passing)])


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
