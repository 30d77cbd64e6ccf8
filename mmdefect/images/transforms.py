"""The transforms of a pipeline, also those that others hold."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import Any, Callable, Iterable, Iterator, Sequence

# Words in the names of transforms that may move a defect out of the image or hide it.
CUTTING = (
    *('Crop', 'Affine', 'Perspective', 'Shift', 'Translate', 'Shear', 'Rotate'),
    *('Augment', 'Albu', 'CutOut', 'Erasing'),
)


def steps_of(dataset: Any) -> list:
    """The transforms of a dataset."""
    return steps_in(dataset.pipeline)


def steps_in(pipeline: Any) -> list:
    """The transforms of a pipeline."""
    steps = getattr(pipeline, 'transforms', pipeline)
    return list(steps) if isinstance(steps, (list, tuple)) else [steps]


def reads_file(step: Any) -> bool:
    """Whether a transform reads the image file."""
    return any(kind.__name__ == 'LoadImageFromFile' for kind in type(step).__mro__)


def split_at_loading(steps: Sequence[Callable]) -> tuple[Sequence, Sequence]:
    """The transforms that load an image and its annotations, and what follows."""
    loading = [
        number
        for number, step in enumerate(steps, 1)
        if any(kind.__name__.startswith('Load') for kind in type(step).__mro__)
    ]
    end = max(loading, default=0)
    return steps[:end], steps[end:]


def without_cutting(steps: Iterable[Callable]) -> Iterator[Callable]:
    """The transforms, without those that crop and mix."""
    for step in steps:
        name = type(step).__name__
        if not hasattr(step, 'get_indexes') and not any(c in name for c in CUTTING):
            yield changed_inside(step, without_cutting)
        elif 'Mosaic' in name and hasattr(step, 'img_scale'):
            from mmdet.datasets.transforms import FixShapeResize

            width, height = step.img_scale
            pad_val = dict(img=round(getattr(step, 'pad_val', 0)))
            yield FixShapeResize(width, height, pad_val, keep_ratio=True)
        elif getattr(step, 'crop_type', None) == 'absolute':
            from mmdet.datasets.transforms import Resize

            yield Resize(scale=tuple(step.crop_size), keep_ratio=True)  # type: ignore[attr-defined]


def changed_inside(step: Any, change: Callable[[list], Iterable[Callable]]) -> Any:
    """A transform, with the transforms changed that it holds."""
    inside = getattr(step, 'transforms', None)
    if inside is None:
        return step
    step = copy.copy(step)
    held = isinstance(inside, list)
    step.transforms = list(change(inside)) if held else changed_inside(inside, change)
    return step


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Let an attribute have another value for a while."""
    held = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, held)
