"""MMEngine's training loops at another place: all that touches their private fields."""

from __future__ import annotations

from types import MethodType
from typing import Any

import mmengine
from mmengine.utils import digit_version

# Whether MMEngine's iteration loop loads the batches again that were trained on, to
# throw them away, and whether its loops validate at their end, whatever the interval.
SKIPS = digit_version(mmengine.__version__) >= digit_version('0.10.3')
VALIDATES_LAST = digit_version(mmengine.__version__) >= digit_version('0.10.4')


def set_epoch(loop: Any, epoch: int) -> None:
    """Count epochs from here on."""
    loop._epoch = epoch


def set_iteration(loop: Any, iteration: int) -> None:
    """Count iterations from here on."""
    loop._iter = iteration


def prefetch_anew(loop: Any, epoch: int = 0) -> None:
    """Let a loop that counts iterations throw away what it has begun to prefetch."""
    from mmengine.runner.loops import _InfiniteDataloaderIterator

    loop.dataloader_iterator = _InfiniteDataloaderIterator(loop.dataloader)
    loop.dataloader_iterator._epoch = epoch


def resume_prefetching(loop: Any, epoch: int) -> None:
    """Do so in a run that is resumed, whose loop would first load what it has had."""
    prefetch_anew(loop, epoch)
    # onedl-mmengine may be told not to skip.
    skips = SKIPS and not getattr(loop, 'fast_forward_on_resume', False)
    batches = _Resumed(loop.dataloader_iterator, loop.iter if skips else 0)
    loop.dataloader_iterator = batches


def validation_is_due(loop: Any, now: int, end: int) -> bool:
    """What both loops ask after an epoch, or after an iteration."""
    loop._decide_current_val_interval()
    last = VALIDATES_LAST and now == end
    return now >= loop.val_begin and (now % loop.val_interval == 0 or last)


def count_from(loop: Any, step: int) -> None:
    """Count the batches of this epoch from a step, not from 0.

    So would the log, and what happens at the end of an epoch would not happen at the
    end of this one.
    """
    run_iter = type(loop).run_iter

    def run_later_iter(loop: Any, idx: int, data_batch: Any) -> None:
        run_iter(loop, idx + step, data_batch)

    loop.run_iter = MethodType(run_later_iter, loop)


def count_from_beginning(loop: Any) -> None:
    """Count the batches of an epoch from 0 again."""
    vars(loop).pop('run_iter', None)


class _Resumed:
    """Batches that are there from the start, for a loop that first skips some."""

    def __init__(self, batches: Any, skip: int) -> None:
        self.batches = batches
        self.skip = skip

    def __iter__(self) -> _Resumed:
        return self

    def __next__(self) -> Any:
        if self.skip:
            self.skip -= 1
            return None
        return next(self.batches)

    def skip_iter(self, num_iters: int) -> None:
        """What onedl-mmengine calls to skip."""
        self.skip = 0
