"""What the monitor counts over, where a quota goes over several batches."""

from __future__ import annotations

import pytest
import torch

from mmdefect.hooks.counters import Interval


def count(interval, first, *delivered):
    for step, number in enumerate(delivered, first):
        interval.add_batch(number, step)
    return interval


def test_an_interval_tells_of_the_groups_that_have_ended_and_keeps_the_others():
    interval = count(Interval(['crack'], batches=3, steps=3), 0, 1, 1, 0, 1, 0)
    interval.classes['crack'] += 3
    figures = interval.figures()
    assert (figures['delivered'], figures['min']) == (2, 2)
    assert figures['crack'] == pytest.approx(3 / 5 * 3)
    following = count(interval.next(), 5, 0)
    figures = following.figures()
    assert (figures['delivered'], figures['min']) == (1, 1)
    assert figures['crack'] == 0


def test_an_interval_inside_a_group_tells_of_none():
    figures = count(Interval([], batches=8, steps=8), 0, 1, 1).figures()
    assert figures == {'added': 0}


def test_what_is_left_of_a_group_after_resuming_is_not_taken_for_all_of_it():
    interval = count(Interval([], batches=4, steps=4), 2, 0, 1, 1, 1, 1, 0)
    assert interval.figures()['min'] == 3


def test_each_batch_counts_for_itself_where_each_has_its_quota():
    figures = count(Interval([]), 5, 3, 2, 3, 3).figures()
    assert (figures['delivered'], figures['min']) == (2.75, 2)


def test_groups_are_counted_over_the_ranks_that_share_them(monkeypatch):
    # Two ranks, three steps: groups of four batches in two steps each.
    other = [1, 0, 5]
    monkeypatch.setattr(
        'mmdefect.hooks.counters.all_gather',
        lambda own: [own, torch.tensor(other[: len(own)])],
    )
    figures = count(Interval([], batches=4, steps=2), 0, 2, 0, 7).figures()
    assert (figures['delivered'], figures['min']) == (3, 3)
    # And groups of two batches side by side.
    figures = count(Interval([], batches=2, steps=1), 0, 2, 0, 7).figures()
    assert (figures['delivered'], figures['min']) == (5, 0)
