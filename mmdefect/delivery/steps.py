"""The transforms of a pipeline, also those that others hold."""

from __future__ import annotations

import copy
from typing import Any, Callable, Iterable, Iterator

# Words in the names of transforms that may move a defect out of the image or hide it.
CUTTING = (
    *('Crop', 'Affine', 'Perspective', 'Shift', 'Translate', 'Shear', 'Rotate'),
    *('Augment', 'Albu', 'CutOut', 'Erasing'),
)


def steps_of(dataset: Any) -> list:
    """The transforms of a dataset.

    Args:
        dataset: A dataset with a pipeline.

    Returns:
        list[Callable]: In their order.
    """
    steps = getattr(dataset.pipeline, 'transforms', dataset.pipeline)
    return list(steps) if isinstance(steps, (list, tuple)) else [steps]


def reads_file(step: Any) -> bool:
    """Whether a transform reads the image file.

    Args:
        step: The transform.

    Returns:
        bool: True for ``LoadImageFromFile`` and what is derived from it.
    """
    return any(kind.__name__ == 'LoadImageFromFile' for kind in type(step).__mro__)


def split_at_loading(steps: list) -> tuple[list, list]:
    """The transforms that load an image and its annotations, and what follows.

    Args:
        steps (list[Callable]): The transforms of a pipeline.

    Returns:
        tuple[list, list]: All up to the last whose class is called ``Load...``, and the
        others.
    """
    loading = [
        number
        for number, step in enumerate(steps, 1)
        if any(kind.__name__.startswith('Load') for kind in type(step).__mro__)
    ]
    end = max(loading, default=0)
    return steps[:end], steps[end:]


def without_cutting(steps: Iterable[Callable]) -> Iterator[Callable]:
    """The transforms, without those that crop and mix.

    Args:
        steps (Iterable[Callable]): The transforms.

    Yields:
        Callable: Those that are left. Where one that is left out decides the size of
        the image, the image is shrunk to that size instead: a photograph in its full
        size may be too large for the model.
    """
    for step in steps:
        name = type(step).__name__
        if not hasattr(step, 'get_indexes') and not any(c in name for c in CUTTING):
            yield changed_inside(step, without_cutting)
            continue
        size = getattr(step, 'img_scale', None)
        if getattr(step, 'crop_type', None) == 'absolute':
            size = step.crop_size  # type: ignore[attr-defined]
        if size is not None:
            from mmdet.datasets.transforms import Resize

            yield Resize(scale=tuple(size), keep_ratio=True)


def changed_inside(step: Any, change: Callable[[list], Iterable[Callable]]) -> Any:
    """A transform, with the transforms changed that it holds.

    Args:
        step: Any transform. ``Compose``, ``RandomApply``, ``RandomChoice`` hold others.
        change (Callable): From a list of transforms to what takes its place.

    Returns:
        Callable: A copy, or the transform itself where it holds none.
    """
    inside = getattr(step, 'transforms', None)
    if inside is None:
        return step
    step = copy.copy(step)
    held = isinstance(inside, list)
    step.transforms = list(change(inside)) if held else changed_inside(inside, change)
    return step
