"""A score for each class, all under one overkill of the whole.

The scores are chosen on the images that they are told of, several at once, so they look
better there than they are. What they are worth is told by images that chose nothing:
each fifth is judged with the scores that the other four fifths choose.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from mmdefect.metrics.image_score import Found
from mmdefect.metrics.rates import allowed, percent, percent_range, shortest_between
from mmdefect.review import operating
from mmdefect.review.findings import decided, decisions, defects_among, parts_among
from mmdefect.review.operating import Point
from mmdefect.review.photographs import Photographs

FEW = 10  # images of a class below which no score can be chosen for it
FOLDS = 5
OTHERS = 'all others'


class ByClass(NamedTuple):
    """What a score for each class does."""

    # By overkill rate and class, the score to set; infinite where no box of a class is
    # to flag its image.
    scores: dict[float, dict[str, float]]
    overkill: float  # the rate that is looked at
    here: Point  # what its scores do on the images that chose them
    fresh: Point  # what they do on images that chose nothing
    common: Point  # what one score for all does on such images
    few: list[str]  # classes of too few images, which share a score

    def as_dict(self) -> dict:
        """For JSON, which has no infinity."""
        counts = {
            k: v.as_dict() if isinstance(v, Point) else v
            for k, v in self._asdict().items()
        }
        scores = {
            rate: {name: one if np.isfinite(one) else None for name, one in row.items()}
            for rate, row in self.scores.items()
        }
        return dict(counts, scores=scores)

    def __str__(self) -> str:
        """What is to be known of it, in short sentences."""
        said = []
        if self.few:
            said.append(
                f'Of {", ".join(self.few)} there are fewer than {FEW} defect images, '
                'too few to choose a score: they share one.'
            )
        if len(self.scores[self.overkill]) < 2:
            return ' '.join([*said, 'So one score for all stays.'])
        fresh, common = self.fresh, self.common
        said.append(
            f'With a score for each class, {fresh.escape.hits:,} of '
            f'{fresh.escape.total:,} defects escape ({percent(fresh.escape.share)}; on '
            f'new parts {percent_range(fresh.escape.interval())}) and '
            f'{fresh.overkill.hits:,} of {fresh.overkill.total:,} good parts are '
            'stopped, on images that did not choose the scores; with one score for all '
            f'{common.escape.hits:,} and {common.overkill.hits:,}.'
        )
        if fresh.escape.hits >= common.escape.hits:
            said.append('So these images do not show that it is worth it.')
        return ' '.join(said)


def by_class(
    photographs: Photographs, found: Sequence[Found], overkill: float
) -> ByClass:
    """Choose a score for each class, at each overkill rate of the table."""
    groups, few = groups_of(photographs)
    images, scores = photographs.images, best_scores(found, list(groups.values()))
    once = decisions(images)
    scores = decided(images, scores)[once]
    is_defect = decided(images, defects_among(images))[once]
    parts = parts_among([images[n] for n in once])
    rates = sorted({*operating.RATES, overkill})
    cuts = {rate: choose(scores, is_defect, rate) for rate in rates}
    return ByClass(
        {rate: dict(zip(groups, one.tolist())) for rate, one in cuts.items()},
        overkill,
        sort(scores, is_defect, cuts[overkill], parts),
        crossed(scores, is_defect, overkill, parts),
        crossed(scores.max(1, keepdims=True), is_defect, overkill, parts),
        few,
    )


def groups_of(photographs: Photographs) -> tuple[dict[str, list[int]], list[str]]:
    """Labels that share a score, by name, and the classes of too few images."""
    names = photographs.classes
    shown = [set(image.labels.tolist()) for image in photographs.images]
    images = {n: sum(n in one for one in shown) for n in photographs.defect_labels}
    few = [label for label, number in images.items() if number < FEW]
    groups = {names[label]: [label] for label in images if label not in few}
    if few:
        groups[OTHERS] = few
    return groups, [names[label] for label in few]


def best_scores(found: Sequence[Found], groups: Sequence[list[int]]) -> np.ndarray:
    """The highest score of each image in each group of classes, (images, groups)."""
    return np.array(
        [
            [
                one.scores[np.isin(one.labels, group)].max(initial=np.float32(0))
                for group in groups
            ]
            for one in found
        ],
        np.float32,
    )


def choose(scores: np.ndarray, is_defect: np.ndarray, rate: float) -> np.ndarray:
    """Scores to set, (groups,): step by step that which finds most for what it stops.

    A score for all is taken where it finds as many.
    """
    budget = int(allowed(rate, (~is_defect).sum()))
    cuts = scores.max(0)  # the score of a group that is just not flagged
    while True:
        flagged = (scores > cuts).any(1)
        left = budget - int((flagged & ~is_defect).sum())
        steps = []
        for group in range(scores.shape[1]):
            normals = np.sort(scores[~is_defect & ~flagged, group])[::-1]
            defects = np.sort(scores[is_defect & ~flagged, group])
            lows = np.unique(np.append(normals[: left + 1], np.float32(0)))
            cost = (normals[:, None] > lows).sum(0)
            gain = len(defects) - np.searchsorted(defects, lows, 'right')
            possible = (cost <= left) & (gain > 0) & (lows < cuts[group])
            for n in np.flatnonzero(possible):
                worth = gain[n] / cost[n] if cost[n] else np.inf
                steps.append((worth, int(gain[n]), group, lows[n]))
        if not steps:
            break
        *_, group, low = max(steps)
        cuts[group] = low
    chosen = np.array([between(scores[:, n], cut) for n, cut in enumerate(cuts)])
    curve = operating.make_curve(scores.max(1), is_defect)
    one = operating.at_overkill(curve, rate)
    if one.escape.hits <= sort(scores, is_defect, chosen).escape.hits:
        return np.full(scores.shape[1], one.threshold)
    return chosen


def between(scores: np.ndarray, cut: np.float32) -> float:
    """A short number above a score and not above the next."""
    above = scores[scores > cut]
    return shortest_between(cut, above.min()) if len(above) else float('inf')


def sort(
    scores: np.ndarray,
    is_defect: np.ndarray,
    cuts: np.ndarray,
    parts: np.ndarray | None = None,
) -> Point:
    """What scores to set, (groups,) or for each image, do on images."""
    flagged: Any = (scores >= cuts.astype(np.float32)).any(1)
    return operating.point_of(float('nan'), flagged, is_defect, parts)


def crossed(
    scores: np.ndarray,
    is_defect: np.ndarray,
    rate: float,
    parts: np.ndarray | None = None,
) -> Point:
    """What scores do on images that did not choose them, each image once."""
    draw = np.random.default_rng(0)
    parts = np.arange(len(scores)) if parts is None else parts
    fold, cuts = np.empty(len(scores), int), np.empty(scores.shape)
    with_defect = np.isin(parts, parts[is_defect])
    for kind in (with_defect, ~with_defect):  # a part stands in one fold
        _, which = np.unique(parts[kind], return_inverse=True)
        fold[kind] = draw.permutation(np.arange(len(which)) % FOLDS)[which]
    for n in range(FOLDS):
        cuts[fold == n] = choose(scores[fold != n], is_defect[fold != n], rate)
    return sort(scores, is_defect, cuts, parts)
