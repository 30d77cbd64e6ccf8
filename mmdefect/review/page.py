"""The page of a review: one file to open, with its pictures beside it."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import shutil
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from mmdefect.analysis.files import whole
from mmdefect.metrics.image_score import Found
from mmdefect.review import findings, operating, pictures
from mmdefect.review.photographs import Photographs
from mmdefect.review.review import Against, Review

PAGE, PICTURES = 'index.html', 'pictures'


def percent(value: float, rounded: Callable[[float], float] = round) -> str:
    """A share as a person writes it: ``12 %``, ``0.5 %``, ``99.96 %``."""
    hundred = round(100 * float(value), 9)
    near = min(hundred, 100 - hundred)  # to a rate of which nothing, or all, is left
    digits = max(1 - math.floor(math.log10(near) + 0.003), 0) if near > 0 else 0
    text = f'{rounded(round(hundred * 10**digits, 6)) / 10**digits:.{digits}f}'
    return f'{text.rstrip("0").rstrip(".") if digits else text} %'


def interval(pair: Sequence[float]) -> str:
    """From one share to another, no narrower than it is."""
    low, high = percent(pair[0], math.floor), percent(pair[1], math.ceil)
    return f'{low[:-2]} to {high}' if low != high else low


def points(value: float) -> str:
    """A difference of shares, in percentage points."""
    return (
        f'{100 * value:+.1f}'.replace('-', '−')
        .replace('+0.0', '0.0')
        .replace('−0.0', '0.0')
    )


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Write a folder of the page, which takes the place of what was there."""
    part = folder.with_name(f'.{folder.name}.{os.getpid()}.part')
    old = folder.with_name(f'.{folder.name}.{os.getpid()}.old')
    part.mkdir()
    try:
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def render(**content: Any) -> str:
    """Fill the template."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        interval=interval,
        points=points,
        count=lambda number: f'{number:,}',
    )
    return environment.get_template('page.html').render(**content)


class Shots:
    """Makes pictures of photographs for a page."""

    def __init__(
        self, photographs: Photographs, found: Sequence[Found], folder: Path
    ) -> None:
        self.photographs, self.found, self.folder = photographs, found, folder

    def make(self, number: int, said: str, boxes: np.ndarray | None = None) -> dict:
        """One picture, with some boxes of the detector, or else its surest."""
        image = self.photographs.images[number]
        boxes = self.found[number].boxes[:1] if boxes is None else boxes
        shown = pictures.picture(image, boxes, self.folder, PICTURES)
        return dict(picture=shown, said=said, name=Path(image.path).name)

    def scored(self, numbers: Sequence[int]) -> list[dict]:
        """Pictures with their scores."""
        return [self.make(n, self.score(n)) for n in numbers]

    def score(self, number: int) -> str:
        """What is said of the score of a photograph."""
        score = float(self.found[number].score)
        return f'score {score:.3g}' if score else 'no box at all'


def write_page(
    folder: Path,
    review: Review,
    against: Against | None,
    lists: dict[str, list],
    about: dict,
    most: int,
) -> None:
    """Write the page of a review."""
    images, found, point = review.images, review.found, review.point
    threshold, photographs = point.threshold, review.photographs
    missed = findings.misses(images, found, threshold)
    hits = findings.hits(images, found, threshold)
    alarms = findings.false_alarms(images, found, threshold)
    nearest = findings.normal_suspects(images, found, min(most, 4))
    suspects = findings.label_suspects(images, found, threshold, photographs.classes)
    content: dict[str, Any] = dict(
        about,
        folder=False,
        name=review.name,
        split=review.split,
        total=len(images),
        point=point,
        points=list(review.points.items()),
        here=next((r for r, p in review.points.items() if p == point), None),
        verdicts=review.verdicts,
        silent=not any(one.score for one in found),
        provable=dict(
            overkill=operating.smallest_provable(point.normals),
            escape=operating.smallest_provable(point.defects),
        ),
        needed=[(r, operating.images_to_prove(r)) for r in operating.RATES],
        classes=findings.class_rows(
            images, found, threshold, photographs.classes, photographs.defect_labels
        ),
        suspects_total=len(suspects),
        lists=lists,
        out=str(folder),
        against=against,
    )
    curves, dots = {review.name: review.curve}, {review.name: point}
    if against:
        other = against.review
        curves[other.name], dots[other.name] = other.curve, other.point
        content.update(
            against_says=sentence(review, against),
            compared=[
                (rate, review.points[rate], other.points[rate], difference)
                for rate, difference in zip(operating.RATES, against.differences)
            ],
        )
    for key, size in (('wide', pictures.WIDE), ('narrow', pictures.NARROW)):
        content[key] = safe(pictures.draw_curve(curves, dots, size))
    with replaced(folder / PICTURES) as part:
        shots = Shots(photographs, found, part)
        content.update(
            missed=shots.scored(missed[:most]),
            hits=shots.scored(spread(hits, max(most // 2, 1))),
            alarms=shots.scored((alarms or nearest)[:most]),
            suspects=[
                shots.make(one.number, f'{one.why}, {one.score:.2f}', one.box[None])
                for one in suspects[:most]
            ],
            only_first=shots.scored(against.only_first[:most]) if against else [],
            only_second=[],
        )
        if against:
            others = Shots(photographs, against.review.found, part)
            content['only_second'] = others.scored(against.only_second[:most])
        write(folder, content)


def write_folder_page(
    folder: Path,
    photographs: Photographs,
    found: Sequence[Found],
    threshold: float,
    about: dict,
    most: int,
) -> None:
    """Write the page of a folder without annotations."""
    scores = findings.image_scores(found)
    order = np.argsort(-scores, kind='stable').tolist()
    with replaced(folder / PICTURES) as part:
        shots = Shots(photographs, found, part)
        content = dict(
            about,
            folder=True,
            total=len(scores),
            flagged=int((scores >= threshold).sum()),
            threshold=threshold,
            highest=f'{scores.max():.3g}',
            pictures=shots.scored(order[:most]),
        )
        write(folder, content)


def write(folder: Path, content: dict) -> None:
    """Render and write the page."""
    made = datetime.date.today().isoformat()
    with whole(folder / PAGE) as part:
        part.write_text(render(**content, made=made), encoding='utf-8')


def spread(items: list[int], most: int) -> list[int]:
    """Some of many, from the first to the last."""
    if len(items) <= most:
        return items
    return [items[n * (len(items) - 1) // max(most - 1, 1)] for n in range(most)]


def sentence(review: Review, against: Against) -> str:
    """What a comparison says, in one sentence."""
    rate, one = next(
        (r, d)
        for r, d in zip(operating.RATES, against.differences)
        if r >= min(review.point.overkill, operating.RATES[-1])
    )
    names = [review.name, against.review.name]
    at = f'With at most {percent(rate)} of good parts stopped'
    by = f'{points(one.low)} to {points(one.high)} percentage points'
    if one.low <= 0 <= one.high:
        return f'{at}, these images do not tell which of both misses less ({by}).'
    better, other = names if one.mean < 0 else names[::-1]
    return f'{at}, {better} misses fewer defects than {other} (difference {by}).'


def safe(text: str) -> Any:
    """Markup that the template takes as it is."""
    from markupsafe import Markup

    return Markup(text)
