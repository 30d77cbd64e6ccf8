"""The directory that a review writes, and nobody else."""

from __future__ import annotations

import json
from pathlib import Path

from mmdefect.analysis.errors import UnusableError
from mmdefect.review import lists, page

FIGURES, SCORES = 'review.json', 'scores'
OWN = {
    FIGURES,
    SCORES,
    page.PAGE,
    'thresholds.csv',
    'scores.csv',
    lists.SUSPECTS,
    lists.SHEET,
    lists.HARD,
    lists.MISSED,
}


def open_folder(folder: Path) -> None:
    """Make the directory of a review, or take up one that is there."""
    if folder.exists() and not folder.is_dir():
        raise UnusableError(f'--out {folder}: expected a directory')
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    foreign = sorted(name for name in names if name not in OWN and name[0] != '.')
    if foreign:
        raise UnusableError(
            f'{folder} holds other files, such as {foreign[0]}: choose another --out'
        )
    folder.mkdir(parents=True, exist_ok=True)


def reviewed_score(folder: Path, name: str) -> float | None:
    """The score that a review there found for a detector, if there is one."""
    try:
        content = json.loads((folder / FIGURES).read_text(encoding='utf-8'))
        if content['detector'] == name:
            return float(content['operating_point']['threshold'])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none, cut off, or written by something else
    return None
