"""Which indices of a dataset are one and the same photograph."""

from __future__ import annotations

import os
from itertools import count
from typing import Any, Callable, Sequence

import numpy as np

from mmdefect.pools.scan import infos_of
from mmdefect.pools.serialized import Serialized, encoded, is_serialized
from mmdefect.pools.walk import loads_as_mmdet

SEPARATOR = os.sep.encode()


class PhotographIds:
    """The photographs of a dataset: several of its images may be one of them.

    An image that a wrapper repeats is one photograph, and so is one that two annotation
    files list, or one file twice. They are told apart by their paths.
    """

    def __init__(self, leaves: Sequence[Any], origin: np.ndarray) -> None:
        key = _key_of_paths()
        # Of each image, what stands for its photograph in this process.
        self._keys = np.concatenate([_keys(leaf, key) for leaf in leaves])[origin]
        ordered = np.sort(self._keys)
        self._all_differ = bool((ordered[1:] != ordered[:-1]).all())

    def count(self, images: np.ndarray) -> int:
        """The number of photographs among images."""
        return len(images if self._all_differ else np.unique(self._keys[images]))

    def in_both(self, images: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The images of which the photographs are among others, too."""
        if self._all_differ:
            return images[:0]
        return images[np.isin(self._keys[images], self._keys[others])]


def tells_photographs(leaf: Any) -> bool:
    """Whether a path is one photograph: a user may cut many images out of one."""
    return loads_as_mmdet(leaf, 'load_data_list')


def _keys(leaf: Any, key: Callable[[bytes | None], int]) -> np.ndarray:
    if not tells_photographs(leaf):
        return np.fromiter((key(None) for _ in range(len(leaf))), np.int64)
    if is_serialized(leaf):
        return Serialized(leaf).paths(key)
    paths = (info.get('img_path') for info in infos_of(leaf))
    return np.fromiter((key(encoded(path)) for path in paths), np.int64)


def _key_of_paths() -> Callable[[bytes | None], int]:
    folders: dict[bytes, bytes] = {}
    others = count()

    def key(path: bytes | None) -> int:
        if not path:  # a photograph of its own
            return hash((next(others),))
        folder, _, name = path.replace(SEPARATOR, b'/').rpartition(b'/')
        if folder not in folders:
            folders[folder] = os.path.abspath(folder)
        return hash((folders[folder], name))

    return key
