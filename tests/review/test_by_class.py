"""A score for each class finds more where it can, and is not believed where not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmdefect.review.by_class import choose, crossed, sort
from mmdefect.review.operating import at_overkill, make_curve


def simulate(rng, defects, normals, bias):
    """Two classes of which the second is seen everywhere, with scores up to a bias."""
    is_defect = np.arange(defects + normals) < defects
    scores = rng.random((len(is_defect), 2)).astype(np.float32) * [0.3, bias]
    kind = rng.integers(2, size=defects)
    scores[np.arange(defects), kind] = (
        0.25 + 0.4 * rng.random(defects) + (kind * (bias - 0.3))
    )
    return scores.astype(np.float32), is_defect


def common(scores, is_defect, rate):
    return at_overkill(make_curve(scores.max(1), is_defect), rate)


GRID = st.lists(
    st.tuples(*[st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8])] * 3, st.booleans()),
    min_size=2,
    max_size=25,
)


@given(GRID, st.sampled_from([0.01, 0.1, 0.34]))
def test_all_classes_together_keep_the_overkill_and_miss_no_more_than_one_score(
    rows, rate
):
    scores = np.array([row[:3] for row in rows], np.float32)
    is_defect = np.array([row[3] for row in rows])
    is_defect[:2] = True, False
    done = sort(scores, is_defect, choose(scores, is_defect, rate))
    assert done.overkill.hits <= rate * done.overkill.total + 1e-9
    assert done.escape.hits <= common(scores, is_defect, rate).escape.hits


def test_a_cosmetic_class_does_not_set_the_score_of_a_dangerous_one():
    scores, is_defect = simulate(np.random.default_rng(0), 200, 400, 0.8)
    done = sort(scores, is_defect, choose(scores, is_defect, 0.02))
    assert done.escape.hits < 0.6 * common(scores, is_defect, 0.02).escape.hits


def test_what_is_told_of_it_holds_on_new_images():
    rng = np.random.default_rng(0)
    here, fresh, true = [], [], []
    for _ in range(30):
        scores, is_defect = simulate(rng, 40, 150, 0.5)
        cuts = choose(scores, is_defect, 0.02)
        here.append(sort(scores, is_defect, cuts).escape.hits / 40)
        fresh.append(crossed(scores, is_defect, 0.02).escape.hits / 40)
        new, kind = simulate(rng, 2000, 2000, 0.5)
        true.append(sort(new, kind, cuts).escape.hits / 2000)
    # On the images that chose them, the scores look better than they are.
    assert np.mean(here) < np.mean(true) - 0.01
    assert np.mean(fresh) == pytest.approx(np.mean(true), abs=0.04)


def test_a_part_chooses_no_score_that_judges_it(monkeypatch):
    # Each part has a score of its own, by which it is known.
    parts = np.repeat(np.arange(40), 3)
    scores = (1 + parts[:, None]).astype(np.float32) / 50
    is_defect = np.arange(120) % 60 < 20
    seen = []

    def choosing(chosen, kinds, rate):
        seen.append(len(np.unique(chosen)))
        return np.array([0.5])

    monkeypatch.setattr('mmdefect.review.by_class.choose', choosing)
    done = crossed(scores, is_defect, 0.02, parts)
    assert len(seen) == 5
    assert sum(seen) == 4 * 40
    assert (done.escape.parts, done.escape.total) == (14, 40)
