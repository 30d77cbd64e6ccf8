"""Sets of indices, as arrays and as bools."""

from __future__ import annotations

from array import array
from typing import Iterable, Sequence

import numpy as np

NONE = np.empty(0, np.int64)


def index_array(indices: Sequence[int]) -> np.ndarray:
    """Indices as int64."""
    return np.asarray(indices, np.int64)


def hashes(values: Iterable) -> np.ndarray:
    """Ints that stand for values in this process, int64."""
    return np.frombuffer(array('q', map(hash, values)), np.int64)


def mask(indices: np.ndarray, length: int) -> np.ndarray:
    """Bools of shape (length,), true at the indices."""
    return union([indices], length)


def union(arrays: Iterable[np.ndarray], length: int) -> np.ndarray:
    """Bools of shape (length,), true at the indices of any of the arrays."""
    mask = np.zeros(length, bool)
    for indices in arrays:
        mask[indices] = True
    return mask
