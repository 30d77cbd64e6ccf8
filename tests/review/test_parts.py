"""Photographs of one part are one piece of evidence, and stand together."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.config import ConfigDict

from mmdefect.analysis.errors import UnusableError
from mmdefect.metrics.image_score import Found
from mmdefect.metrics.parts import together
from mmdefect.review.findings import class_rows, curve_of, false_alarms, misses
from mmdefect.review.operating import (
    at_threshold,
    band,
    differences,
    make_curve,
)
from mmdefect.review.photographs import Photograph, Photographs, per_of
from mmdefect.review.requirement import judge, parse
from mmdefect.review.review import check_kinds


def test_pictures_of_a_part_stand_together():
    assert together([2, 0, 3, 1], ['a', 'b', 'a', 'c']) == [2, 0, 3, 1]
    assert together([2, 1, 0], ['a', 'b', 'a']) == [2, 0, 1]


def simulate(rng, parts=45, each=6, rate=0.3):
    """Scores of photographs of defect parts, most of which look alike."""
    hard = rng.beta(0.3, 0.3 * (1 - rate) / rate, parts)
    missed = rng.random((parts, each)) < hard[:, None]
    scores = np.where(missed, 0.05, 0.8).ravel().astype(np.float32)
    normals = np.full(30, 0.1, np.float32)
    which = np.append(np.repeat(np.arange(parts), each), parts + np.arange(30))
    scores = np.append(scores, normals)
    return scores, np.arange(len(scores)) < parts * each, which


def test_the_interval_of_45_parts_of_6_photographs_covers_the_true_escape():
    rng = np.random.default_rng(0)
    held = np.zeros(2)
    rounds = 400
    for _ in range(rounds):
        scores, is_defect, parts = simulate(rng)
        point = at_threshold(make_curve(scores, is_defect, parts), 0.5)
        naive = at_threshold(make_curve(scores, is_defect), 0.5)
        for n, one in enumerate((point, naive)):
            low, high = one.escape.interval()
            held[n] += low <= 0.3 <= high
    by_part, by_photograph = held / rounds
    assert 0.93 <= by_part <= 0.98
    assert by_photograph < 0.8


def test_a_gate_and_a_proof_count_parts():
    scores, is_defect, parts = simulate(np.random.default_rng(0))
    parts[is_defect.sum() :] = 10**6  # one part shown 30 times
    curve = make_curve(scores, is_defect, parts)
    assert (curve.escape.parts, curve.overkill.parts) == (45, 1)
    assert curve.overkill.provable > 0.9
    text = 'overkill<=0.2@escape<=0.9'
    assert not judge(parse(text), curve, confident=True).met
    assert judge(parse(text), make_curve(scores, is_defect), confident=True).met


def test_the_band_and_a_comparison_redraw_parts():
    rng = np.random.default_rng(0)
    scores, is_defect, parts = simulate(rng)
    wide, narrow = (
        np.ptp(band(make_curve(scores, is_defect, one), np.array([0.1])), axis=0)
        for one in (parts, None)
    )
    assert wide[0] > 1.5 * narrow[0]
    other = np.where(is_defect & (parts % 3 > 0), np.float32(0.05), scores)
    wide, narrow = (
        differences(scores, other, is_defect, one)[-1] for one in (parts, None)
    )
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)


def test_a_review_decides_on_parts_where_the_metric_does():
    cfg = ConfigDict(
        val_evaluator=[dict(type='CocoMetric'), dict(type='DefectImageMetric')]
    )
    assert per_of(cfg, 'val') == 'photograph'
    cfg.val_evaluator[1].per = 'part'
    assert (per_of(cfg, 'val'), per_of(cfg, 'train')) == ('part', 'photograph')
    box, none = np.array([[0.0, 0, 9, 9]]), np.zeros((0, 4))
    scores = dict(a0=0.1, a1=0.8, b0=0.1, b1=0.2, c0=0.6, c1=0.05, b2=0.9)
    images, found = [], []
    for name, score in scores.items():
        shown = box if name in ('a0', 'a1', 'b0', 'b1') else none
        labels = np.zeros(len(shown), int)
        images.append(Photograph(name, shown, labels, none, {}, name[0], 'part'))
        one = np.array([score], np.float32)
        found.append(Found(box.astype(np.float32), np.array([0]), one))
    point = at_threshold(curve_of(images, found), 0.5)
    assert point.escape == (0, 2, 2, 2)
    assert point.overkill == (1, 1, 1, 1)
    # A defect that one view does not show is seen on another of its part.
    assert misses(images, found, 0.85) == [0, 1]
    assert misses(images, found, 0.5) == []
    assert false_alarms(images, found, 0.5) == [4]
    (row,) = class_rows(images, found, 0.5, ['crack'], [0])
    assert row.flagged.total == 2
    photographs = Photographs(images[:4], ('crack',), [0], [])
    with pytest.raises(UnusableError, match='a photograph of a normal part'):
        check_kinds(photographs, 'val')
    # A part with a defect has no normal side, whatever another view shows.
    both = [images[0], images[6]._replace(part='a')]
    photographs = Photographs(both, ('crack',), [0], [])
    with pytest.raises(UnusableError, match='a photograph of a normal part'):
        check_kinds(photographs, 'val')
