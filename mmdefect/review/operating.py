"""Escape against overkill: each threshold, how sure it is, and what cannot be known.

A threshold is a cut between two scores that were seen: images that reach it are
flagged. Intervals of one threshold are exact. The band of the curve is a bootstrap's.
"""

from __future__ import annotations

import math
from typing import Any, Iterator, NamedTuple

import numpy as np

from mmdefect.metrics.rates import (
    CONFIDENCE,
    Rate,
    allowed,
    lowest_cuts,
    rate_of,
    rates_up_to,
    shortest_between,
)
from mmdefect.metrics.redraw import counted, redrawn, weights

RATES = (0.001, 0.005, 0.01, 0.02, 0.05)
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
ROUNDS = 1000  # resampled sets of a bootstrap
CHUNK = 2_000_000  # resampled counts held in memory at once


class Curve(NamedTuple):
    """All thresholds of a set of images, from the lowest to the highest."""

    # Scores that were seen, rising, (k,). At the n-th threshold the images up to the
    # n-th score pass as normal.
    levels: np.ndarray
    escape: Rate  # defect images that pass, at each threshold
    overkill: Rate  # normal images that are flagged, at each threshold
    # Of the defect and of the normal images which score each has (n,), and which part
    # it shows (n,), or None where each shows its own.
    images: Any


class Point(NamedTuple):
    """What happens at one threshold.

    Args:
        threshold (float): The score to set: a box that reaches it flags its image.
        escape (Rate): Defect images that pass.
        overkill (Rate): Normal images that do not pass.
    """

    threshold: float
    escape: Rate
    overkill: Rate

    def as_dict(self) -> dict:
        """Counts, rates and intervals, for JSON and CSV."""
        (escape_low, escape_high), (overkill_low, overkill_high) = (
            one.interval() for one in self[1:]
        )
        return dict(
            threshold=self.threshold,
            missed=self.escape.hits,
            defects=self.escape.total,
            flagged=self.overkill.hits,
            normals=self.overkill.total,
            defect_parts=self.escape.parts,
            normal_parts=self.overkill.parts,
            escape=self.escape.share,
            escape_low=escape_low,
            escape_high=escape_high,
            overkill=self.overkill.share,
            overkill_low=overkill_low,
            overkill_high=overkill_high,
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
    images = [(level[k], None if parts is None else parts[k]) for k in kinds]
    missed, passed = (rates_up_to(one, len(levels), of) for one, of in images)
    return Curve(levels, missed, passed.others, images)


def point_at(curve: Curve, number: int) -> Point:
    """What happens at the n-th threshold."""
    above = np.append(curve.levels, np.inf)[number + 1]
    threshold = shortest_between(curve.levels[number], above)
    return Point(threshold, curve.escape.at(number), curve.overkill.at(number))


def point_of(
    threshold: float,
    flagged: np.ndarray,
    is_defect: np.ndarray,
    parts: np.ndarray | None,
) -> Point:
    """What happens where these images are flagged, (n,)."""
    missed, stopped = (
        rate_of(hits[kind], None if parts is None else parts[kind])
        for hits, kind in ((~flagged, is_defect), (flagged, ~is_defect))
    )
    return Point(threshold, missed, stopped)


def at_overkill(curve: Curve, rate: float) -> Point:
    """The lowest threshold that flags at most a share of the normal images."""
    stopped = curve.overkill
    return point_at(curve, int((stopped.hits <= allowed(rate, stopped.total)).argmax()))


def at_threshold(curve: Curve, threshold: float) -> Point:
    """What happens at a threshold of the user's own."""
    return point_at(curve, number_at(curve, threshold))._replace(threshold=threshold)


def number_at(curve: Curve, threshold: float) -> int:
    """Which of the thresholds sorts the images as a threshold of the user's own."""
    reached = curve.levels >= threshold  # in the type of the scores
    return len(curve.levels) - int(reached.sum()) - 1


def images_to_prove(rate: float) -> int:
    """How many images, none of which must count, prove a rate."""
    return math.ceil(math.log(1 - CONFIDENCE) / math.log1p(-rate) - 1e-9)


def band(curve: Curve, rates: np.ndarray) -> np.ndarray:
    """How far the curve would move with other images of the same kind."""
    rng = np.random.default_rng(0)  # the same scores, the same band
    drawn = []
    size = len(curve.levels)
    for rounds in chunks(max(size, *(len(level) for level, _ in curve.images))):
        defects, normals = (
            redrawn(rng, one, size, of, rounds) for one, of in curve.images
        )
        drawn.append(escapes(defects, normals, rates))
    return np.quantile(np.concatenate(drawn), TAILS, axis=0)


def chunks(size: int) -> Iterator[int]:
    """How many sets of so many numbers to draw at once, until all are drawn."""
    most = max(CHUNK // size, 1)
    return (min(most, ROUNDS - start) for start in range(0, ROUNDS, most))


def escapes(defects: np.ndarray, normals: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Escape rates at overkill rates, of many sets of images."""
    cuts = lowest_cuts(normals, rates)
    return np.take_along_axis(defects.cumsum(1), cuts, 1) / defects.sum(
        1, keepdims=True
    )


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

    def difference(drawn: list[np.ndarray]) -> np.ndarray:
        rows = []
        for levels, level in both:
            defects, normals = (
                counted(w, level[kind], len(levels)) for w, kind in zip(drawn, kinds)
            )
            rows.append(escapes(defects, normals, rates))
        return rows[0] - rows[1]

    redraws = [
        difference([weights(rng, parts[kind], rounds) for kind in kinds])
        for rounds in chunks(len(scores))
    ]
    low, high = np.quantile(np.concatenate(redraws), TAILS, axis=0)
    (mean,) = difference([np.ones((1, len(kind)), int) for kind in kinds])
    return [Difference(*map(float, row)) for row in zip(rates, mean, low, high)]
