"""A person is led to the images that matter, and to labels that are wrong."""

from __future__ import annotations

import itertools

import numpy as np

from mmdefect.metrics.image_score import Found
from mmdefect.review.findings import (
    by_turns,
    class_rows,
    false_alarms,
    label_suspects,
    misses,
    normal_suspects,
)
from mmdefect.review.photographs import photograph_of

NUMBERS = itertools.count()
CLASSES = ('crack', 'dent', 'stain')
HERE, NEARLY, THERE = [10, 10, 30, 30], [11, 11, 31, 31], [60, 60, 80, 80]


def image(*rows, labels=(0, 1)):
    """Rows of (box, label) or (box, label, ignored)."""
    instances = [
        dict(bbox=box, bbox_label=label, ignore_flag=int(bool(rest)))
        for box, label, *rest in rows
    ]
    return photograph_of(
        dict(img_path=f'{next(NUMBERS)}.png', instances=instances), labels
    )


def found(*rows):
    """Rows of (box, label, score), the surest first."""
    return Found(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], int),
        np.array([row[2] for row in rows], np.float32),
    )


IMAGES = [
    image((HERE, 0)),
    image((HERE, 0), (THERE, 1)),
    image((HERE, 1)),
    image(),
    image(),
    image((HERE, 2), (THERE, 0, 'ignored')),
    image(),
]
FOUND = [
    found((NEARLY, 0, 0.9)),
    found((HERE, 1, 0.8), (THERE, 1, 0.7), (HERE, 0, 0.1)),
    found(),
    found((HERE, 0, 0.95)),
    found((THERE, 1, 0.2)),
    found((HERE, 0, 0.85), (THERE, 0, 0.84)),
    found(),
]


def test_misses_and_false_alarms_are_sorted_the_worst_first():
    assert misses(IMAGES, FOUND, 0.5) == [2]
    assert misses(IMAGES, FOUND, 0.85) == [2, 1]
    assert false_alarms(IMAGES, FOUND, 0.5) == [3, 5]
    assert false_alarms(IMAGES, FOUND, 0.2) == [3, 5, 4]


def test_normal_images_are_suspected_where_anything_is_seen():
    assert normal_suspects(IMAGES, FOUND, 9) == [3, 5, 4]
    assert normal_suspects(IMAGES, FOUND, 2) == [3, 5]


def test_a_defect_that_nobody_labelled_and_one_of_another_class_are_told():
    told = {s.number: s.why for s in label_suspects(IMAGES, FOUND, 0.5, CLASSES)}
    # What is annotated as ignored, or as something else, is not overlooked.
    assert told == {3: 'crack not annotated', 1: 'annotated crack, seen as dent'}


def test_no_label_is_doubted_where_the_detector_is_not_sure():
    assert label_suspects(IMAGES, FOUND, 0.96, CLASSES) == []
    assert label_suspects(IMAGES[3:], FOUND[3:], 0.1, CLASSES) == []


def test_a_class_has_the_images_and_boxes_of_a_count_by_hand():
    crack, dent = class_rows(IMAGES, FOUND, 0.5, CLASSES, [0, 1])
    assert tuple(crack.as_dict().values()) == ('crack', 2, 2, 2, 1, 'dent')
    assert tuple(dent.as_dict().values()) == ('dent', 2, 1, 2, 1, '')
    none = class_rows(IMAGES, FOUND, 1.0, CLASSES, [0, 1])
    assert [(r.flagged.hits, r.found[:2], r.confused) for r in none] == [
        (0, (0, 2), '')
    ] * 2


def test_no_ranking_has_to_wait_for_the_end_of_another():
    assert by_turns([5, 1, 2], [1, 7]) == [5, 1, 7, 2]
    assert by_turns([5, 1, 2], []) == [5, 1, 2]


def test_a_box_without_area_makes_no_defect_image():
    assert not image(([10, 10, 10, 30], 0)).is_defect
    assert image(([10, 10, 10, 30], 0), (HERE, 0)).labels.tolist() == [0]
