"""A quota, in any form that users write it, to a number of images from each pool."""

from __future__ import annotations

from operator import index as to_int
from typing import Any, Mapping, Union

import numpy as np

Quota = Union[int, float, Mapping[str, int], None]


def share_batch(
    quota: Quota, batch_size: int, pools: Mapping[str, Any]
) -> dict[str, int]:
    """Split a batch among the pools.

    Args:
        quota (int | float | dict | None): Images a batch from ``defect``; or their
            share of the batch; or images a batch by pool name; or None for no quota.
        batch_size (int): Images a batch on one rank.
        pools (dict): The pools, by name.

    Returns:
        dict[str, int]: Images a batch, by pool name. They add up to ``batch_size``.

    Raises:
        TypeError: If ``quota`` or ``batch_size`` is of another type.
        ValueError: If they are out of range, or name a pool that is not there.
    """
    batch_size = whole_number(
        batch_size, 'batch_size', 'set train_dataloader.batch_size'
    )
    if batch_size < 1:
        raise ValueError(
            f'batch_size={batch_size}: expected at least 1; '
            'set train_dataloader.batch_size'
        )
    if quota is None:
        return {'all': batch_size}
    if isinstance(quota, Mapping):
        counts = {name: _quota(n, batch_size, name) for name, n in quota.items()}
        quota = counts
    else:
        counts = {'defect': _quota(quota, batch_size)}
    line = 'train_dataloader.batch_sampler.quota'
    known = [pool for pool in pools if pool not in ('normal', 'all')]
    for name, count in counts.items():
        if name == 'normal':
            raise ValueError(
                f"quota={counts}: 'normal' fills what the other pools leave "
                f'of the batch; take it out of {line}'
            )
        if name not in known:
            raise ValueError(
                f'quota names the pool {name!r}, but the pools are '
                f'{", ".join(map(repr, known))}; set {line}'
            )
        if count and not len(pools[name]):
            raise ValueError(
                f'quota asks for {count} of the pool {name!r}, which is empty; '
                f'take it out of {line}'
            )
    if sum(counts.values()) >= batch_size:
        raise ValueError(
            f'quota={quota} takes {sum(counts.values())} of a batch of {batch_size}: '
            f'expected at most {batch_size - 1}, so that normal images keep a place; '
            f'set {line}, or a larger train_dataloader.batch_size'
        )
    counts = {name: count for name, count in counts.items() if count}
    return {**counts, 'normal': batch_size - sum(counts.values())}


def _quota(quota: Any, batch_size: int, name: str = '') -> int:
    key = f'quota[{name!r}]' if name else 'quota'
    line = 'set train_dataloader.batch_sampler.quota'
    if isinstance(quota, float) and not name:
        if not 0 < quota < 1:
            raise ValueError(
                f'quota={quota}: a float is a share of the batch and lies between '
                f'0 and 1; for a number of images, {line} to an int'
            )
        count = round(quota * batch_size)
        if not count or abs(count - quota * batch_size) > 1e-6:
            raise ValueError(
                f'quota={quota} of a batch of {batch_size} is '
                f'{quota * batch_size:g} images: expected a whole number; '
                f'{line} to {min(max(count, 1), batch_size - 1)}'
            )
        return count
    count = whole_number(quota, key, f'{line} to a number of images a batch')
    if count < 0:
        raise ValueError(f'{key}={count}: expected 0 or more; {line}')
    return count


def whole_number(value: Any, name: str, fix: str) -> int:
    """A value as an int.

    Args:
        value (int): An int, or what stands for one, such as a NumPy integer.
        name (str): What it is called.
        fix (str): The line to change where it is none.

    Returns:
        int: The value.

    Raises:
        TypeError: If it is none.
    """
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f'{name}={value}: expected an int, got a bool; {fix}')
    try:
        return to_int(value)
    except TypeError:
        kind = type(value).__name__
        raise TypeError(
            f'{name}={value!r}: expected an int, got {kind}; {fix}'
        ) from None
