"""What all ranks have to agree on, before one of them waits for another in vain."""

from __future__ import annotations

from functools import wraps
from typing import Any, Callable, Mapping, TypeVar, cast

from mmengine.dist import all_gather_object

Constructor = TypeVar('Constructor', bound=Callable[..., None])


def constructed_together(construct: Constructor) -> Constructor:
    """Let a constructor fail on every rank where it fails on one.

    Otherwise the others wait for it until their process group times out, which takes
    half an hour. The constructor does nothing collective: that is for ``_agree`` of the
    object, which follows where it has failed nowhere.
    """

    @wraps(construct)
    def on_every_rank(self: Any, *args: Any, **options: Any) -> None:
        error = None
        try:
            construct(self, *args, **options)
        except Exception as caught:
            error = caught
        said = None if error is None else f'{type(error).__name__}: {error}'
        everywhere = all_gather_object(said)
        if error is not None:
            raise error
        for rank, failure in enumerate(everywhere):
            if failure is not None:
                raise RuntimeError(f'rank {rank} failed. {failure}')
        self._agree()

    return cast(Constructor, on_every_rank)


def check_ranks_agree(settings: Mapping[str, Any]) -> None:
    """Check that a rank has the same settings as all others."""
    everywhere = all_gather_object(settings)
    for rank, others in enumerate(everywhere):
        differ = differing_settings('rank 0', everywhere[0], f'rank {rank}', others)
        if differ:
            raise ValueError(
                f'the ranks do not train on the same batches: {differ}. '
                'Give every rank the same data and the same config'
            )


def differing_settings(
    one: str, settings: Mapping[str, Any], two: str, others: Mapping[str, Any]
) -> str:
    """Say how two sets of settings differ."""
    return '; '.join(
        f'{key} {one} {settings.get(key)!r}, {two} {value!r}'
        for key, value in others.items()
        if settings.get(key) != value
    )
