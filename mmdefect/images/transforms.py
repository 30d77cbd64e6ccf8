"""The transforms of a pipeline, also those that others hold."""

from __future__ import annotations

import copy
import re
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Sequence

from mmdefect.pools.walk import is_a, pipelines_of, walk_transforms


class Effect(NamedTuple):
    """What a transform may do to the defects of an image."""

    cuts: bool = False  # take the last one away, or shrink it to nothing
    mixes: bool = False  # bring in those of other images
    paints: bool = False  # paint over them, which their boxes do not notice
    spares: bool = False  # keep one of them, whichever class it is of
    holds: bool = False  # what those transforms do that it makes for itself
    repeats: bool = False  # leave the old image as it is, to be tried again on
    # Return None: with which argument and value, and for which images.
    refuses: tuple[str, bool, str] | None = None


# By a word in the name of a transform or of one that it is derived from, so that those
# of MMYOLO, Albumentations and users are known; the longest word counts.
EFFECTS = {
    'Mosaic': Effect(cuts=True, mixes=True),
    'MixUp': Effect(mixes=True),
    'CopyPaste': Effect(cuts=True, mixes=True, paints=True),
    **dict.fromkeys(('CutOut', 'Erasing'), Effect(cuts=True, paints=True)),
    **dict.fromkeys(('Crop', 'Affine'), Effect(cuts=True, repeats=True)),
    'RandomCrop': Effect(
        cuts=True,
        repeats=True,
        refuses=('allow_negative_crop', False, 'every normal image'),
    ),
    **dict.fromkeys(
        ('MinIoURandomCrop', 'RandomCenterCropPad'), Effect(spares=True, repeats=True)
    ),
    **dict.fromkeys(('RandomShift', 'DefectCrop'), Effect(spares=True)),
    **dict.fromkeys(
        ('Rotate', 'Shear', 'Translate', 'Shift', 'Perspective', 'CoarseDropout'),
        Effect(cuts=True),
    ),
    **dict.fromkeys(('Rotate90', 'RGBShift'), Effect()),
    'Augment': Effect(holds=True),
    'Albu': Effect(
        holds=True, refuses=('skip_img_without_anno', True, 'every normal image')
    ),
    'FilterAnnotations': Effect(
        refuses=('keep_empty', True, 'a defect image whose last box it drops')
    ),
    'LoadImageFromFile': Effect(
        refuses=('ignore_empty', True, 'an image that cannot be read')
    ),
}


def effect_of(step: Any) -> Effect:
    """What a transform may do, also through those that it makes for itself."""
    effect = _effect_of_names(*(kind.__name__ for kind in type(step).__mro__))
    if not effect.holds:
        return effect
    words = re.findall(r'\w+', str(getattr(step, 'transforms', '')))
    return effect._replace(cuts=any(_effect_of_names(word).cuts for word in words))


@lru_cache(maxsize=None)
def _effect_of_names(*names: str) -> Effect:
    known = [word for word in EFFECTS if any(word in name for name in names)]
    return EFFECTS[max(known, key=len)] if known else Effect()


def is_stock(step: Any) -> bool:
    """Whether a transform is one of MMDetection's own."""
    return type(step).__module__.startswith('mmdet.')


def is_random_crop(step: Any) -> bool:
    """Whether it is the one whose window can be drawn before it sees the image."""
    return is_stock(step) and type(step).__name__ == 'RandomCrop'


def steps_of(dataset: Any) -> list:
    """The transforms of a dataset."""
    return steps_in(dataset.pipeline)


def steps_in(pipeline: Any) -> list:
    """The transforms of a pipeline."""
    steps = getattr(pipeline, 'transforms', pipeline)
    return list(steps) if isinstance(steps, (list, tuple)) else [steps]


def reads_file(step: Any) -> bool:
    """Whether a transform reads the image file."""
    return is_a(step, 'LoadImageFromFile')


def loads_masks(dataset: Any) -> bool:
    """Whether a pipeline of a dataset loads masks: then each instance needs one."""
    return any(
        getattr(transform, 'with_mask', False)
        for where, pipeline in pipelines_of(dataset)
        for _, transform in walk_transforms(pipeline, where)
    )


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
        effect = effect_of(step)
        loses = effect.cuts or effect.paints or effect.spares or effect.holds
        if not loses and not effect.mixes and not hasattr(step, 'get_indexes'):
            yield changed_inside(step, without_cutting)
        elif hasattr(step, 'img_scale') and any(
            name in type(step).__name__ for name in ('Mosaic', 'DefectCrop')
        ):
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
