"""Escape against overkill: each threshold, how sure it is, and what cannot be known.

A threshold is a cut between two scores that were seen: images that reach it are
flagged. Intervals of one threshold are exact. The band of the curve is a bootstrap's.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from mmdefect.metrics.rates import (
    CONFIDENCE,
    interval,
    rate_interval,
    shortest_between,
    upper_bound,
)

RATES = (0.001, 0.005, 0.01, 0.02, 0.05)
ROUNDS = 1000  # resampled sets of a bootstrap
CHUNK = 2_000_000  # resampled counts held in memory at once


class Curve(NamedTuple):
    """All thresholds of a set of images, from the lowest to the highest.

    Args:
        levels (np.ndarray): Scores that were seen, rising, (k,). At the n-th threshold
            the images up to the n-th score pass as normal.
        defects (np.ndarray): Defect images with each score, (k,).
        normals (np.ndarray): Normal images with each score, (k,).
        images (tuple, optional): Where several show one part, of the defect and of the
            normal images which score each has (n,), and which part it shows (n,).
    """

    levels: np.ndarray
    defects: np.ndarray
    normals: np.ndarray
    images: Any = None

    @property
    def independent(self) -> tuple[int, int]:
        """tuple[int, int]: Parts with a defect, and without; images, one a part."""
        if self.images is None:
            return int(self.defects.sum()), int(self.normals.sum())
        (_, defects), (_, normals) = self.images
        return len(np.unique(defects)), len(np.unique(normals))

    @property
    def missed(self) -> np.ndarray:
        """np.ndarray: Defect images that pass as normal, at each threshold, (k,)."""
        return self.defects.cumsum()

    @property
    def flagged(self) -> np.ndarray:
        """np.ndarray: Normal images that are flagged, at each threshold, (k,)."""
        return self.normals.sum() - self.normals.cumsum()

    def rates(self) -> tuple[np.ndarray, np.ndarray]:
        """The operating curve, from the highest threshold to the lowest."""
        overkill = self.flagged / self.normals.sum()
        escape = self.missed / self.defects.sum()
        return overkill[::-1], escape[::-1]


class Point(NamedTuple):
    """What happens at one threshold.

    Args:
        threshold (float): The score to set: a box that reaches it flags its image.
        missed (int): Defect images that pass.
        defects (int): Defect images, in all.
        flagged (int): Normal images that do not pass.
        normals (int): Normal images, in all.
        independent (tuple[int, int]): Pieces of evidence among the defect and the
            normal images: those of one part are one.
        intervals (tuple, optional): Those of escape and overkill, where parts are
            redrawn and not images.
    """

    threshold: float
    missed: int
    defects: int
    flagged: int
    normals: int
    independent: tuple[int, int] = (0, 0)
    intervals: Any = None

    @property
    def escape(self) -> float:
        """float: Share of the defect images that pass."""
        return self.missed / self.defects

    @property
    def overkill(self) -> float:
        """float: Share of the normal images that do not pass."""
        return self.flagged / self.normals

    @property
    def escape_interval(self) -> tuple[float, float]:
        """tuple[float, float]: Where the escape rate of new images lies, 95 %."""
        return (
            self.intervals[0] if self.intervals else interval(self.missed, self.defects)
        )

    @property
    def overkill_interval(self) -> tuple[float, float]:
        """tuple[float, float]: Where the overkill rate of new images lies, 95 %."""
        return (
            self.intervals[1]
            if self.intervals
            else interval(self.flagged, self.normals)
        )


def make_curve(
    scores: np.ndarray, is_defect: np.ndarray, parts: np.ndarray | None = None
) -> Curve:
    """Count images by score."""
    # The lowest threshold is above 0, whether or not an image has that score.
    levels, level = np.unique(
        np.append(scores, scores.dtype.type(0)), return_inverse=True
    )
    level = level[:-1]
    kinds = (is_defect, ~is_defect)
    counts = [np.bincount(level[kind], minlength=len(levels)) for kind in kinds]
    images = None if parts is None else [(level[k], parts[k]) for k in kinds]
    return Curve(levels, counts[0], counts[1], images)


def point_at(curve: Curve, number: int) -> Point:
    """What happens at the n-th threshold."""
    above = np.append(curve.levels, np.inf)[number + 1]
    intervals = None
    if curve.images is not None:
        (defects, defect_parts), (normals, normal_parts) = curve.images
        intervals = (
            rate_interval(defects <= number, defect_parts),
            rate_interval(normals > number, normal_parts),
        )
    return Point(
        shortest_between(curve.levels[number], above),
        int(curve.missed[number]),
        int(curve.defects.sum()),
        int(curve.flagged[number]),
        int(curve.normals.sum()),
        curve.independent,
        intervals,
    )


def at_overkill(curve: Curve, rate: float) -> Point:
    """The lowest threshold that flags at most a share of the normal images."""
    return point_at(
        curve, int((curve.flagged <= allowed(rate, curve.normals)).argmax())
    )


def at_threshold(curve: Curve, threshold: float) -> Point:
    """What happens at a threshold of the user's own."""
    return point_at(curve, number_at(curve, threshold))._replace(threshold=threshold)


