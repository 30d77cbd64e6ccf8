"""The n-th element of a shuffled pool, without the shuffled pool.

Everything random in mmdefect is a pure function of (seed, what it is for, position),
so any position can be reached at once and nothing has to be stored or replayed.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Any

import numpy as np

# Positions and elements are kept in 32 bits.
MAX_SIZE = 1 << 32
# Up to this size a pass is sorted out in full: exactly uniform, and cheaper.
SMALL = 1024
# How many images of one half of the pool fall into one half of a pass scatters over
# seeds as in a uniform shuffle. Measured for 2048 images, the smallest grid: 4 rounds
# have 3 times that variance, 6 rounds 1.07 times; 8 cannot be told from it.
ROUNDS = 8


def random_words(
    seed: int, purpose: str, start: int, count: int, lane: int = 0, epoch: int = 0
) -> np.ndarray:
    """Words ``start … start + count - 1`` of an endless stream of random words.

    Philox, a counter-based generator (Salmon et al., "Parallel Random Numbers: As Easy
    as 1, 2, 3", SC 2011): word ``n`` costs the same for any ``n``. Its raw words are
    the same in every release of NumPy, which NumPy does not promise of anything
    derived from them.
    """
    block, skip = divmod(start, 4)
    counter = np.array([block, 0, lane, epoch], np.uint64)
    stream = np.random.Philox(_Key.of(seed, purpose), counter=counter)
    return stream.random_raw(skip + count)[skip:]


class _Key(np.random.SeedSequence):
    """A key in the place of a seed.

    With ``Philox(key=...)`` NumPy asks the system for entropy first, which it throws
    away; that takes three times as long as all the rest.
    """

    def __init__(self, seed: int, purpose: str) -> None:
        self.words = np.array([seed, zlib.crc32(purpose.encode())], np.uint64)

    @staticmethod
    @lru_cache(maxsize=64)
    def of(seed: int, purpose: str) -> _Key:
        """The key of a purpose, made once."""
        return _Key(seed, purpose)

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> np.ndarray:
        return self.words


def below(words: np.ndarray, bound: int) -> np.ndarray:
    """Map random words to integers that are uniform over ``0 … bound - 1``.

    Multiplies instead of dividing (Lemire, "Fast Random Integer Generation in an
    Interval", 2019). The bias left is under ``bound / 2**32``.
    """
    high = words >> np.uint64(32)
    high *= np.uint64(bound)
    high >>= np.uint64(32)
    return high.view(np.int64)


def shuffled(positions: np.ndarray, size: int, seed: int, purpose: str) -> np.ndarray:
    """Elements of an endless row of passes, each a fresh shuffle of ``range(size)``.

    Position ``p`` is element ``p % size`` of pass ``p // size``.
    """
    first, last = int(positions.min()) // size, int(positions.max()) // size
    offsets = positions - first * size
    if first == last:
        return shuffled_once(offsets, size, seed, purpose, first)
    if size <= SMALL:
        return _sorted_passes(size, seed, purpose, first, last).take(offsets)
    passes, offsets = np.divmod(offsets, size)
    elements = np.empty_like(offsets)
    for number in range(last - first + 1):
        here = passes == number
        elements[here] = _Feistel.of(size, seed, purpose, first + number)(offsets[here])
    return elements


def shuffled_once(
    positions: np.ndarray, size: int, seed: int, purpose: str, number: int
) -> np.ndarray:
    """Elements of one of the passes of :func:`shuffled`."""
    if size <= SMALL:
        return _sorted_passes(size, seed, purpose, number, number).take(positions)
    return _Feistel.of(size, seed, purpose, number)(positions)


def _sorted_passes(
    size: int, seed: int, purpose: str, first: int, last: int
) -> np.ndarray:
    words = random_words(seed, purpose, first * size, (last - first + 1) * size)
    return words.reshape(-1, size).argsort(axis=1, kind='stable').ravel()


class _Feistel:
    """A pseudo-random permutation of ``range(size)``, computed position by position.

    A Feistel network over a grid of ``rows x columns`` cells, hardly more than
    ``size``; what falls outside ``range(size)`` goes through the network again until
    it is inside (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
    Its round functions are tables of random numbers with one entry a row or column,
    so it stores about ``8 * sqrt(size)`` numbers instead of ``size``.
    """

    def __init__(self, size: int, seed: int, purpose: str, number: int) -> None:
        self.size = size
        # As square as can be: the short side is what limits the mixing.
        self.bits = size.bit_length() // 2
        columns = 1 << self.bits
        self.rows = -(-size // columns)
        width = max(columns, self.rows)
        words = random_words(seed, purpose, 0, ROUNDS * width, lane=number)
        tables = words.reshape(ROUNDS, width)
        self.row_shifts = below(tables[0::2, :columns], self.rows)
        # A row that has grown beyond the last goes round at the end, not in each round.
        # Until then tables repeat as often as it could have.
        masks = below(tables[1::2, : self.rows], columns)
        self.column_masks = [
            np.concatenate([mask] * (2 + number)) for number, mask in enumerate(masks)
        ]
        first_cells = np.arange(self.rows) << self.bits
        self.first_cells = np.concatenate([first_cells] * (1 + len(masks)))

    @staticmethod
    @lru_cache(maxsize=8)
    def of(size: int, seed: int, purpose: str, number: int) -> _Feistel:
        """The permutation of one pass, made once."""
        return _Feistel(size, seed, purpose, number)

    def __call__(self, elements: np.ndarray) -> np.ndarray:
        row = elements >> self.bits
        column = elements & ((1 << self.bits) - 1)
        for row_shift, column_mask in zip(self.row_shifts, self.column_masks):
            row += row_shift.take(column)
            column ^= column_mask.take(row)
        elements = self.first_cells.take(row)
        elements |= column
        outside = np.flatnonzero(elements >= self.size)
        if outside.size:
            elements.flat[outside] = self(elements.flat[outside])
        return elements
