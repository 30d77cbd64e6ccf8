"""What to do about what escapes and what is stopped, and how next week goes."""

from __future__ import annotations

import math
import shlex
from typing import Sequence

import numpy as np

from mmdefect.review.review import Review

MUCH = 1.5  # times by which a size or a share differs for a reason


def steps(review: Review, config: str, command: str) -> list[tuple[str, str]]:
    """What to do first, as sentences with a command each, or ''."""
    missed, hits = review.missed(), review.hits()
    inspect = f'mmdefect inspect {shlex.quote(config)}'
    said = []
    if review.suspects():
        said.append(('Correct the labels above: they cost a training most.', ''))
    small, large = (short_side(review, numbers) for numbers in (missed, hits))
    if small * MUCH < large:
        said.append(
            (
                f'What escapes is smaller than what is found ({small:.0f} pixels '
                f'against {large:.0f}): a larger img_scale may show it. This '
                'recommends one:',
                inspect,
            )
        )
    worst = worst_class(review, missed)
    if worst:
        said.append(
            (
                f'Most that escapes is {worst}: photograph and label more of it, or '
                'draw it more often. This shows what a quota by class gives:',
                inspect,
            )
        )
    if review.point.overkill.hits or missed:
        stopped = f'{review.point.overkill.hits:,} good parts are stopped'
        what = stopped if review.point.overkill.hits else 'Some defects are not learnt'
        said.append(
            (
                f'{what}: this lists the training images that look like a defect (what '
                'a person takes for good becomes the pool hard.txt) and the defects to '
                'draw more often (missed.txt):',
                f'{command} --split train',
            )
        )
    return said


def short_side(review: Review, numbers: Sequence[int]) -> float:
    """Median of the short sides of annotated boxes, in pixels; nan without any."""
    boxes = [review.images[n].boxes for n in numbers]
    if not boxes:
        return math.nan
    drawn = np.concatenate(boxes)
    return float(np.median((drawn[:, 2:] - drawn[:, :2]).min(1)))


def worst_class(review: Review, missed: Sequence[int]) -> str:
    """The class that escapes far more often than the others, or ''."""
    rates = {row.name: 1 - row.flagged.share for row in review.classes()}
    if len(rates) < 2 or not missed:
        return ''
    worst = max(rates, key=lambda name: rates[name])
    return worst if rates[worst] > MUCH * review.point.escape.share else ''


def next_week(review: Review, overkill: float, about: dict[str, str]) -> list:
    """The round of new photographs: what is done, and the command that does it."""
    point = review.point
    config, weights = shlex.quote(about['config']), shlex.quote(about['weights'])
    escape = max(math.ceil(100 * point.escape.share), 1)
    overkill = max(overkill, point.overkill.share)
    limits = f'escape<={escape}%@overkill<={100 * overkill:.3g}%'
    return [
        (
            'Let the detector look at the new photographs. Its page has the surest '
            'first, scores.csv all of them.',
            f'{about["command"]} --images NEW_PHOTOGRAPHS '
            f'--threshold {point.threshold}',
        ),
        (
            'Look through those that it flags and some that it does not. Label the '
            'defects, and add all to the annotation file, good parts too.',
            f'mmdefect check {config}',
        ),
        (
            'Train on from this checkpoint.',
            f'mim train mmdet {config} --work-dir NEXT '
            f'--cfg-options load_from={weights}',
        ),
        (
            'Compare both, and ship the new one only where it is no worse: the command '
            'ends with 1 where it is.',
            f"mmdefect review NEXT --against {weights} --require '{limits}'",
        ),
    ]
