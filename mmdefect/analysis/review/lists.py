"""Lists of training images that the sampler takes, and what a person has decided.

``suspects.txt`` is to be looked through: a person strikes out the lines of good parts.
What was struck out becomes ``hard.txt``, a pool; what stays is for whoever labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np

from mmdefect.analysis.files import whole
from mmdefect.analysis.review import findings, pictures
from mmdefect.analysis.review.photographs import Photographs
from mmdefect.metrics.image_score import Found
from mmdefect.pools.names import image_names

SUSPECTS, SHEET, HARD, MISSED = 'suspects.txt', 'suspects.jpg', 'hard.txt', 'missed.txt'

MOST_WEIGHT = 3.0  # of a missed image on which nothing at all was found

SUSPECTS_SAYS = f"""\
# Normal training images in which the detector sees a defect, the surest first; they
# are in {SHEET} in this order. Some of them may be defects that nobody labelled, so
# look at each. A good part: delete its line here. A defect: label it in the
# annotation file. Then run the same command again: deleted lines go to {HARD}.
"""
HARD_SAYS = f"""\
# Good parts that the detector takes for defects, as a person decided in {SUSPECTS}:
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


def struck_out(folder: Path, listed: Sequence[str]) -> list[str]:
    """What a person took off the list of suspects since it was written.

    Args:
        folder (Path): Where the list is.
        listed (Sequence[str]): What was written.

    Returns:
        list[str]: Names of images. A list that is not there was not looked through.
    """
    path = folder / SUSPECTS
    left = set(read_list(path))
    return [name for name in listed if name not in left] if path.is_file() else []


def write_lists(
    folder: Path,
    photographs: Photographs,
    found: Sequence[Found],
    threshold: float,
    most: int,
    before: Sequence[str],
) -> dict[str, list[str]]:
    """Write all lists.

    Args:
        folder (Path): Where they go.
        photographs (Photographs): The training images.
        found (Sequence[Found]): What the detector finds on each.
        threshold (float): From which score a box counts.
        most (int): Suspects to list.
        before (Sequence[str]): Suspects that the last review listed.

    Returns:
        dict[str, list[str]]: Names of images by list.
    """
    names = image_names(photographs.dataset)
    images = photographs.images
    named = [names[image.path] for image in images]
    normal = {name for name, image in zip(named, images) if not image.is_defect}
    # Whoever labels an image may strike it out as well.
    decided = [*read_list(folder / HARD), *struck_out(folder, before)]
    hard = [name for name in dict.fromkeys(decided) if name in normal]
    scored = findings.normal_suspects(images, found, most + len(hard))
    suspects = [n for n in scored if named[n] not in set(hard)][:most]
    missed = findings.misses(images, found, threshold)
    scores = findings.image_scores(found)
    weights = 1 + (MOST_WEIGHT - 1) * (1 - scores[missed] / np.float32(threshold))
    lists = {
        SUSPECTS: [named[n] for n in suspects],
        HARD: hard,
        MISSED: [f'{named[n]} {w:.2f}' for n, w in zip(missed, weights.tolist())],
    }
    says = {SUSPECTS: SUSPECTS_SAYS, HARD: HARD_SAYS, MISSED: MISSED_SAYS}
    for file, lines in lists.items():
        if not lines:
            (folder / file).unlink(missing_ok=True)  # the sampler takes no empty list
            continue
        with whole(folder / file) as part:
            part.write_text(says[file] + '\n'.join(lines) + '\n', encoding='utf-8')
    if not suspects:
        (folder / SHEET).unlink(missing_ok=True)
    else:
        with whole(folder / SHEET) as part:
            pictures.contact_sheet(
                [images[n] for n in suspects], [found[n] for n in suspects], part
            )
    return lists
