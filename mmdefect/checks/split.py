"""Whether what judges a detector was also learned from: photographs in two splits."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from typing import Any, Iterable, Iterator, Mapping, Sequence

from mmdefect.checks.finding import Finding
from mmdefect.checks.look_alikes import check_look_alikes
from mmdefect.metrics.parts import part_names
from mmdefect.pools.indices import mask
from mmdefect.pools.infos import infos_of
from mmdefect.pools.photographs import tells_photographs
from mmdefect.pools.source import source_of

KNOWN = 'the detector knows them: its figures tell nothing about new photographs'
# Bytes from the middle of a file by which those of one length are told apart.
SAMPLE = 4096


def check_split(
    dataset: Any,
    training: Any,
    defect_classes: Sequence[str] | None,
    split: str,
    pixels: bool = True,
) -> Iterator[Finding]:
    """Find the photographs and parts that are in training and in another split, too.

    With ``pixels``, also files of other names that are the same byte by byte, and
    photographs that look alike.
    """
    where = f'{split}_dataloader.dataset'
    ours, theirs = (photographs(d, defect_classes) for d in (dataset, training))
    both = [path for path in ours if path in theirs]
    if both:
        files = _files(dataset) & _files(training)
        yield Finding(
            where,
            'photographs that are also trained on: '
            f'{len(both):,} of {len(ours):,}, such as {both[0]}'
            + (f'; both read {min(files)}' if files else ''),
            KNOWN,
            '',
        )
    same = {path: path for path in both}
    if pixels:
        copied = dict(_copies(ours.keys() - same.keys(), theirs))
        if copied:
            path = min(copied)
            yield Finding(
                where,
                'photographs that are copies, byte by byte, of some that are trained '
                f'on: {len(copied):,} of {len(ours):,}, such as {path} of '
                f'{copied[path]}',
                KNOWN,
                '',
            )
        same.update(copied)
    unlike = sorted(path for path in same if ours[path] != theirs[same[path]])
    if unlike:
        path = unlike[0]
        shows = 'here' if ours[path] else 'in training'
        yield Finding(
            where,
            'photographs that show a defect in one set and none in the other: '
            f'{len(unlike):,}, such as {path}, which shows one {shows}',
            'one of the two is wrong: a defect is taught or judged as normal',
            '',
        )
    others = {path: ours[path] for path in ours if path not in same}
    said = next(filter(None, map(_said, (dataset, training))), None)
    if said is not None:
        yield from _check_parts(said, others, theirs, where)
    elif pixels:
        yield from check_look_alikes(others, theirs, where)


def _said(dataset: Any) -> Any:
    # How a dataset says which photographs show one part.
    held = getattr(source_of(dataset).leaves[0], 'metainfo', None) or {}
    return held.get('part')


def _check_parts(
    said: Any, ours: Iterable[str], theirs: Iterable[str], where: str
) -> Iterator[Finding]:
    try:
        mine, others = (
            {part: path for path, part in zip(paths, part_names(said, list(paths)))}
            for paths in (ours, theirs)
        )
    except ValueError as error:
        why = 'whether parts are also trained on was not checked'
        yield Finding(f'{where}.metainfo', str(error), why, '')
        return
    both = [part for part in mine if part in others]
    if both:
        part = both[0]
        yield Finding(
            where,
            f'parts of which other photographs are trained on: {len(both):,} of '
            f'{len(mine):,}, such as {part} in {mine[part]} and {others[part]}',
            KNOWN,
            '',
        )


def photographs(dataset: Any, defect_classes: Sequence[str] | None) -> dict[str, bool]:
    """By path, whether a photograph of a dataset shows a defect."""
    source = source_of(dataset)
    is_defect = mask(source.defect_images(defect_classes), len(source))
    paths: list[str] = []
    for leaf in source.leaves:
        paths += (
            [_path(info) for info in infos_of(leaf)]
            if tells_photographs(leaf)
            else [''] * len(leaf)
        )
    found: dict[str, bool] = {}
    for position, defect in zip(source.origin.tolist(), is_defect.tolist()):
        if paths[position]:
            found[paths[position]] = found.get(paths[position], False) or defect
    return found


def _path(info: Mapping[str, Any]) -> str:
    path = str(info.get('img_path') or '')
    return path if '://' in path or not path else os.path.abspath(path)


def _files(dataset: Any) -> set[str]:
    listed = (getattr(leaf, 'ann_file', '') for leaf in source_of(dataset).leaves)
    return {os.path.abspath(path) for path in listed if path and '://' not in path}


def _copies(ours: Iterable[str], theirs: Iterable[str]) -> Iterator[tuple[str, str]]:
    # Pairs of files that hold the same; no more is read of them than that takes.
    for small in _alike(os.path.getsize, ours, theirs):
        for sampled in _alike(_sample, *small):
            for mine, others in _alike(_digest, *sampled):
                for path in mine:
                    yield path, others[0]


def _alike(key: Any, ours: Iterable[str], theirs: Iterable[str]) -> Iterator[tuple]:
    # Lists of files of both sides that have one key.
    sides: list[dict[Any, list[str]]] = []
    for paths in (ours, theirs):
        by_key = defaultdict(list)
        for path in paths:
            if os.path.isfile(path):
                by_key[key(path)].append(path)
        sides.append(by_key)
    for value, mine in sides[0].items():
        if value in sides[1]:
            yield mine, sides[1][value]


def _sample(path: str) -> bytes:
    with open(path, 'rb') as file:
        file.seek(os.path.getsize(path) // 2)
        return file.read(SAMPLE)


def _digest(path: str) -> bytes:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.digest()
