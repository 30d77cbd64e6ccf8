"""The page of a review: one file to open and to mail, with its pictures in it."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Iterable, Sequence

import numpy as np

from mmdefect.analysis.files import write_text
from mmdefect.metrics.image_score import Found
from mmdefect.metrics.parts import together
from mmdefect.metrics.rates import percent, percent_range
from mmdefect.review import findings, operating, pictures
from mmdefect.review.advice import next_week, steps
from mmdefect.review.lists import SHEET, SUSPECTS
from mmdefect.review.photographs import Photographs
from mmdefect.review.pixels import Pixels
from mmdefect.review.review import Against, Review

PAGE = 'index.html'
MOST_BYTES = 12_000_000  # of pictures on a page, which can still be mailed


def points(value: float) -> str:
    """A difference of shares, in percentage points."""
    return (
        f'{100 * value:+.1f}'.replace('-', '−')
        .replace('+0.0', '0.0')
        .replace('−0.0', '0.0')
    )


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
        interval=percent_range,
        points=points,
        count=lambda number: f'{number:,}',
    )
    return environment.get_template('page.html').render(**content)


class Shots:
    """Makes pictures of photographs for a page, as many as fit."""

    def __init__(self, photographs: Photographs, found: Sequence[Found]) -> None:
        self.photographs, self.found = photographs, found
        self.pixels = Pixels(photographs.pipeline)
        self.taken, self.shown, self.left_out = 0, 0, 0

    def make(self, number: int, said: str, boxes: np.ndarray | None = None) -> dict:
        """One picture, with some boxes of the detector, or else its surest."""
        image = self.photographs.images[number]
        boxes = self.found[number].boxes[:1] if boxes is None else boxes
        shown = pictures.picture(image, boxes, self.pixels(image.info))
        name = Path(image.path).name
        return dict(picture=shown, said=said, name=name, part=image.part)

    def fitting(self, items: Iterable[tuple[int, str, Any]]) -> list[dict]:
        """Pictures while there is room on the page."""
        made = []
        for item in items:
            if self.taken < MOST_BYTES:
                made.append(self.make(*item))
                self.taken += len(made[-1]['picture'].href)
                self.shown += 1
            else:
                self.left_out += 1
        return made

    def scored(
        self, numbers: Sequence[int], found: Sequence[Found] | None = None
    ) -> list[dict]:
        """Pictures with their scores, and the surest box."""
        found = found or self.found
        parts = [image.part or image.path for image in self.photographs.images]
        numbers = together(numbers, parts)
        return self.fitting((n, scored(found[n]), found[n].boxes[:1]) for n in numbers)


def scored(found: Found) -> str:
    """What is said of the score of a photograph."""
    score = float(found.score)
    return f'score {score:.3g}' if score else 'no box at all'


def write_page(
    folder: Path,
    review: Review,
    against: Against | None,
    lists: dict[str, list],
    about: dict,
    overkill: float,
    most: int,
) -> None:
    """Write the page of a review."""
    images, found, point = review.images, review.found, review.point
    photographs = review.photographs
    missed, hits, alarms = review.missed(), review.hits(), review.alarms()
    nearest = findings.normal_suspects(images, found, min(most, 4))
    suspects = review.suspects()
    rates = [overkill, *review.points]
    content: dict[str, Any] = dict(
        about,
        kind='training' if review.split == 'train' else 'judged',
        name=review.name,
        split=review.split,
        total=len(images),
        unit=photographs.unit,
        point=point,
        points=list(review.points.items()),
        # Several rates may have one score: that which was asked for.
        here=next((r for r in rates if review.points.get(r) == point), None),
        verdicts=review.verdicts,
        caveats=review.caveats,
        steps=steps(review, about['config'], about['command']),
        next_week=next_week(review, overkill, about),
        by_class=review.by_class,
        provable=dict(
            overkill=point.overkill.provable,
            escape=point.escape.provable,
        ),
        needed=[(r, operating.images_to_prove(r)) for r in operating.RATES],
        classes=review.classes(),
        suspects_total=len(suspects),
        lists=lists,
        sheet=safe(pictures.inlined((folder / SHEET).read_bytes()))
        if lists.get(SUSPECTS)
        else '',
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
    shots = Shots(photographs, found)
    content.update(
        missed=shots.scored(missed[:most]),
        alarms=shots.scored((alarms or nearest)[:most]),
        suspects=shots.fitting(
            (one.number, f'{one.why}, {one.score:.2f}', one.box[None])
            for one in suspects[:most]
        ),
        hits=shots.scored(spread(hits, max(most // 2, 1))),
        only_first=shots.scored(against.only_first[:most]) if against else [],
        only_second=shots.scored(against.only_second[:most], against.review.found)
        if against
        else [],
    )
    write(folder, content, shots)


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
    shots = Shots(photographs, found)
    content = dict(
        about,
        out=str(folder),
        kind='folder',
        total=len(scores),
        flagged=int((scores >= threshold).sum()),
        threshold=threshold,
        highest=f'{scores.max():.3g}',
        pictures=shots.scored(order[:most]),
    )
    write(folder, content, shots)


def write(folder: Path, content: dict, shots: Shots) -> None:
    """Render and write the page."""
    made = datetime.date.today().isoformat()
    content.update(shown=shots.shown, left_out=shots.left_out)
    write_text(folder / PAGE, render(**content, made=made))


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
        if r >= min(review.point.overkill.share, operating.RATES[-1])
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
