"""What a detector must reach, written as ``escape<=0.05@overkill<=0.01``."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from mmdefect.analysis.errors import UnusableError
from mmdefect.review.operating import (
    Curve,
    Point,
    at_threshold,
    number_at,
    point_at,
)

NUMBER = r'(\d+\.?\d*|\.\d+)\s*(%?)'
PATTERN = re.compile(
    rf'\s*(escape|overkill)\s*<=\s*{NUMBER}\s*@\s*(escape|overkill)\s*<=\s*{NUMBER}\s*'
)


class Requirement(NamedTuple):
    """Two limits, one of which is kept by choosing the threshold."""

    text: str  # as it was written
    figure: str  # what is judged, ``escape`` or ``overkill``
    limit: float  # what it must not exceed
    kept: str  # what the threshold keeps, the other of both
    kept_limit: float  # what that must not exceed


class Verdict(NamedTuple):
    """Whether a requirement is met.

    Args:
        requirement (Requirement): The requirement.
        met (bool): Whether it is.
        point (Point, optional): At which threshold it was judged; None where no
            threshold keeps what is to be kept.
        confident (bool): Whether the upper 95 % bounds were judged.
        reached (float): The figure, or its bound.
        kept (float): What was to be kept, or its bound.
    """

    requirement: Requirement
    met: bool
    point: Point | None
    confident: bool
    reached: float
    kept: float

    def __str__(self) -> str:
        """One line for a log."""
        text, figure = self.requirement.text, self.requirement.figure
        if self.point is None:
            kept = self.requirement.kept
            return f'not met: {text}: these images prove no {kept} rate as low'
        how = 'with 95 % confidence ' if self.confident else ''
        missed, flagged = self.point.escape, self.point.overkill
        counts = dict(
            escape=f'{missed.hits} of {missed.total} defect images pass',
            overkill=f'{flagged.hits} of {flagged.total} normal images are flagged',
        )
        most, kept = 'at most ' if self.confident else '', self.requirement.kept
        said = f'{figure} is {most}{self.reached:.4g}'
        reason = counts[figure]
        if self.kept > self.requirement.kept_limit + 1e-12:
            said = f'{kept} is {most}{self.kept:.4g} and {said}'
            reason = f'{counts[kept]}, {reason}'
        return (
            f'{"met" if self.met else "not met"}: {text}: {how}{said} at a score of '
            f'{self.point.threshold} ({reason})'
        )


def parse(text: str) -> Requirement:
    """Read a requirement."""
    match = PATTERN.fullmatch(text)
    limits = []
    if match:
        for value, percent in (match.group(2, 3), match.group(5, 6)):
            limits.append(float(value) / (100 if percent else 1))
    if not match or match[1] == match[4] or not all(0 < limit < 1 for limit in limits):
        raise UnusableError(
            f"--require {text!r}: expected 'escape<=0.05@overkill<=0.01', or overkill "
            'first, with numbers between 0 and 1 or in %'
        )
    return Requirement(text.strip(), match[1], limits[0], match[4], limits[1])


def judge(
    requirement: Requirement,
    curve: Curve,
    confident: bool = False,
    threshold: float | None = None,
) -> Verdict:
    """Say whether a detector meets a requirement, at the score that is set if any."""
    rates = {
        name: rate.upper() if confident else rate.share
        for name, rate in (('escape', curve.escape), ('overkill', curve.overkill))
    }
    kept, figure = rates[requirement.kept], rates[requirement.figure]
    keeps = kept <= requirement.kept_limit + 1e-12
    if threshold is not None:
        best = number_at(curve, threshold)
        point = at_threshold(curve, threshold)
    elif keeps.any():
        best = int(np.where(keeps, figure, np.inf).argmin())
        point = point_at(curve, best)
    else:
        return Verdict(requirement, False, None, confident, float('nan'), float('nan'))
    met = bool(keeps[best] and figure[best] <= requirement.limit + 1e-12)
    return Verdict(
        requirement, met, point, confident, float(figure[best]), float(kept[best])
    )
