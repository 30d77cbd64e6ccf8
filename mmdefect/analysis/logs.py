"""The scalars that MMEngine logged of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from mmdefect.analysis.errors import UnusableError

# Positions and values of a scalar, by its name.
Curves = Dict[str, List[Tuple[int, float]]]


def read_run(work_dir: Path) -> Curves:
    """Read all logs of a run."""
    if not work_dir.is_dir():
        raise UnusableError(f'{work_dir} is no directory')
    # Named by the time at which they were started.
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    if not logs:
        raise UnusableError(
            f'no log in {work_dir}: MMEngine writes */vis_data/scalars.json there'
        )
    curves: dict[str, dict[int, float]] = {}
    last = 0
    for path in logs:
        rows = list(read_log(path))
        begins = min((row['step'] for row in rows if 'lr' in row), default=None)
        if begins is not None:
            for curve in curves.values():
                for step in [step for step in curve if step >= begins]:
                    del curve[step]
            last = min(last, begins - 1)
        for row in rows:
            # A validation is logged with the number of its epoch, or with that of its
            # iteration. It comes after the training that was logged before it.
            last = row['step'] if 'lr' in row else max(last, row['step'])
            for name, value in row.items():
                # -1 is pycocotools' word for a mean of nothing.
                if isinstance(value, (int, float)) and value != -1:
                    curves.setdefault(name, {})[last] = value
    if 'loss' not in curves:
        raise UnusableError(f'no training in {", ".join(map(str, logs))}')
    return {name: sorted(curve.items()) for name, curve in curves.items() if curve}


def read_log(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one log; the last one may have been cut off by an interruption."""
    lines = path.read_text(encoding='utf-8').splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            row['step'] = int(row['step'])
        except (ValueError, KeyError, TypeError):
            if number == len(lines):
                return
            raise UnusableError(f'{path}, line {number}: no row of a log') from None
        yield row
