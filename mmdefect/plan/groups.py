"""Groups: images in a row over which a quota holds, whatever batches they are cut into.

Each pool's places are spread over the group as evenly as whole numbers allow, the way a
sloping line is drawn in pixels (Bresenham, "Algorithm for computer control of a digital
plotter", 1965): of the first ``n`` images of a group of ``size``, ``n * quota / size``
come from the last pool, rounded up or down by one random number for each group, and so
of each pool all that come before it together. So any run of images, and with it any
batch, has its share of the last pool, and of all others together, up to one image; of
each of several others, a difference of two such sums, up to two.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from mmdefect.arguments import whole_number
from mmdefect.plan.quotas import OVER


class Slots(NamedTuple):
    """Which of a pool's slots batches take, of the groups that they belong to.

    Args:
        numbers (np.ndarray): int64 of shape (images, batches), from 0 on; or of shape
            (images, 1) where all batches take the same.
        taken (np.ndarray, optional): bool, same shape. A batch that takes one less than
            others has a last number that it does not take. None is that all are taken.
    """

    numbers: np.ndarray
    taken: np.ndarray | None


def slots_of_batches(
    places: np.ndarray,
    batch_size: int,
    counts: Sequence[int],
    phases: Sequence[np.ndarray] | None,
) -> list[Slots]:
    """Spread the pools over their groups, and cut batches out of these."""
    edges = places + np.array([[0], [batch_size]])
    alike = phases is None
    slots = []
    for count, width, (begin, end) in zip(
        counts,
        most_in_batch(batch_size, counts),
        _slots_before(edges, counts, phases or [np.zeros(1, int)] * len(counts)),
    ):
        numbers = begin + np.arange(width)[:, None]
        taken = None if alike else numbers < end
        slots.append(Slots(numbers if alike else np.minimum(numbers, count - 1), taken))
    return slots


def _slots_before(
    places: np.ndarray, counts: Sequence[int], phases: Sequence[np.ndarray]
) -> list[np.ndarray]:
    # The last pool is spread over all of the group, and each one before it over what
    # those behind it leave: so what they leave together is spread as evenly.
    before, left, size = [], places, sum(counts)
    for count, phase in zip(counts[:0:-1], phases[::-1]):
        before.append((left * count + phase) // size)
        left, size = left - before[-1], size - count
    return [left, *before[::-1]]


def most_in_batch(batch_size: int, counts: Sequence[int]) -> list[int]:
    """How many images of each pool a batch has at most."""
    most, left, size = [], batch_size, sum(counts)
    for count in reversed(counts):
        most.append(-(-left * count // size))
        left, size = -(-left * (size - count) // size), size - count
    return most[::-1]


def check_over(over: int | None, batch_size: int, world_size: int) -> int | None:
    """Check the number of images over which a quota holds."""
    if over is None:
        return None
    over = whole_number(over, OVER)
    step = batch_size * world_size
    if over > 0 and over % batch_size == 0 and (step % over == 0 or over % step == 0):
        return over
    parts = [batch_size * n for n in range(1, world_size) if world_size % n == 0]
    fitting = parts + [step * n for n in range(1, max(over, 0) // step + 2)]
    below = max((n for n in fitting if n < over), default=None)
    above = min(n for n in fitting if n > over)
    ranks = f'{world_size} ranks x ' if world_size > 1 else ''
    raise ValueError(
        f'over={over}: a step is {ranks}batch_size={batch_size} images; '
        f'expected a whole part of {step} in whole batches, or a multiple of {step}; '
        f'set {OVER} to {above if below is None else f"{below} or {above}"}'
    )
