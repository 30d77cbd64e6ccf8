"""What all ranks have to agree on, before one of them waits for another in vain."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, Mapping

from mmengine.dist import all_gather_object


@contextmanager
def failing_together() -> Iterator[None]:
    """Fail on every rank where the code inside fails on one.

    Otherwise the others wait for it until their process group times out, which takes
    half an hour. All ranks have to come here, and to do nothing collective inside.

    Raises:
        RuntimeError: If the code failed on another rank only.
    """
    error = None
    try:
        yield
    except Exception as caught:
        error = caught
    said = None if error is None else f'{type(error).__name__}: {error}'
    everywhere = all_gather_object(said)
    if error is not None:
        raise error
    for rank, failure in enumerate(everywhere):
        if failure is not None:
            raise RuntimeError(f'rank {rank} failed. {failure}')


def check_ranks_agree(settings: Mapping[str, Any]) -> None:
    """Check that a rank has the same settings as all others.

    Args:
        settings (dict): The settings by name.

    Raises:
        ValueError: If they differ, on every rank, with the values of the first two
            ranks that differ.
    """
    everywhere = all_gather_object(settings)
    for rank, others in enumerate(everywhere):
        differ = differences('rank 0', everywhere[0], f'rank {rank}', others)
        if differ:
            raise ValueError(
                f'the ranks do not train on the same batches: {differ}. '
                'Give every rank the same data and the same config'
            )


def differences(
    one: str, settings: Mapping[str, Any], two: str, others: Mapping[str, Any]
) -> str:
    """Say how two sets of settings differ.

    Args:
        one (str): What the first is called.
        settings (dict): The first, by name.
        two (str): What the second is called.
        others (dict): The second, by name.

    Returns:
        str: Name and both values of each that differs, or ''.
    """
    return '; '.join(
        f'{key} {one} {settings.get(key)!r}, {two} {value!r}'
        for key, value in others.items()
        if settings.get(key) != value
    )
