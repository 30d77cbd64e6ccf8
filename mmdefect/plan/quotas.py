"""A quota, in any form that users write it, to a number of images from each pool."""

from __future__ import annotations

from fractions import Fraction
from math import gcd
from typing import Any, Iterator, Mapping, Union

from mmdefect.arguments import whole_number

Quota = Union[int, float, Mapping[str, Any], None]

# Of smaller batches a quota is best told over several.
SMALL, OVER_SMALL = 4, 8

BATCH_SAMPLER = 'train_dataloader.batch_sampler'
LINE = f'{BATCH_SAMPLER}.quota'
OVER = f'{BATCH_SAMPLER}.over'


def usual_quota(images: int) -> int:
    """The quota to begin with, and that of the ready configs: three of eight images.

    ``configs/README.md`` has what was measured with others.
    """
    return max(images * 3 // 8, 1)


def usual_over(batch_size: int) -> int | None:
    """The ``over`` to begin with: several batches where they are small."""
    if batch_size >= SMALL:
        return None
    return -(-OVER_SMALL // batch_size) * batch_size


def share_images(
    quota: Quota, pools: Mapping[str, Any], batch_size: int, over: int | None = None
) -> dict[str, int]:
    """Split the images over which a quota holds among the pools."""
    images = over or batch_size
    what = f'over={over} images' if over else f'a batch of {batch_size}'
    if quota is None:
        return {'all': images}
    if isinstance(quota, Mapping):
        counts = {
            name: _images(n, key, images, what) for name, key, n in _entries(quota)
        }
        quota = counts
    elif isinstance(quota, str):
        raise TypeError(
            f'quota={quota!r} is a str: expected an int, a share, or a dict such as '
            f'dict(crack=1). On a command line that is {LINE}._delete_=True '
            f'{LINE}.crack=1'
        )
    else:
        counts = {'defect': _images(quota, 'quota', images, what)}
    known = [pool for pool in pools if pool not in ('normal', 'all')]
    for name, count in counts.items():
        if name == 'normal':
            raise ValueError(
                f"quota={counts}: 'normal' fills what the other pools leave "
                f'of {what}; take it out of {LINE}'
            )
        if name not in known:
            raise ValueError(
                f'quota names the pool {name!r}, but the pools are '
                f'{", ".join(map(repr, known))}; set {LINE}'
            )
        if count and not len(pools[name]):
            raise ValueError(
                f'quota asks for {count} of the pool {name!r}, which is empty; '
                f'take it out of {LINE}'
            )
    if sum(counts.values()) >= images:
        larger = OVER if over else f'train_dataloader.batch_size or {OVER}'
        raise ValueError(
            f'quota={quota} takes {sum(counts.values())} of {what}: '
            f'expected at most {images - 1}, so that normal images keep a place; '
            f'set {LINE}, or a larger {larger}'
        )
    counts = {name: count for name, count in counts.items() if count}
    return {**counts, 'normal': images - sum(counts.values())}


def _entries(quota: Mapping[str, Any], key: str = 'quota') -> Iterator[tuple]:
    # Name of the pool, where it stands, and its number, of each.
    for name, number in quota.items():
        place = f'{key}[{name!r}]'
        if isinstance(number, Mapping):
            for inner, *rest in _entries(number, place):
                yield (f'{name} {inner}', *rest)
        else:
            yield name, place, number


def _images(quota: Any, key: str, images: int, what: str) -> int:
    if isinstance(quota, float):
        return _share(quota, key, images, what)
    line = f'{BATCH_SAMPLER}.{key}'
    return whole_number(quota, line, 0, name=key)


def _share(quota: float, key: str, images: int, what: str) -> int:
    line = f'{BATCH_SAMPLER}.{key}'
    if not 0 < quota < 1:
        raise ValueError(
            f'{key}={quota}: a float is a share of the images and lies between '
            f'0 and 1; for a number of images, set {line} to an int'
        )
    count = round(quota * images)
    if not count or abs(count - quota * images) > 1e-6:
        parts = Fraction(quota).limit_denominator(100).denominator
        whole = images * parts // gcd(images, parts)
        fixes = [f'{OVER} to {whole}'] if whole > images else []
        if images > 1:  # of one image, none would be left for defects
            fixes.append(f'{line} to {min(max(count, 1), images - 1)}')
        raise ValueError(
            f'{key}={quota} of {what} is {quota * images:g} images: expected a whole '
            f'number; set {", or ".join(fixes) or f"a larger {OVER}"}'
        )
    return count
