"""How far a long reading is."""

from __future__ import annotations

from time import monotonic
from typing import Any, Iterable, Iterator

from mmengine.logging import print_log

# Images read between two looks at the clock.
BLOCK = 256


class Progress:
    """Says in the log how far a reading is, after 2, 4, 8, ... seconds."""

    def __init__(self, total: int, what: str = 'reading the annotations') -> None:
        self._total, self._what, self._done = total, what, 0
        self._start, self._due = monotonic(), 2

    def track(self, images: Iterable[Any]) -> Iterator[Any]:
        """Hand on what is read."""
        for image in images:
            yield image
            self._done += 1
            if not self._done % BLOCK:
                self._report(self._done)

    def _report(self, done: int) -> None:
        seconds = monotonic() - self._start
        if seconds >= self._due:
            self._due *= 2
            print_log(
                f'{self._what}: {done:,} of {self._total:,} images, about '
                f'{seconds * (self._total - done) / done:.0f} s left',
                logger='current',
            )
