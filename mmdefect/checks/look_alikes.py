"""Photographs of one split that look like some of another: perhaps of the same parts.

Thumbnails without their local mean and contrast, nor what all of training share, are
correlated. On the magnetic tiles 60 % of the normal validation photographs have one of
``ALIKE`` in training where photographs were drawn, and none where parts were drawn.
"""

from __future__ import annotations

import os
from typing import Collection, Iterable, Iterator, Mapping, NamedTuple

import cv2
import numpy as np

from mmdefect.checks.finding import Finding

SIDE, SIGMA = 64, 4  # pixels: of a thumbnail, of what is local in it
# Correlation from which on two are alike, and the share and number that are told.
ALIKE, SHARE, FEW = 0.8, 0.1, 5
# Photographs compared at most, of a split and of training, and the bytes of their
# files: less than a minute's.
OURS, THEIRS, BYTES = 1000, 4000, 2**30


class Pair(NamedTuple):
    """A photograph, the one of training most like it, and how alike, from -1 to 1."""

    ours: str
    theirs: str
    likeness: float


def look_alikes(ours: Iterable[str], theirs: Iterable[str]) -> list[Pair]:
    """The nearest photograph of training for each of a split, or of a sample of it."""
    mine, others = _sample(ours, OURS), _sample(theirs, THEIRS)
    if not mine or not others:
        return []
    learned = _thumbnails(others)
    shared = learned.mean(0)
    likeness = _unit(_thumbnails(mine), shared) @ _unit(learned, shared).T
    nearest = likeness.argmax(1)
    return [
        Pair(path, others[place], float(row[place]))
        for path, place, row in zip(mine, nearest.tolist(), likeness)
    ]


def check_look_alikes(
    ours: Mapping[str, bool], theirs: Collection[str], where: str
) -> Iterator[Finding]:
    """Ask whether two splits show the same parts.

    ``ours`` says of each photograph whether it shows a defect.
    """
    pairs = look_alikes(ours, theirs)
    counts = []
    for kind, shows in (('normal', False), ('with a defect', True)):
        of_kind = [pair for pair in pairs if ours[pair.ours] == shows]
        alike = sum(pair.likeness >= ALIKE for pair in of_kind)
        counts.append((alike, len(of_kind), kind))
    if sum(alike for alike, *_ in counts) < FEW or not any(
        alike > SHARE * number for alike, number, _ in counts
    ):
        return
    told = ' and '.join(f'{n:,} of {m:,} {kind}' for n, m, kind in counts if m)
    if len(pairs) < len(ours) or len(theirs) > THEIRS:
        told += f' in a sample of {len(pairs):,} of {len(ours):,}'
    most = max(pairs, key=lambda pair: pair.likeness)
    yield Finding(
        where,
        f'photographs that look like one of training (r >= {ALIKE}): {told}, such as '
        f'{most.ours} and {most.theirs}',
        'where they show the same parts, figures are too good for new parts: draw the '
        'split by part. `mmdefect inspect --save` shows such pairs, and metainfo='
        "dict(part=dict(pattern=r'...')) says which photographs show one part",
        '',
        breaks=False,
    )


def _sample(paths: Iterable[str], limit: int) -> list[str]:
    files = [path for path in paths if os.path.isfile(path)]
    few = _spread(files, limit)
    size = sum(map(os.path.getsize, few))
    return _spread(few, int(len(few) * min(1, BYTES / size)) if size else 0)


def _spread(paths: list[str], limit: int) -> list[str]:
    places = np.linspace(0, len(paths) - 1, min(limit, len(paths)))
    return [paths[place] for place in places.astype(int)]


def _thumbnails(paths: list[str]) -> np.ndarray:
    # (N, SIDE * SIDE), rows of 0 for what is no image or shows nothing.
    found = np.zeros((len(paths), SIDE, SIDE), np.float32)
    for row, path in zip(found, paths):
        data = np.fromfile(path, np.uint8)
        small = cv2.imdecode(data, cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if small is not None and min(small.shape) < SIDE:
            small = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        if small is None:
            continue
        small = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        detail = small - cv2.GaussianBlur(small.astype(np.float32), (0, 0), SIGMA)
        contrast = np.sqrt(cv2.GaussianBlur(detail**2, (0, 0), SIGMA))
        row[:] = _unit((detail / (contrast + 1)).reshape(1, -1)).reshape(SIDE, SIDE)
    return found.reshape(len(paths), -1)


def _unit(rows: np.ndarray, without: np.ndarray | float = 0) -> np.ndarray:
    # Of length 1, after something is taken off; rows of 0 stay so.
    rows = np.where(rows.any(1, keepdims=True), rows - without, 0)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
