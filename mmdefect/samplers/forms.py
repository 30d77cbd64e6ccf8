"""Pools of images in other forms than they are stored in."""

from __future__ import annotations

from typing import Any, Container, Mapping

from mmdefect.checks.dataset import DATASET, WRAP, WRAPPER
from mmdefect.plan.quotas import LINE
from mmdefect.pools.forms import PASTED, Forms
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler


def versions_of(sampler: DefectPoolSampler) -> dict[str, int]:
    """What is added to the index of a normal image for it to come with a defect.

    Args:
        sampler (DefectPoolSampler): Knows the dataset, and the pools.

    Returns:
        dict[str, int]: By name of the form. A pool that is called so takes its place.
    """
    forms = getattr(sampler.dataset, 'forms', None)
    if not isinstance(forms, Forms):
        return {}
    return {
        name: forms.offset(name)
        for name in forms.names
        if name.startswith(PASTED) and name not in sampler.pools
    }


def check_forms(sampler: DefectPoolSampler, quota: Any, known: Container[str]) -> None:
    """Check that there is somebody who makes the images of a quota.

    Args:
        sampler (DefectPoolSampler): Knows the dataset, and the pools.
        quota (int | float | dict | None): The quota.
        known (Container[str]): Forms that there are.

    Raises:
        ValueError: If there is not.
    """
    if not isinstance(quota, Mapping) or PASTED not in quota:
        return
    if PASTED not in known and PASTED not in sampler.pools:
        raise ValueError(
            f'{LINE} names {PASTED!r}, images that {WRAPPER} makes, and there is none '
            f'around the dataset. Write into {DATASET.rpartition(".")[0]}: {WRAP}'
        )
