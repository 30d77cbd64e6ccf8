r"""Which photographs show the same physical piece: they are no independent evidence.

A dataset says it in its ``metainfo``: ``part=dict(pattern=r'(.*)_exp\d')``, a regular
expression with one group on the file name, or ``part=dict(file='parts.txt')``, a text
file with a file name and its part a line. A dict, as MMEngine opens strings as files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Sequence

import numpy as np


def part_names(said: Any, paths: Sequence[str]) -> list[str]:
    """The part of each photograph; its own path where ``said`` is None."""
    if said is None:
        return list(paths)
    names = [Path(path).name for path in paths]
    keys = set(said) if isinstance(said, dict) else set()
    if keys == {'pattern'}:
        found = [re.search(said['pattern'], name) for name in names]
        if not all(one is None or len(one.groups()) == 1 for one in found):
            raise _refused(said)
        parts = [one and one[1] for one in found]
    elif keys == {'file'}:
        lines = Path(said['file']).read_text(encoding='utf-8').splitlines()
        listed = dict(line.rsplit(maxsplit=1) for line in lines if line.strip())
        parts = [listed.get(name) for name in names]
    else:
        raise _refused(said)
    lacking = [name for name, part in zip(names, parts) if not part]
    if lacking:
        raise ValueError(
            f'metainfo part={said!r} names no part of {len(lacking):,} of '
            f'{len(names):,} photographs, such as {lacking[0]}'
        )
    return [str(part) for part in parts]


def _refused(said: Any) -> ValueError:
    return ValueError(
        f"metainfo part={said!r}: expected dict(pattern=r'(.*)_exp\\d'), a regular "
        "expression with one group on the file name, or dict(file='parts.txt')"
    )


def numbered(names: Sequence[str]) -> np.ndarray | None:
    """Parts as numbers (N,), or None where every photograph is its own."""
    different, which = np.unique(names, return_inverse=True)
    return None if len(different) == len(names) else which


def highest_of(values: np.ndarray, parts: Any) -> np.ndarray:
    """Of each photograph the highest of the values (N, ...) of its part (N,)."""
    _, which = np.unique(parts, return_inverse=True)
    highest = np.zeros_like(values)
    np.maximum.at(highest, which, values)
    return highest[which]


def first_of(parts: Any) -> np.ndarray:
    """The first photograph of each part (N,), by its number."""
    return np.unique(parts, return_index=True)[1]


def together(numbers: Sequence[int], names: Sequence[str]) -> list[int]:
    """Photographs in their order, but those of a part beside its first."""
    first: dict[str, int] = {}
    for place, number in enumerate(numbers):
        first.setdefault(names[number], place)
    return sorted(numbers, key=lambda number: first[names[number]])
