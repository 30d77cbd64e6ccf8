"""The course of a run: which plan holds from which step on."""

from __future__ import annotations

from typing import Mapping, NamedTuple, Sequence

import numpy as np

from mmdefect.plan.draws import Pool
from mmdefect.plan.plan import Plan
from mmdefect.plan.quotas import Quota


class FurtherPool(NamedTuple):
    """A pool whose images are found in the course of a run.

    Args:
        name (str): What it is called.
        images (int): Its images of a batch, or of ``over`` images.
        contents (Sequence[tuple[int, np.ndarray]]): Its indices from a step of the run
            on.
    """

    name: str
    images: int
    contents: Sequence[tuple[int, np.ndarray]]


def plans_of_run(
    plan: Plan,
    pools: Mapping[str, Pool],
    quota: Quota,
    milestones: Sequence[tuple[int, Quota]] | None,
    further: FurtherPool | None,
) -> list[tuple[int, Plan]]:
    """The plans of a run that begins with a quota, each with its first step."""
    quotas = {0: quota, **dict(milestones or ())}
    contents = dict(further.contents) if further else {}
    plans = []
    for step in sorted({*quotas, *contents}):
        quota = wanted = quotas.get(step, quota)
        if further:
            if step in contents:
                pools = {**pools, further.name: contents[step]}
            if len(pools.get(further.name, ())) and quota is not None:
                counts = plan.count_images(quota, pools)
                del counts['normal']
                wanted = {**counts, further.name: further.images}
        plan = plan.switch(wanted, step, pools)
        plans.append((step, plan))
    return plans
