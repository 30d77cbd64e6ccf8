"""What the workers of a data loader share with the main process."""

from __future__ import annotations

from typing import Iterable

import torch
from torch.utils.data import get_worker_info

# What is counted, and what the log says when it first happens.
EVENTS = {
    'retries': '',
    'uncut': '{cause}, the last time of {tries}, so it goes without the transforms '
    'that crop and mix',
    'refused': '{cause} for a normal image {tries} times, so it goes without the '
    'transforms that crop and mix, after its file was read {reads} times; '
    'set allow_negative_crop=True, or keep_empty=False, in that transform: defects are '
    'kept all the same',
    'partly': '{cause}, even without the transforms that crop and mix, so it goes with '
    'one at least of the classes that the quota names, and not with all that it shows',
    'replaced': '{cause}, even without the transforms that crop and mix, so another '
    'image of the same pool goes in its place',
    'unreadable': '{cause}; another image of the same pool goes in its place',
}

# Data loader workers with counters of their own; further ones share these.
WORKERS = 64


class _Table:
    # Whole numbers in shared memory. A copy has numbers of its own, which its workers
    # share as well: the Runner makes one of a dataset that it is given built.

    def __init__(self, *shape: int) -> None:
        self._table = torch.zeros(shape, dtype=torch.int64).share_memory_()

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._table.share_memory_()


class Counts(_Table):
    """How often what happened, in all workers: they count, the main process reads."""

    def __init__(self) -> None:
        super().__init__(WORKERS + 1, len(EVENTS))

    def add(self, event: str) -> bool:
        """Count an event."""
        first = not self.totals()[event]
        worker = get_worker_info()
        row = WORKERS if worker is None else worker.id % WORKERS
        self._table[row, list(EVENTS).index(event)] += 1
        return first

    def totals(self) -> dict[str, int]:
        """How often each event was counted."""
        return dict(zip(EVENTS, self._table.sum(0).tolist()))


class Names(_Table):
    """Names, chosen from known ones, also while workers are at work."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.known = list(known)
        super().__init__(len(self.known))

    def choose(self, names: Iterable[str]) -> None:
        """Take these names in place of those chosen before."""
        chosen = set(names)
        self._table.copy_(torch.tensor([name in chosen for name in self.known]))

    def __contains__(self, name: str) -> bool:
        return name in self.known and bool(self._table[self.known.index(name)])
