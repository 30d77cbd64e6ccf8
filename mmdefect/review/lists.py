"""Lists of training images that the sampler takes, and what a person has decided.

``suspects.txt`` is to be looked through: a person strikes out the lines of good parts.
What was struck out becomes ``hard.txt``, a pool; what stays is for whoever labels.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Mapping, Sequence

import numpy as np

from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.files import whole, write_text
from mmdefect.metrics.image_score import Found
from mmdefect.pools.names import image_names
from mmdefect.review import findings, pictures
from mmdefect.review.photographs import Photographs
from mmdefect.review.pixels import Pixels
from mmdefect.review.unlikeness import Unlike

SUSPECTS, SHEET, HARD, MISSED = 'suspects.txt', 'suspects.jpg', 'hard.txt', 'missed.txt'

MOST_WEIGHT = 3.0  # of a missed image on which nothing at all was found

LISTED = '# Listed (leave this line as it is): '

SUSPECTS_SAYS = f"""\
# Normal training images in which the detector sees a defect, the surest first, and by
# turns those that look least like all others. They are in {SHEET} in this order:
# its red boxes are what the detector sees, the blue ones what no other image shows.
# Some of them may be defects that nobody labelled, so look at each. A good part:
# delete its line here. A defect: label it in the annotation file. Then run the same
# command again: deleted lines go to {HARD}.
"""
HARD_SAYS = f"""\
# Good parts that look like defects, as a person decided in {SUSPECTS}:
# sampler=dict(type='DefectPoolSampler', pools=dict(hard='{HARD}')) and
# batch_sampler=dict(type='QuotaBatchSampler', quota=dict(defect=3, hard=1))
"""
MISSED_SAYS = f"""\
# Defect images that the detector misses, and how often to draw them (the others: 1):
# sampler=dict(type='DefectPoolSampler', weights='{MISSED}')
"""


def read_list(path: Path) -> list[str]:
    """The lines of a list, without comments; empty where there is no such file."""
    if not path.is_file():
        return []
    lines = [text.strip() for text in path.read_text(encoding='utf-8').splitlines()]
    return [text for text in lines if text and not text.startswith('#')]


def struck_out(folder: Path) -> list[str]:
    """What a person took off the list of suspects since it was written."""
    path = folder / SUSPECTS
    if not path.is_file():
        return []
    # The file itself tells what was on it, so that no interruption parts the two.
    lines = path.read_text(encoding='utf-8').splitlines()
    said = [text[len(LISTED) :] for text in lines if text.startswith(LISTED)]
    try:
        listed = json.loads(said[0]) if said else []
    except json.JSONDecodeError as error:
        raise UnusableError(
            f'{path} has another line {LISTED!r} than was written: remove the file, '
            'and the next review writes it anew'
        ) from error
    left = set(read_list(path))
    return [name for name in listed if name not in left]


def write_lists(
    folder: Path,
    photographs: Photographs,
    found: Sequence[Found],
    unlike: Mapping[int, Unlike],
    threshold: float,
    most: int,
) -> dict[str, list[str]]:
    """Write all lists."""
    names = image_names(photographs.dataset)
    images = photographs.images
    named = [names[image.path] for image in images]
    normal = {name for name, image in zip(named, images) if not image.is_defect}
    # Whoever labels an image may strike it out as well.
    decided = [*read_list(folder / HARD), *struck_out(folder)]
    hard = [name for name in dict.fromkeys(decided) if name in normal]
    taken = set(hard)
    seen = findings.normal_suspects(images, found, len(images))
    strange = sorted(unlike, key=lambda n: -unlike[n].distance)
    ranked = findings.by_turns(
        *([n for n in one if named[n] not in taken] for one in (seen, strange))
    )
    suspects = ranked[:most]
    missed = findings.misses(images, found, threshold)
    scores = findings.image_scores(found)
    weights = 1 + (MOST_WEIGHT - 1) * (1 - scores[missed] / np.float32(threshold))
    lists = {
        HARD: hard,  # before the list is written anew that it was struck out of
        SUSPECTS: [named[n] for n in suspects],
        MISSED: [f'{named[n]} {w:.2f}' for n, w in zip(missed, weights.tolist())],
    }
    listed = f'{LISTED}{json.dumps(lists[SUSPECTS])}\n'
    says = {SUSPECTS: SUSPECTS_SAYS + listed, HARD: HARD_SAYS, MISSED: MISSED_SAYS}
    for file, lines in lists.items():
        if not lines:
            (folder / file).unlink(missing_ok=True)  # the sampler takes no empty list
            continue
        write_text(folder / file, says[file] + '\n'.join(lines) + '\n')
    if not suspects:
        (folder / SHEET).unlink(missing_ok=True)
        return lists
    places = {n: place for place, n in enumerate(strange, start=1)}
    cells = [
        _cell(images[n].info, found[n], unlike.get(n), places.get(n)) for n in suspects
    ]
    with whole(folder / SHEET) as part:
        pictures.contact_sheet(cells, Pixels(photographs.pipeline), part)
    return lists


def _cell(
    info: dict, found: Found, unlike: Unlike | None, place: int | None
) -> pictures.Cell:
    surest, text = next(iter(found.boxes), None), f'{found.score:.2f}'
    if unlike is None:
        return pictures.Cell(info, text, surest)
    return pictures.Cell(info, f'{text}, unlike: no. {place}', surest, unlike.box)
