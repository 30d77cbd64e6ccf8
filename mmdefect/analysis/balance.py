"""How often each class is drawn with each choice of weights, and which to take."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmdefect.pools.weights import BY_CLASS
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler
from mmdefect.samplers.draws import MANY_DRAWS

# From how many times as many images on, draws of a class need weights.
FACTOR = 10
SOURCE = (
    'Gupta et al., "LVIS: a dataset for large vocabulary instance segmentation", CVPR '
    f'2019: classes {FACTOR} times as rare (1 to 10, to 100, and more images) are '
    "detected worse and worse. QuotaMonitorHook's MANY_DRAWS is the limit"
)


class Balance(NamedTuple):
    """Draws in a whole run by choice of ``weights``: ``None``, the keys of BY_CLASS."""

    draws: dict[str, dict[str, float]]  # of images that show a class, by class
    most: dict[str, float]  # of the photograph that is drawn most
    advice: str  # as it is written in a config
    reason: str
    source: str = SOURCE


def balance(sampler: DefectPoolSampler, draws: float) -> Balance | None:
    """Compare the choices of weights."""
    pools, defect = sampler.pools, sampler.pools['defect']
    classes = {
        name: pools[name]
        for name in sampler.defect_classes
        if name in pools and name != 'normal' and len(pools[name])
    }
    if len(classes) < 2:
        return None
    photographs = sampler.photographs['defect']
    by_class: dict = {}
    most: dict = {}
    for choice in (None, *BY_CLASS):
        weights = np.ones(len(sampler.dataset))
        if choice is not None:
            weights = BY_CLASS[choice](classes, len(weights))
        weights *= draws * photographs / weights[defect].sum()
        by_class[str(choice)] = {
            name: float(weights[images].sum()) for name, images in classes.items()
        }
        # A wrapper may have repeated a photograph.
        most[str(choice)] = float(weights[defect].max()) * len(defect) / photographs
    sizes = {name: len(images) for name, images in classes.items()}
    rare, common = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    ratio = sizes[common] / sizes[rare]
    said = f'{common} is on {ratio:,.3g} times as many images as {rare}'
    if ratio <= FACTOR:
        return Balance(by_class, most, 'None', f'{said}, not more than {FACTOR}')
    advice = 'class_balanced'
    if most[advice] > MANY_DRAWS:
        advice = 'repeat_factor'
        said += (
            f'; to draw all classes equally often would draw an image '
            f'{most["class_balanced"]:,.0f} times'
        )
    return Balance(by_class, most, f"'{advice}'", said)