def number_at(curve: Curve, threshold: float) -> int:
    """Which of the thresholds sorts the images as a threshold of the user's own."""
    reached = curve.levels >= threshold  # in the type of the scores
    return len(curve.levels) - int(reached.sum()) - 1


def allowed(rate: float, counts: np.ndarray) -> int:
    """How many images a rate allows."""
    return math.floor(rate * counts.sum() + 1e-9)  # 0.29 * 100 is below 29


def bound_of_the_best(count: int, total: int, tried: int) -> float:
    """The upper end of an interval that holds for the best of several, whichever."""
    return float(upper_bound(count, total, 1 - (1 - CONFIDENCE) / 2 / tried))


def smallest_provable(total: int) -> float:
    """The smallest rate that so many images can prove: none of them must count."""
    return 1 - (1 - CONFIDENCE) ** (1 / total)


def images_to_prove(rate: float) -> int:
    """How many images, none of which must count, prove a rate."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-rate) - 1e-9)


def band(curve: Curve, rates: np.ndarray) -> np.ndarray:
    """How far the curve would move with other images of the same kind."""
    rng = np.random.default_rng(0)  # the same scores, the same band
    drawn = []
    size = max(CHUNK // len(curve.levels), 1)
    for start in range(0, ROUNDS, size):
        rounds = min(size, ROUNDS - start)
        if curve.images is None:
            defects, normals = (
                _redraw(rng, counts, rounds)
                for counts in (curve.defects, curve.normals)
            )
        else:
            defects, normals = (
                _sum(_weights(rng, parts, rounds), level, len(curve.levels))
                for level, parts in curve.images
            )
        drawn.append(escapes(defects, normals, rates))
    tail = (1 - CONFIDENCE) / 2
    return np.quantile(np.concatenate(drawn), [tail, 1 - tail], axis=0)


def escapes(defects: np.ndarray, normals: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Escape rates at overkill rates, of many sets of images."""
    total = normals.sum(1, keepdims=True)  # differ where parts are redrawn
    passing = total - np.floor(rates * total + 1e-9)
    passed, missed = normals.cumsum(1), defects.cumsum(1)
    number = np.array([np.searchsorted(*row) for row in zip(passed, passing)])
    return np.take_along_axis(missed, number, 1) / defects.sum(1, keepdims=True)


def _redraw(rng: np.random.Generator, counts: np.ndarray, rounds: int) -> np.ndarray:
    return rng.multinomial(counts.sum(), counts / counts.sum(), rounds)


def _weights(rng: np.random.Generator, parts: np.ndarray, rounds: int) -> np.ndarray:
    # How often each image is drawn (rounds, n): as often as its part.
    _, which = np.unique(parts, return_inverse=True)
    return _redraw(rng, np.ones(which.max() + 1, int), rounds)[:, which]


class Difference(NamedTuple):
    """How much less of the defects one detector misses than another.

    Args:
        overkill (float): Overkill rate, the same for both.
        mean (float): Escape rate of the one less that of the other.
        low (float): Lower end of its interval, from images drawn for both at once.
        high (float): Upper end.
    """

    overkill: float
    mean: float
    low: float
    high: float


def differences(
    scores: np.ndarray,
    others: np.ndarray,
    is_defect: np.ndarray,
    parts: np.ndarray | None = None,
) -> list[Difference]:
    """Compare two detectors on the same images."""
    rates = np.array(RATES)
    parts = np.arange(len(scores)) if parts is None else parts
    rng = np.random.default_rng(0)
    both = [np.unique(one, return_inverse=True) for one in (scores, others)]
    kinds = [np.flatnonzero(kind) for kind in (is_defect, ~is_defect)]

    def difference(weights: list[np.ndarray]) -> np.ndarray:
        rows = []
        for levels, level in both:
            defects, normals = (
                _sum(w, level[kind], len(levels)) for w, kind in zip(weights, kinds)
            )
            rows.append(escapes(defects, normals, rates))
        return rows[0] - rows[1]

    drawn, size = [], max(CHUNK // len(scores), 1)
    for start in range(0, ROUNDS, size):
        rounds = min(size, ROUNDS - start)
        drawn.append(difference([_weights(rng, parts[k], rounds) for k in kinds]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(drawn), [tail, 1 - tail], axis=0)
    (mean,) = difference([np.ones((1, len(kind)), int) for kind in kinds])
    return [Difference(*map(float, row)) for row in zip(rates, mean, low, high)]


def _sum(weights: np.ndarray, level: np.ndarray, size: int) -> np.ndarray:
    # How often each score was drawn, from how often each image was.
    from scipy.sparse import csr_matrix

    places = (np.arange(len(level)), level)
    return weights @ csr_matrix((np.ones(len(level), int), places), (len(level), size))
