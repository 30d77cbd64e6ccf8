"""How often each image is to be drawn, relative to the others of its pool."""

from __future__ import annotations

import os
from importlib import import_module
from reprlib import repr as shorten
from typing import Any, Callable, Mapping

import numpy as np

from mmdefect.pools.pools import find_images, read_lines
from mmdefect.pools.source import Source

LINE = 'train_dataloader.sampler.weights'


def class_balanced(classes: Mapping[str, np.ndarray], length: int) -> np.ndarray:
    """Weights with which each class is drawn equally often.

    An image that shows several counts for the rarest of them.
    """
    counts_for = np.full(length, -1)
    for number, name in enumerate(_rarest_last(classes)):
        counts_for[classes[name]] = number
    of_class = counts_for >= 0
    sizes = np.bincount(counts_for[of_class], minlength=len(classes))
    return np.where(of_class, 1 / np.maximum(sizes, 1)[counts_for], 1.0)


def repeat_factor(classes: Mapping[str, np.ndarray], length: int) -> np.ndarray:
    """Weights by the square root of how rare the rarest class of an image is.

    LVIS's repeat factors, with a threshold that no class reaches: the quota decides how
    often defects are drawn, the factors among which.
    """
    weights = np.ones(length)
    for name in _rarest_last(classes):
        weights[classes[name]] = 1 / np.sqrt(max(len(classes[name]), 1))
    return weights


def _rarest_last(classes: Mapping[str, np.ndarray]) -> list[str]:
    return sorted(classes, key=lambda name: -len(classes[name]))


# What a config may name in the place of a file or a function.
BY_CLASS = {'class_balanced': class_balanced, 'repeat_factor': repeat_factor}


def read_weights(
    given: str | os.PathLike | Callable[[dict], float],
    source: Source,
    classes: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Weights of all images of a dataset."""
    if isinstance(given, str) and given in BY_CLASS:
        return BY_CLASS[given](classes, len(source))
    if isinstance(given, str) and not os.path.exists(given):
        function = _named(given)
        if function is None:
            raise FileNotFoundError(
                f'weights={given!r} is neither {" nor ".join(BY_CLASS)}, nor a file '
                f'or an importable function; set {LINE}'
            )
        given = function
    if isinstance(given, (str, os.PathLike)):
        weights = _weights_of_file(given, source)
    elif callable(given):
        stored = ((leaf, i) for leaf in source.leaves for i in range(len(leaf)))
        infos = (leaf.get_data_info(i) for leaf, i in stored)
        weights = _numbers([given(info) for info in infos])[source.origin]
    else:
        raise TypeError(
            f'weights={shorten(given)}: expected {", ".join(map(repr, BY_CLASS))}, a '
            f'text file or a function; set {LINE}'
        )
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(
            f'{len(bad)} weights are negative, infinite or NaN, the first '
            f'{weights[bad[0]]} of image {bad[0]}: expected 0 or more; set {LINE}'
        )
    return weights


def _named(name: str) -> Any:
    # What a dotted name means, None if nothing. MMEngine's own is there since 0.8.
    first, *others = name.split('.')
    path = first
    try:
        found = import_module(first)
        for part in others:
            path = f'{path}.{part}'
            if not hasattr(found, part):
                import_module(path)
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        return None
    return found


def _weights_of_file(path: str | os.PathLike, source: Source) -> np.ndarray:
    pairs = [text.rsplit(None, 1) for text in read_lines(path, LINE)]
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(
                f'{os.fspath(path)} has the line {pair[0]!r}: expected a file name or '
                f'image id and a weight; mend it or set {LINE}'
            )
    entries = [entry for entry, _ in pairs]
    images = find_images(entries, source, os.fspath(path), LINE)
    weights = np.ones(len(source))
    for (entry, _), value in zip(pairs, _numbers([value for _, value in pairs])):
        weights[images[entry]] = value
    return weights


def _numbers(values: list) -> np.ndarray:
    try:
        return np.array([float(value) for value in values])
    except (TypeError, ValueError) as error:
        raise TypeError(f'weights: expected numbers, but {error}; set {LINE}') from None
