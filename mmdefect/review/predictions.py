"""What runs on the line, judged by the results that it wrote in COCO's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from mmdefect.analysis.config import load_config
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.tracking import Track, untracked
from mmdefect.metrics.image_score import MOST_BOXES, Found
from mmdefect.pools.source import source_of
from mmdefect.review.photographs import Photographs
from mmdefect.review.unlikeness import Unlike

CUT = 0.05  # lowest score from which a file looks as if lower ones were cut off


class Predictions:
    """Results of an engine, in the place of a detector that is run."""

    def __init__(self, config: Path, path: Path, options: dict | None = None) -> None:
        if not path.is_file():
            raise UnusableError(f'{path} does not exist')
        self.config, self.checkpoint = config, path
        self.cfg = load_config(str(config), options)
        self.name = '/'.join(path.absolute().parts[-2:])
        self.notes: list[str] = []

    def score(
        self, photographs: Photographs, folder: Path, track: Track = untracked
    ) -> list[Found]:
        """What the file says of each photograph."""
        numbers = by_id(photographs, self.checkpoint)
        labels = categories(photographs)
        rows: list[list[tuple]] = [[] for _ in photographs.images]
        for image, category, box, score in read_predictions(self.checkpoint):
            for what, one, known in (
                ('image_id', image, numbers),
                ('category_id', category, labels),
            ):
                if one not in known:
                    raise UnusableError(
                        f'{self.checkpoint}: {what} {one!r} is not in the annotations '
                        f'that {self.config} names, which have {some(known)}: judge '
                        'the images that the results are of'
                    )
            if labels[category] in photographs.defect_labels:
                rows[numbers[image]].append((box, labels[category], score))
        self.notes = notes_on(rows, self.checkpoint.name)
        return [found_in(row) for row in rows]

    def unlikeness(self, *_: Any) -> dict[int, Unlike]:
        """Nothing: results have no backbone that tells photographs apart."""
        return {}


def read_predictions(path: Path) -> list[tuple]:
    """Image, category, box and score of each result."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        rows = [
            (row['image_id'], row['category_id'], *numbers_of(row)) for row in content
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableError(
            f"{path} is not in COCO's format of results, [{{image_id, category_id, "
            f'bbox: [left, top, width, height], score}}, ...]: '
            f'{type(error).__name__}: {error}'
        ) from error
    return rows


def numbers_of(row: dict) -> tuple[list[float], float]:
    """The box of a result, left, top, right, bottom, and its score."""
    left, top, width, height = map(float, row['bbox'])
    score = float(row['score'])
    if not 0 <= score <= 1:
        raise ValueError(f'a score of {score}, expected 0 to 1')
    return [left, top, left + width, top + height], score


def found_in(rows: list[tuple]) -> Found:
    """The results of one photograph, the surest first."""
    rows = sorted(rows, key=lambda row: -row[2])[:MOST_BOXES]
    boxes, labels, scores = zip(*rows) if rows else ((), (), ())
    return Found(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels, int),
        np.array(scores, np.float32),
    )


def by_id(photographs: Photographs, path: Path) -> dict[Any, int]:
    """The number of a photograph, by each id under which it is listed."""
    numbers: dict[Any, int] = {}
    for number, image in enumerate(photographs.images):
        for one in image.info['img_ids']:
            if numbers.setdefault(one, number) != number:
                raise UnusableError(
                    f'{path}: two photographs have the id {one!r}: judge the '
                    'annotation files one by one'
                )
    return numbers


def categories(photographs: Photographs) -> dict[int, int]:
    """Labels by the category ids of an annotation file, or else by themselves."""
    first, *_ = source_of(photographs.dataset).leaves
    labels = dict(enumerate(range(len(photographs.classes))))
    return getattr(first, 'cat2label', labels)


def notes_on(rows: list[list[tuple]], name: str) -> list[str]:
    """What should be known of a file of results."""
    said = []
    empty = sum(not row for row in rows)
    if empty:
        said.append(
            f'{empty:,} of {len(rows):,} images have no result in {name}: they count '
            'as images without a box.'
        )
    lowest = min((row[2] for image in rows for row in image), default=0)
    if lowest > CUT:
        said.append(
            f'The lowest score in {name} is {lowest:.3g}: what lies below was cut off, '
            'and no lower score can be judged.'
        )
    return said


def some(known: dict) -> str:
    """The first of some ids."""
    first = ', '.join(map(repr, list(known)[:3]))
    return f'{first}, ...' if len(known) > 3 else first
