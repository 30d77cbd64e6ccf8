"""The colours and dashes of runs, the same for a sampler in every picture."""

from __future__ import annotations

import re
from typing import Any, Iterable

OF_SAMPLERS = {
    'quota': '#d55e00',
    'stock': '#0072b2',
    'weighted': '#009e73',
    'class_balanced': '#cc79a7',
    'class_aware': '#e69f00',
    'quota_unpreserved': '#56b4e9',
    'quota_schedule': '#444444',
}
COLOURS = tuple(OF_SAMPLERS.values())

# Later curves are dashed, so that they do not hide an equal one under them.
DASHES: Any = ('-', (0, (5, 2)), (0, (2, 2)), (0, (5, 2, 1, 2)), (0, (1, 1)), '--', ':')


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour for each run."""
    names = list(names)
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name not in OF_SAMPLERS):
        for sampler, colour in OF_SAMPLERS.items():
            own = re.search(rf'(^|[^a-z]){sampler}$', name)
            if own and name not in found and colour not in found.values():
                found[name] = colour
    left = [colour for colour in COLOURS if colour not in found.values()]
    others = [name for name in names if name not in found]
    turns = left or list(COLOURS)
    found.update({name: turns[n % len(turns)] for n, name in enumerate(others)})
    return {name: found[name] for name in names}
