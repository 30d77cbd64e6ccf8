"""A review: what was measured, and what it says."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple, Sequence

from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.files import whole, write_text
from mmdefect.metrics.image_score import Found
from mmdefect.review import findings, operating
from mmdefect.review.by_class import ByClass
from mmdefect.review.operating import Curve, Difference, Point
from mmdefect.review.photographs import Photographs
from mmdefect.review.requirement import Verdict


class Review(NamedTuple):
    """What a detector does on photographs."""

    name: str  # what the detector is called
    split: str  # what the photographs are called
    photographs: Photographs
    found: list[Found]  # what it finds on each
    curve: Curve
    point: Point  # the one that is looked at
    points: dict[float, Point]  # the lowest that keeps each overkill rate
    verdicts: list[Verdict]  # what was required
    caveats: list[str]  # what the figures do not say
    by_class: ByClass | None = None  # A score for each class

    @property
    def images(self) -> list:
        """list[Photograph]: The photographs."""
        return self.photographs.images

    def missed(self) -> list[int]:
        """Defect images that pass, the least suspected first."""
        return findings.misses(self.images, self.found, self.point.threshold)

    def hits(self) -> list[int]:
        """Defect images that are flagged, the surest first."""
        return findings.hits(self.images, self.found, self.point.threshold)

    def alarms(self) -> list[int]:
        """Normal images that are flagged, the surest first."""
        return findings.false_alarms(self.images, self.found, self.point.threshold)

    def suspects(self) -> list[findings.Suspect]:
        """Labels that look wrong."""
        at, classes = self.point.threshold, self.photographs.classes
        return findings.label_suspects(self.images, self.found, at, classes)

    def classes(self) -> list[findings.ClassRow]:
        """How many defects of each class are found."""
        shown, at = self.photographs, self.point.threshold
        return findings.class_rows(
            shown.images, self.found, at, shown.classes, shown.defect_labels
        )


class Against(NamedTuple):
    """Another detector on the same photographs.

    Args:
        review (Review): What it does.
        differences (list[Difference]): Escape rates, those of the first less its.
        only_first (list[int]): Defect images that only the first finds, each detector
            at its own threshold.
        only_second (list[int]): Those that only the other finds.
    """

    review: Review
    differences: list[Difference]
    only_first: list[int]
    only_second: list[int]


def check_kinds(photographs: Photographs, split: str) -> None:
    """Check that there are defect and normal images."""
    images = photographs.images
    defects = findings.decided(images, findings.defects_among(images))
    what = '{} image' if photographs.unit == 'images' else 'photograph of a {} part'
    for kind, there, fix in (
        ('defect', defects, 'annotate some, or see metainfo and defect_classes'),
        ('normal', ~defects, 'filter_cfg=dict(filter_empty_gt=False) keeps them'),
    ):
        if not there.any():
            raise UnusableError(
                f'none of the {len(defects):,} images of {split} is a '
                f'{what.format(kind)}, so no threshold can be judged: add some to '
                f'{split}_dataloader.dataset ({fix})'
            )


def make_review(
    name: str,
    split: str,
    photographs: Photographs,
    found: list[Found],
    overkill: float,
    threshold: float | None = None,
) -> Review:
    """Judge a detector by what it found."""
    curve = findings.curve_of(photographs.images, found)
    point = operating.at_overkill(curve, overkill)
    if threshold is not None:
        point = operating.at_threshold(curve, threshold)
    points = {rate: operating.at_overkill(curve, rate) for rate in operating.RATES}
    return Review(name, split, photographs, found, curve, point, points, [], [])


def compare(review: Review, other: Review) -> Against:
    """Compare two detectors on the same photographs."""
    images = review.images
    once = findings.decisions(images)
    parts = findings.parts_among([images[n] for n in once])
    defects, *scores = (
        findings.decided(images, values)[once]
        for values in (
            findings.defects_among(images),
            *(findings.image_scores(one.found) for one in (review, other)),
        )
    )
    first, second = set(review.hits()), set(other.hits())
    return Against(
        other,
        operating.differences(scores[0], scores[1], defects, parts),
        sorted(first - second),
        sorted(second - first),
    )


def as_dict(review: Review, against: Against | None = None) -> dict:
    """A review for JSON: figures and file names, no pictures."""
    paths = [image.path for image in review.images]
    content: dict[str, Any] = dict(
        detector=review.name,
        images=review.split,
        missed=[paths[n] for n in review.missed()],
        false_alarms=[paths[n] for n in review.alarms()],
        labels_to_check=[
            dict(image=paths[one.number], score=one.score, why=one.why)
            for one in review.suspects()
        ],
    )
    if review.split != 'train':  # where no rate holds for anything else
        content.update(rates_as_dict(review))
    if against:
        content['against'] = dict(
            detector=against.review.name,
            operating_point=against.review.point.as_dict(),
            differences=[one._asdict() for one in against.differences],
            only_first=[paths[n] for n in against.only_first],
            only_second=[paths[n] for n in against.only_second],
        )
    return content


def rates_as_dict(review: Review) -> dict:
    """What a review says of new parts, for JSON."""
    point = review.point
    return dict(
        operating_point=point.as_dict(),
        thresholds=[
            dict(overkill_at_most=rate, **one.as_dict())
            for rate, one in review.points.items()
        ],
        smallest_provable=dict(
            overkill=point.overkill.provable,
            escape=point.escape.provable,
        ),
        classes=[row.as_dict() for row in review.classes()],
        requirements=[
            dict(requirement=one.requirement.text, met=one.met, said=str(one))
            for one in review.verdicts
        ],
        caveats=review.caveats,
        by_class=review.by_class and review.by_class.as_dict(),
    )


def write_thresholds(folder: Path, review: Review) -> None:
    """Write ``thresholds.csv``: what each overkill rate costs."""

    def by_class(rate: float) -> dict[str, float]:
        return review.by_class.scores[rate] if review.by_class else {}

    rows = [
        dict(
            overkill_at_most=rate,
            **one.as_dict(),
            **{f'score of {name}': score for name, score in by_class(rate).items()},
        )
        for rate, one in review.points.items()
    ]
    write_csv(folder / 'thresholds.csv', rows)


def write_scores(
    folder: Path, photographs: Photographs, found: Sequence[Found]
) -> None:
    """Write ``scores.csv``: each image, what it is, and its score."""
    rows = [
        dict(
            image=image.path,
            annotated='defect' if image.is_defect else 'normal',
            score=float(one.score),
        )
        for image, one in zip(photographs.images, found)
    ]
    if photographs.dataset is None:
        rows = [dict(image=row['image'], score=row['score']) for row in rows]
    write_csv(folder / 'scores.csv', sorted(rows, key=lambda row: -row['score']))


def write_csv(path: Path, rows: Sequence[dict]) -> None:
    """Write rows of the same keys."""
    with whole(path) as part, open(part, 'w', newline='', encoding='utf-8') as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: Path, content: dict) -> None:
    """Write JSON."""
    write_text(path, json.dumps(content, indent=1) + '\n')
