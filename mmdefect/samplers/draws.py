"""How often an image is drawn in a training."""

from __future__ import annotations

from mmdefect.pools.pools import RESERVED
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler

# MMDetection's longest stock schedules (YOLOX, RTMDet) train 300 epochs: no image is
# shown to a model more often. Beyond that, few images are learned by heart: new images
# were ranked a little worse from there on (configs/README.md, "Choosing a quota").
MANY_DRAWS = 300


def defect_pools(batch_sampler: QuotaBatchSampler) -> list[str]:
    """Names of the pools whose images show a defect: ``defect`` and each class."""
    classes = batch_sampler.sampler.defect_classes
    return ['defect', *(name for name in classes if name not in RESERVED)]


def draws_per_image(batch_sampler: QuotaBatchSampler, steps: int) -> dict[str, float]:
    """How often a photograph of each defect pool is drawn, on average."""
    plans = batch_sampler.plans
    ends = [first for first, _ in plans[1:]] + [steps]
    names = defect_pools(batch_sampler)
    draws = dict.fromkeys(names, 0.0)
    for (first, plan), end in zip(plans, ends):
        steps_of_plan = max(min(end, steps) - first, 0)
        groups = steps_of_plan * plan.step_size / plan.group_size
        drawn = {share.pool: groups * share.in_group for share in plan.shares}
        for name in names:
            for pool in (name, 'all'):
                size = max(batch_sampler.sampler.photographs[pool], 1)
                draws[name] += drawn.get(pool, 0) / size
    return draws


def steps_below(batch_sampler: QuotaBatchSampler, pool: str, steps: int) -> int:
    """How long a training may be, for no photograph to be drawn too often."""
    most = 0
    while steps - most > 1:
        middle = (most + steps) // 2
        if draws_per_image(batch_sampler, middle)[pool] <= MANY_DRAWS:
            most = middle
        else:
            steps = middle
    return most
