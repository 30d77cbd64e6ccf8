"""What an optimizer step holds: all ranks and all accumulated batches together."""

from __future__ import annotations

from math import gcd
from typing import Any, Mapping

from mmdefect.checks.finding import Finding
from mmdefect.plan.plan import Plan

LINE = 'optim_wrapper.accumulative_counts'


def accumulated_batches(cfg: Mapping[str, Any]) -> int:
    """Batches on each rank from one optimizer step to the next."""
    return (cfg.get('optim_wrapper') or {}).get('accumulative_counts', 1)


def describe_optimizer_step(plan: Plan, accumulated: int) -> str:
    """Say how many images an optimizer step holds, and how many for the quota."""
    images = plan.step_size * accumulated
    factors = [f'batch_size={plan.batch_size}']
    if plan.world_size > 1:
        factors.insert(0, f'{plan.world_size} ranks')
    if accumulated > 1:
        factors.append(f'accumulative_counts={accumulated}')
    drawn = images * _for_quota(plan)
    return (
        f'an optimizer step of {images:,} images ({" x ".join(factors)}) holds '
        f'{drawn / plan.group_size:,.4g} for the quota'
        + ' on average'
        * bool(drawn % plan.group_size)
    )


def check_optimizer_step(plan: Plan, accumulated: int) -> list[Finding]:
    """Check that an optimizer step holds whole groups of ``over`` images."""
    over = plan.group_size
    if not _for_quota(plan) or plan.step_size * accumulated % over == 0:
        return []
    return [
        Finding(
            LINE,
            describe_optimizer_step(plan, accumulated),
            f'the quota holds over={over} images, not in every optimizer step',
            f'accumulative_counts={over // gcd(over, plan.step_size)}',
            breaks=False,
        )
    ]


def _for_quota(plan: Plan) -> int:
    # Images of a group that are not what is left over for normal or all images.
    return sum(share.in_group for share in plan.shares[:-1])
