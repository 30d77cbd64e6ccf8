"""Which indices of a dataset are one and the same photograph."""

from __future__ import annotations

import os
from itertools import count
from typing import Any, Callable

import numpy as np

from mmdefect.pools.scan import infos_of
from mmdefect.pools.serialized import Serialized, encoded, is_serialized
from mmdefect.pools.wrappers import unwrap

SEPARATOR = os.sep.encode()


def photographs(dataset: Any) -> np.ndarray:
    """Tell which images of a dataset are the same photograph.

    Args:
        dataset: The outermost dataset.

    Returns:
        np.ndarray: Of each image a number that stands for its photograph, int64 of
        shape (len(dataset),): the same for an image that a wrapper repeats, and for
        one that two files of annotations list, or one file twice. The numbers differ
        from process to process.
    """
    leaves, origin = unwrap(dataset)
    key = _key_of_paths()
    return np.concatenate([_keys(leaf, key) for leaf in leaves])[origin]


def count_photographs(photographs: np.ndarray, pool: np.ndarray) -> int:
    """The number of different photographs in a pool.

    Args:
        photographs (np.ndarray): What :func:`photographs` returned.
        pool (np.ndarray): Indices.
    """
    return len(np.unique(photographs[pool]))


def _keys(leaf: Any, key: Callable[[bytes | None], int]) -> np.ndarray:
    load = getattr(type(leaf), 'load_data_list', None)
    if not getattr(load, '__module__', '').startswith('mmdet.'):
        # A user's dataset may cut many images out of one photograph.
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
