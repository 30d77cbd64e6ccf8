"""Pools of images in other forms than they are stored in."""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

from mmdefect.checks.dataset import WRAP
from mmdefect.plan.plan import Plan
from mmdefect.plan.quotas import LINE
from mmdefect.pools.forms import COUNTEREXAMPLE, PASTED, forms_of
from mmdefect.pools.walk import DATASET, WRAPPER
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler


def versions_of(sampler: DefectPoolSampler) -> dict[str, int]:
    """What is added to the index of a normal image for it to come with a defect."""
    forms = forms_of(sampler.dataset)
    if forms is None:
        return {}
    pasted = (name for name in forms.names if name.startswith(PASTED))
    return {name: forms.offset(name) for name in pasted if name not in sampler.pools}


def drawn_forms(sampler: DefectPoolSampler, plan: Plan) -> set[str]:
    """The forms in which a plan draws images, besides as they are stored."""
    forms = forms_of(sampler.dataset)
    drawn = {share.pool for share in plan.shares} - set(sampler.pools)
    return drawn.intersection(forms.names) if forms else set()


def pools_of_forms(sampler: DefectPoolSampler, quota: Any) -> dict[str, np.ndarray]:
    """The pools that a quota asks for, of images in another form."""
    asked = set(quota) if isinstance(quota, Mapping) else set()
    asked = (asked & {PASTED, COUNTEREXAMPLE}) - set(sampler.pools)
    forms = forms_of(sampler.dataset)
    if not asked:
        return {}
    if forms is None:
        raise ValueError(
            f'{LINE} names {min(asked)!r}, images that {WRAPPER} makes, and there is '
            f'none around the dataset. Write into {DATASET.rpartition(".")[0]}: {WRAP}'
        )
    if COUNTEREXAMPLE not in asked:
        return {}
    images = sampler.dataset.counterexamples() + forms.offset(COUNTEREXAMPLE)
    return {COUNTEREXAMPLE: images}


def weights_of_forms(sampler: DefectPoolSampler) -> np.ndarray | None:
    """Weights of the images, and of the same images as counterexamples."""
    forms, weights = forms_of(sampler.dataset), sampler.weights
    if weights is None or forms is None:
        return weights
    padded = np.zeros(forms.offset(COUNTEREXAMPLE))
    padded[: len(weights)] = weights
    return np.append(padded, weights)
