"""What an optimizer step holds of a quota that goes over several batches."""

from __future__ import annotations

import pytest

from mmdefect.checks.optimizer_step import (
    accumulated_batches,
    check_optimizer_step,
    describe_optimizer_step,
)
from mmdefect.plan.plan import Plan

POOLS = dict(
    normal=range(1000),
    defect=range(1000, 1010),
    crack=range(1000, 1005),
    dent=range(1005, 1010),
    all=range(1010),
)


@pytest.mark.parametrize(
    ('settings', 'accumulated', 'said'),
    [
        (dict(quota=3, batch_size=8), 1, '8 images (batch_size=8) holds 3 for'),
        (
            dict(quota=3, batch_size=8, world_size=4),
            1,
            '32 images (4 ranks x batch_size=8) holds 12 for the quota',
        ),
        (
            dict(quota=2, batch_size=2, over=8, world_size=4),
            1,
            '8 images (4 ranks x batch_size=2) holds 2 for the quota',
        ),
        (
            dict(quota=dict(crack=2, dent=1), batch_size=1, over=8),
            8,
            '8 images (batch_size=1 x accumulative_counts=8) holds 3 for the quota',
        ),
        (
            dict(quota=0.1, batch_size=4, over=20, world_size=5),
            2,
            '40 images (5 ranks x batch_size=4 x accumulative_counts=2) holds 4 for',
        ),
        (dict(quota=None, batch_size=2, over=8), 1, 'holds 0 for the quota'),
    ],
    ids=str,
)
def test_an_optimizer_step_that_holds_the_quota_is_described(
    settings, accumulated, said
):
    plan = Plan(POOLS, **settings)
    assert said in describe_optimizer_step(plan, accumulated)
    assert check_optimizer_step(plan, accumulated) == []


@pytest.mark.parametrize(
    ('settings', 'accumulated', 'said', 'cure'),
    [
        (dict(quota=2, batch_size=2, over=8), 1, '(batch_size=2) holds 0.5 for', 4),
        (
            dict(quota=2, batch_size=2, over=8, world_size=2),
            1,
            '4 images (2 ranks x batch_size=2) holds 1 for the quota',
            2,
        ),
        (dict(quota=3, batch_size=2, over=8), 3, 'holds 2.25 for the quota on', 4),
    ],
    ids=str,
)
def test_an_optimizer_step_without_the_whole_quota_is_told_with_the_cure(
    settings, accumulated, said, cure
):
    plan = Plan(POOLS, **settings)
    (finding,) = check_optimizer_step(plan, accumulated)
    assert said in finding.what
    assert not finding.breaks
    assert finding.fix == f'accumulative_counts={cure}'
    assert check_optimizer_step(plan, cure) == []


def test_accumulated_batches_are_read_where_mmengine_reads_them():
    assert accumulated_batches(dict(optim_wrapper=dict(accumulative_counts=4))) == 4
    assert accumulated_batches(dict(optim_wrapper=None)) == 1
    assert accumulated_batches({}) == 1
