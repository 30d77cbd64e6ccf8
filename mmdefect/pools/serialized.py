"""What MMEngine's serialized annotations say, read off their bytes.

MMEngine pickles the annotation of each image and joins the bytes. Unpickling an image
costs several times what finding a value does that pickle writes in a known form. Where
it is written otherwise, the image is unpickled.
"""

from __future__ import annotations

import pickle
import re
from array import array
from typing import Any, Callable, Iterator, Sequence

import numpy as np
from mmengine.dataset import BaseDataset

# Keys as pickle writes them, before their values.
IMG_ID = re.compile(rb'\x8c\x06img_id\x94')
IMG_PATH = re.compile(rb'\x8c\x08img_path\x94')
# What opens a number or a string, and how many bytes of a number follow: the number
# itself, or the length of the string.
INTS = {b'K': 1, b'M': 2, b'J': 4}
STRINGS = {b'\x8c': 1, b'X': 4}
# `ignore_flag=0` and the box after it, as CocoDataset makes an instance. Keys are
# written out once in an image; after that they are called by number.
COUNTED = re.compile(
    rb'}\x94\((?:h.|\x8c\x0bignore_flag\x94)K\x00(?:h.|\x8c\x04bbox\x94)\]\x94\(',
    re.S,
)
# Images read at once: what is found in their bytes takes memory.
CHUNK = 4096


def is_plain(leaf: Any) -> bool:
    """Whether a dataset hands out its annotations as MMEngine keeps them."""
    return all(
        getattr(type(leaf), name, None) is getattr(BaseDataset, name)
        for name in ('get_data_info', '__len__')
    )


def is_serialized(leaf: Any) -> bool:
    """Whether :class:`Serialized` can read a dataset."""
    return is_plain(leaf) and bool(leaf.serialize_data)


class Serialized:
    """The annotations of a dataset as MMEngine keeps them."""

    def __init__(self, leaf: Any) -> None:
        self._buffer = memoryview(leaf.data_bytes)
        self._ends = leaf.data_address

    def load(self, index: int) -> Any:
        """The annotation of an image, unpickled."""
        start = self._ends[index - 1] if index else 0
        return pickle.loads(self._buffer[start : self._ends[index]])

    def load_all(self) -> Iterator[Any]:
        """The annotations of all images, front to back."""
        for data, ends in self._chunks():
            yield from _unpickled(data, ends)

    def holding(self, letters: bytes) -> np.ndarray:
        """Indices of the images in whose bytes these letters are, sorted int64."""
        return np.flatnonzero(self._count(re.compile(re.escape(letters))))

    def counted(self) -> np.ndarray:
        """Of each image the number of instances that are seen to count, int64.

        It is never too high. It is too low where a dataset makes its instances
        otherwise than MMDetection's ``CocoDataset`` does.
        """
        return self._count(COUNTED)

    def ids(self) -> np.ndarray:
        """Of each image what :func:`keys` makes of its ``img_id``, int64."""

        def of_chunk(data: bytes, ends: np.ndarray) -> np.ndarray:
            found = _numbers(data, _places(IMG_ID, data, ends), INTS)
            if found is not None:
                return found[0]
            return keys([info.get('img_id') for info in _unpickled(data, ends)])

        return self._each(of_chunk)

    def paths(self, key: Callable[[bytes | None], int]) -> np.ndarray:
        """Of each image the key of its ``img_path``, int64."""

        def of_chunk(data: bytes, ends: np.ndarray) -> list[int]:
            found = _numbers(data, _places(IMG_PATH, data, ends), STRINGS)
            if found is not None:
                sizes, starts = found
                spans = zip(starts.tolist(), (starts + sizes).tolist())
                return [key(data[start:end]) for start, end in spans]
            paths = (info.get('img_path') for info in _unpickled(data, ends))
            return [key(encoded(path)) for path in paths]

        return self._each(of_chunk)

    def _count(self, pattern: re.Pattern) -> np.ndarray:
        def of_chunk(data: bytes, ends: np.ndarray) -> np.ndarray:
            return np.bincount(_images(pattern, data, ends)[0], minlength=len(ends))

        return self._each(of_chunk)

    def _each(self, of_chunk: Callable[[bytes, np.ndarray], Any]) -> np.ndarray:
        values = np.empty(len(self._ends), np.int64)
        start = 0
        for data, ends in self._chunks():
            values[start : start + len(ends)] = of_chunk(data, ends)
            start += len(ends)
        return values

    def _chunks(self) -> Iterator[tuple[bytes, np.ndarray]]:
        # The bytes of some images, and where each ends in them.
        start = 0
        for first in range(0, len(self._ends), CHUNK):
            ends = self._ends[first : first + CHUNK]
            yield bytes(self._buffer[start : ends[-1]]), ends - start
            start = ends[-1]


def _unpickled(data: bytes, ends: np.ndarray) -> Iterator[Any]:
    start = 0
    view = memoryview(data)
    for end in ends.tolist():
        yield pickle.loads(view[start:end])
        start = end


def _images(
    pattern: re.Pattern, data: bytes, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    # In which image each match is, and where it ends.
    places = np.fromiter((found.end() for found in pattern.finditer(data)), np.int64)
    return np.searchsorted(ends, places), places


def _places(pattern: re.Pattern, data: bytes, ends: np.ndarray) -> np.ndarray | None:
    # Where the only match of each image ends.
    images, places = _images(pattern, data, ends)
    return places if np.array_equal(images, np.arange(len(ends))) else None


def _numbers(
    data: bytes, places: np.ndarray | None, kinds: dict[bytes, int]
) -> tuple[np.ndarray, np.ndarray] | None:
    # Numbers as pickle writes them, little end first, and where each ends.
    if places is None:
        return None
    letters = np.frombuffer(data, np.uint8)
    sizes = np.zeros(256, np.int64)
    for kind, size in kinds.items():
        sizes[ord(kind)] = size
    size = sizes[letters[places]]
    if not size.all():
        return None
    number = np.zeros(len(places), np.int64)
    for byte in range(4):
        # Beyond the number anything may be read, as it does not count.
        at = np.minimum(places + 1 + byte, len(letters) - 1)
        number += np.where(byte < size, letters[at].astype(np.int64) << 8 * byte, 0)
    number[number >= 2**31] -= 2**32
    return number, places + 1 + size


def encoded(path: str | None) -> bytes | None:
    """A path as pickle writes it."""
    return None if path is None else str(path).encode('utf-8', 'surrogatepass')


def keys(values: Sequence[Any]) -> np.ndarray:
    """Ints that stand for values, int64: themselves, where they are such ints."""
    try:
        return np.frombuffer(array('q', values), np.int64)
    except (TypeError, OverflowError):
        return np.fromiter(map(_key, values), np.int64, len(values))


def _key(value: Any) -> int:
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return hash(value)
