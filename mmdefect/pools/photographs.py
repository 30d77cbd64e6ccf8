"""Which indices of a dataset are one and the same photograph."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Callable

import numpy as np

from mmdefect.pools.walk import loads_as_mmdet


class PhotographIds:
    """The photographs of a dataset: several of its images may be one of them.

    An image that a wrapper repeats is one photograph, and so is one that two annotation
    files list, or one file twice. They are told apart by their paths.
    """

    def __init__(self, keys: np.ndarray) -> None:
        self._keys = keys
        ordered = np.sort(keys)
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


def photograph_key(leaf: Any) -> Callable[[Any, int], int]:
    """What stands for the photograph at a path, or at an index, in this process."""
    by_path, absolute = tells_photographs(leaf), lru_cache(None)(os.path.abspath)

    def key(path: Any, index: int) -> int:
        if not (path and by_path):  # a photograph of its own
            return hash((id(leaf), index))
        folder, _, name = str(path).rpartition(os.sep)
        return hash((absolute(folder), name))

    return key
