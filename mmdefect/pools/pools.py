"""Named arrays of indices: normal, defect, each class, and what the user lists."""

from __future__ import annotations

import os
from collections import defaultdict
from itertools import compress
from reprlib import repr as shorten
from typing import (
    Mapping,
    Sequence,
)
from unicodedata import normalize

import numpy as np

from mmdefect.pools.indices import mask
from mmdefect.pools.scan import Scan
from mmdefect.pools.source import Source
from mmdefect.pools.unreadable import encoding_of

# Pools that are always there; no class pool or user pool takes their names.
RESERVED = ('normal', 'defect', 'all')


def annotated_normals(
    scanned: Scan, normal: np.ndarray, defect_classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Find the normal images that have instances, none of which is a defect."""
    others = [scanned.classes[n] for n in scanned.classes if n not in defect_classes]
    kinds = {
        'ignored instances': scanned.ignored,
        'other classes': np.concatenate([*others, scanned.left_out]),
    }
    is_normal = mask(normal, scanned.length)
    return {
        name: np.flatnonzero(is_normal & mask(indices, scanned.length))
        for name, indices in kinds.items()
    }


def make_pools(
    scanned: Scan,
    defect_classes: Sequence[str],
    extra: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Sort the images of a dataset into pools."""
    defect = np.zeros(scanned.length, bool)
    for name in defect_classes:
        defect[scanned.classes[name]] = True
    normal = ~defect
    for indices in (extra or {}).values():
        normal[indices] = False
    pools = {'normal': np.flatnonzero(normal), 'defect': np.flatnonzero(defect)}
    for name in defect_classes:
        pools.setdefault(name, scanned.classes[name])
    pools.update({name: np.sort(indices) for name, indices in (extra or {}).items()})
    return pools


def read_pool(
    name: str, listing: str | os.PathLike | Sequence[int], source: Source
) -> np.ndarray:
    """Indices of a pool that the user lists."""
    line = f'train_dataloader.sampler.pools[{name!r}]'
    if isinstance(listing, (str, os.PathLike)):
        entries = read_lines(listing, line)
        found = find_images(entries, source, os.fspath(listing), line)
        return np.sort(np.concatenate(list(found.values())))
    try:
        indices = np.asarray(listing)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in 'iu'):
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(
            f'pools[{name!r}]={shorten(listing)}: expected a text file or a list of '
            f'indices; set {line}'
        ) from None
    indices = indices.astype(np.int64)
    if not indices.size:
        raise ValueError(f'pools[{name!r}] is empty: expected indices; set {line}')
    outside = indices[(indices < 0) | (indices >= len(source))].tolist()
    if outside:
        raise ValueError(
            f'pools[{name!r}] names {len(outside)} indices outside the dataset of '
            f'{len(source):,} images, the first {outside[:3]}; set {line}'
        )
    unique, times = np.unique(indices, return_counts=True)
    twice = unique[times > 1].tolist()
    if twice:
        raise ValueError(
            f'pools[{name!r}] names {len(twice)} images twice, the first {twice[:3]}; '
            f'set {line}'
        )
    return unique


def read_lines(path: str | os.PathLike, line: str) -> list[str]:
    """The lines of a text file, without blank ones and comments (``# ...``)."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{os.fspath(path)} is not a file; set {line}')
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = [text.strip() for text in file]
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{os.fspath(path)} is {encoding_of(path) or "not UTF-8"} ({error}): '
            f'expected a text file in UTF-8; save it so, or set {line}'
        ) from None
    lines = [text for text in lines if text and not text.startswith('#')]
    if not lines:
        raise ValueError(
            f'{os.fspath(path)} is empty: expected one file name or image id a line; '
            f'set {line}'
        )
    return lines


def find_images(
    entries: Sequence[str], source: Source, file: str, line: str
) -> dict[str, np.ndarray]:
    """Find images by file name or image id."""
    entry_of = defaultdict(list)
    for entry in entries:
        entry_of[_composed(entry)].append(entry)
    found: dict[str, dict[str, list[int]]] = {entry: {} for entry in entries}
    origin, stored = source.origin, sum(map(len, source.leaves))
    for position, info in compress(enumerate(source.infos()), mask(origin, stored)):
        path = str(info.get('img_path', '')).replace(os.sep, '/')
        parts = _composed(path).split('/')
        names = {'/'.join(parts[start:]) for start in range(len(parts))}
        names.add(_composed(str(info.get('img_id', path))))
        for name in names & entry_of.keys():
            for entry in entry_of[name]:
                found[entry].setdefault(path, []).append(position)
    for problem, bad in (
        ('that are not in the dataset', [e for e in entries if not found[e]]),
        ('that fit several', [e for e in entries if len(found[e]) > 1]),
    ):
        if bad:
            raise ValueError(
                f'{file} names {len(bad)} images {problem}, the first {bad[:3]}; '
                f'mend it or set {line}'
            )
    names_of = defaultdict(list)
    for entry in entries:
        names_of[tuple(*found[entry].values())].append(entry)
    twice = [names for names in names_of.values() if len(names) > 1]
    if twice:
        raise ValueError(
            f'{file} names {len(twice)} images twice, the first {twice[0]}; '
            f'mend it or set {line}'
        )
    indices = np.argsort(origin, kind='stable')
    ends = np.searchsorted(origin[indices], np.arange(stored + 1))

    def images(positions: Sequence[int]) -> np.ndarray:
        return np.sort(
            np.concatenate([indices[ends[p] : ends[p + 1]] for p in positions])
        )

    return {entry: images(*found[entry].values()) for entry in entries}


def _composed(name: str) -> str:
    # Some systems write é or 한 as several characters, and paths with backslashes.
    name = name.replace('\\', '/')
    return name if name.isascii() else normalize('NFC', name)
