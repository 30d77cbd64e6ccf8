"""What the log says of the batches when training starts."""

from __future__ import annotations

import logging
from typing import Any

from mmengine.logging import print_log

from mmdefect.checks.dataset import check_dataset
from mmdefect.checks.pools import check_draws
from mmdefect.plan.plan import Plan
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler


def announce(batch_sampler: Any) -> None:
    """Log what the batches are made of, and warn of what speaks against it."""
    sampler, missing = batch_sampler.sampler, batch_sampler.never_drawn()
    print_log(summarize(sampler, batch_sampler.plan), logger='current')
    found = [*check_draws(batch_sampler), *check_dataset(sampler.dataset)]
    warnings = list(map(str, found))
    if missing:
        warnings.insert(
            0,
            'never drawn, because no quota reaches them: '
            + ', '.join(f'{count:,} {name}' for name, count in missing.items())
            + ' images; name their pools in train_dataloader.batch_sampler.quota',
        )
    for warning in warnings:
        print_log(warning, logger='current', level=logging.WARNING)


def summarize(sampler: DefectPoolSampler, plan: Plan) -> str:
    """One line on what a user got."""
    number = sampler.photographs
    share = number['defect'] / number['all']
    images = (
        f'{number["normal"]:,} normal + {number["defect"]:,} defect images '
        f'({_percent(share, 1)})'
    )
    if number['all'] < len(sampler.dataset):
        images += f', repeated to {len(sampler.dataset):,}'
    for what, count in sampler.annotated_normals.items():
        images += f', {count:,} normal with {what} only'
    *drawn, rest = plan.shares
    content = ' + '.join(f'{share.images} {share.pool}' for share in [rest, *drawn])
    on_ranks = f' on each of {plan.world_size} ranks' if plan.world_size > 1 else ''
    if plan.over:
        batches = f'every {plan.over} images = {content}, {_batches_of_group(plan)}'
        batches += f'; {len(plan):,} batches per epoch{on_ranks}'
        unit = 'groups'
    else:
        batches = f'each batch of {plan.batch_size}{on_ranks} = {content}'
        batches += f'; {len(plan):,} batches per epoch'
        unit = 'batches'
    draws = [
        f'each {share.pool} image drawn about '
        f'{share.in_group * plan.num_groups / number[share.pool]:,.3g} times per epoch'
        for share in drawn
        if share.pool in number
    ]
    stock = len(sampler.pools['defect']) / len(sampler.dataset)
    none = _percent((1 - stock) ** (plan.over or plan.batch_size))
    without = f'without a quota {none} of {unit} would hold no defect'
    return '; '.join([images, batches, *draws, without])


def _batches_of_group(plan: Plan) -> str:
    number = plan.group_size // plan.batch_size
    ranks = min(plan.world_size, number)
    said = f'in {number} batches of {plan.batch_size}'
    if ranks > 1 and plan.group_steps > 1:
        said += f' ({ranks} ranks x {plan.group_steps} steps)'
    others = sum(share.in_group for share in plan.shares[:-1])
    if others:
        least, more = divmod(others, number)
        said += f' with {least}{f" or {least + 1}" if more else ""} not normal'
    return said


def _percent(share: float, digits: int = 0) -> str:
    return f'{100 * share:.{digits}f} %'
