"""What batches depend on, and where a saved iteration goes on with other batches."""

from __future__ import annotations

import zlib
from typing import Any, Mapping, Sequence

from mmdefect.plan.plan import Plan
from mmdefect.pools.forms import COUNTEREXAMPLE
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler
from mmdefect.samplers.ranks import differing_settings

GROUP = 'images per group'
EPOCH = 'groups per epoch'
# What version 0.1 called them, where every group was a step.
RENAMED = {'images per step over all ranks': GROUP, 'steps per epoch': EPOCH}


def checksum(sampler: DefectPoolSampler) -> int:
    """A checksum of the indices in the pools, and of the weights."""
    arrays = [pool for _, pool in sorted(sampler.pools.items())]
    if sampler.weights is not None:
        arrays.append(sampler.weights)
    digest = 0
    for array in arrays:
        digest = zlib.crc32(array.data, digest)
    return digest


def fingerprint(
    sampler: DefectPoolSampler, digest: int, plans: Sequence[Plan]
) -> dict[str, Any]:
    """All that the images of a group depend on."""
    plan = plans[0]
    further = {}
    if COUNTEREXAMPLE in plan.pools and COUNTEREXAMPLE not in sampler.pools:
        images: Any = plan.pools[COUNTEREXAMPLE]
        further[f'{COUNTEREXAMPLE} images (checksum)'] = zlib.crc32(images.data)
    return {
        'images': len(sampler.dataset),
        'pools': {name: len(pool) for name, pool in sampler.pools.items()},
        'indices in the pools (checksum)': digest,
        GROUP: [
            [plan.first_group, {s.pool: s.in_group for s in plan.shares}]
            for plan in plans
        ],
        'draws': {share.pool: share.draw for share in plan.shares},
        EPOCH: plan.num_groups,
        'drop_last': plan.drop_last,
        'seed': plan.seed,
        **further,
    }


def upgraded(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state in today's form."""
    missing = {'epoch', 'step', 'fingerprint'} - set(state)
    if missing:
        raise ValueError(
            f'no state of QuotaBatchSampler: {", ".join(sorted(missing))} missing'
        )
    settings = {RENAMED.get(key, key): x for key, x in state['fingerprint'].items()}
    step_size = sum(settings[GROUP][0][1].values())
    old = {'step_size': step_size, 'num_batches': settings.get(EPOCH)}
    return {**old, **state, 'fingerprint': settings}


def after_iterations(state: Mapping[str, Any], iterations: int) -> dict[str, Any]:
    """The state of the same run after another number of iterations."""
    state = upgraded(state)
    epoch, step = divmod(iterations, state['num_batches'])
    return {**state, 'epoch': epoch, 'step': step}


def place_in(plan: Plan, now: Mapping[str, Any], state: Mapping[str, Any]) -> tuple:
    """Where a saved iteration goes on, in other batches perhaps."""
    state = upgraded(state)
    then = state['fingerprint']
    if 'cycles' not in then['draws'].values():  # nothing goes on from epoch to epoch
        now = {key: value for key, value in now.items() if key != EPOCH}
    differ = differing_settings('then', then, 'now', now)
    if differ:
        fix = _fitting_group(then[GROUP], now[GROUP])
        if now['seed'] != then['seed']:
            fix += f'Set train_dataloader.sampler.seed={then["seed"]}. '
        raise ValueError(
            f'the state belongs to other batches: {differ}. {fix}'
            'Restore the data and train_dataloader as they were, or start anew'
        )
    if state['step'] == state['num_batches']:
        return state['epoch'], len(plan)
    images = state['step'] * state['step_size']
    step, inside = divmod(images, plan.step_size)
    if inside:
        raise ValueError(
            f'the state was saved after {images:,} images of its epoch, inside a step '
            f'of {plan.world_size} ranks x batch_size={plan.batch_size} images. Go on '
            f'with steps of {state["step_size"]}, as they were: set '
            'train_dataloader.batch_size or the number of ranks'
        )
    return state['epoch'], min(step, len(plan))


def _fitting_group(then: Sequence, now: Sequence) -> str:
    # What to set where all is the same but the number of images that a group has.
    ratios = {
        count / counts_now.get(pool, count)
        for (_, counts), (_, counts_now) in zip(then, now)
        for pool, count in counts.items()
    }
    if len(ratios) != 1 or ratios == {1}:
        return ''
    counts = dict(then[0][1])
    size = sum(counts.values())
    plain = counts.pop('normal', None) is None
    quota = counts if counts.keys() - {'defect'} else counts.get('defect', 0)
    return (
        'On any number of ranks, in batches of any size, they go on with '
        f'over={size}, quota={None if plain else quota} in '
        'train_dataloader.batch_sampler. '
    )
