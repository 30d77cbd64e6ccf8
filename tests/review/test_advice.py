"""The page says what to do next about what escapes and what is stopped."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from mmdefect.commands import review as command
from mmdefect.metrics.image_score import Found
from mmdefect.review.advice import next_week, steps
from mmdefect.review.judging import about_of
from mmdefect.review.photographs import Photograph, Photographs
from mmdefect.review.predictions import Predictions
from mmdefect.review.requirement import parse
from mmdefect.review.review import make_review

NONE = np.zeros((0, 4))


def review_of(rows, threshold=0.5):
    """A review of images, each (label or None, side of its box, score)."""
    images, found = [], []
    for number, (label, side, score) in enumerate(rows):
        box = np.array([[10.0, 10, 10 + side, 10 + side]])
        shown = (NONE, []) if label is None else (box, [label])
        labels = np.array(shown[1], int)
        images.append(Photograph(f'{number}.png', shown[0], labels, NONE, {}))
        scores = np.array([score], np.float32)
        found.append(Found(box, np.array([label or 0]), scores))
    photographs = Photographs(images, ('scratch', 'pit'), [0, 1], [])
    return make_review('it', 'val', photographs, found, 0.01, threshold)


def test_results_of_another_engine_are_no_weights_to_go_on_with():
    engine = Predictions.__new__(Predictions)
    engine.config, engine.checkpoint = Path('config.py'), Path('int8.json')
    about = about_of(engine)
    assert about['weights'] == 'CHECKPOINT'
    assert about['command'] == 'mmdefect review config.py CHECKPOINT'


def told(review):
    return ' '.join(map(' '.join, steps(review, 'config.py', 'mmdefect review it')))


def test_what_escapes_for_being_small_is_told_with_a_way_to_a_larger_scale():
    rows = [(0, 8, 0.1)] * 3 + [(0, 40, 0.9)] * 5 + [(None, 9, 0.1)] * 9
    assert 'smaller than what is found (8 pixels against 40)' in told(review_of(rows))
    rows = [(0, 40, 0.1)] * 3 + rows[3:]
    assert 'smaller' not in told(review_of(rows))


def test_the_class_that_escapes_most_is_named():
    rows = [(1, 9, 0.1)] * 3 + [(0, 9, 0.9)] * 5 + [(None, 9, 0.1)] * 9
    assert 'Most that escapes is pit' in told(review_of(rows))
    rows = [(0, 9, 0.1), (1, 9, 0.1), (0, 9, 0.9), (1, 9, 0.9), (None, 9, 0.1)]
    assert 'Most that escapes' not in told(review_of(rows))


def test_good_parts_that_are_stopped_lead_to_hard_normal_images():
    rows = [(0, 9, 0.9)] * 5 + [(None, 9, 0.8)] * 2 + [(None, 9, 0.1)] * 9
    said = told(review_of(rows))
    assert '2 good parts are stopped' in said
    assert 'mmdefect review it --split train' in said


@pytest.mark.parametrize('weights', ['best.pth', 'CHECKPOINT'])
@pytest.mark.parametrize('missed', [0, 1])
def test_every_command_of_next_week_can_be_run(missed, weights, tmp_path):
    rows = [(0, 9, 0.1)] * missed + [(0, 9, 0.9)] * 5 + [(None, 9, 0.1)] * 9
    command_line = f'mmdefect review config.py {weights}'
    about = dict(config='config.py', weights=weights, command=command_line)
    *_, (_, gate) = week = next_week(review_of(rows), 0.01, about)
    assert [code.split()[0] for _, code in week] == ['mmdefect'] * 2 + [
        'mim',
        'mmdefect',
    ]
    (tmp_path / 'NEXT').mkdir()
    (tmp_path / 'NEW_PHOTOGRAPHS').mkdir()
    for code in (week[0][1], gate):
        words = shlex.split(code)[2:]
        words = [
            str(tmp_path / w) if w in ('NEXT', 'NEW_PHOTOGRAPHS') else w for w in words
        ]
        args = command.parse_args(words)
    assert parse(args.require[0]).limit == pytest.approx(0.17 if missed else 0.01)
