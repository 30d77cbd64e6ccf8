"""Which transform fails, and for which image."""

from __future__ import annotations

from typing import Any, Iterable

from mmdefect.analysis.config import is_ours
from mmdefect.delivery.attempts import Attempts
from mmdefect.images.errors import RejectedError
from mmdefect.pools.forms import split_index

# How often an image is tried again: what fails at random fails soon.
TRIES = 10


def what_fails(error: Exception, dataset: Any, indices: Iterable[int]) -> str | None:
    """Say what an error in a batch does not say."""
    if is_ours(error):
        return None
    told = _told(error)
    if told is None:  # it was raised in a worker process, which keeps the trace
        for index in indices:
            told = _told(_failure(dataset, index))
            if told is not None:
                break
    return told


def why_replaced(dataset: Any, index: int) -> str | None:
    """Say why another image arrives in the place of one that was drawn."""
    failure = _failure(dataset, index)
    return str(failure) if isinstance(failure, RejectedError) else _told(failure)


def why_unreadable(dataset: Any, index: int) -> str | None:
    """Say why the file of an image cannot be read."""
    failure = _failure(dataset, index)
    unreadable = isinstance(failure, RejectedError) and failure.unreadable
    return str(failure) if unreadable else None


def _failure(dataset: Any, index: int) -> Exception | None:
    inside = dataset.dataset if hasattr(dataset, 'know_pools') else dataset
    form, index = split_index(dataset, index)
    for _ in range(TRIES):
        try:
            change = dataset.changes().make(index, form) if form else None
            Attempts(form=change).run(inside, index)
        except Exception as error:
            return error
    return None


def _told(error: Exception | None) -> str | None:
    # Of the transforms that were at work the innermost one, and its image.
    transform = path = None
    trace = error.__traceback__ if error else None
    while trace:
        held = trace.tb_frame.f_locals
        if trace.tb_frame.f_code.co_name in ('__call__', 'transform'):
            transform = type(held.get('self')).__name__
        for value in held.values():
            if isinstance(value, dict) and isinstance(value.get('img_path'), str):
                path = value['img_path']
        trace = trace.tb_next
    if transform is None or path is None:
        return None
    reason = next(iter(str(error).strip().splitlines()), 'no reason given')
    return f'{transform} fails for {path}: {type(error).__name__}: {reason}'
