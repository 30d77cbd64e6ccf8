"""Which images are missed, flagged in vain, or labelled in a way that looks wrong.

The kinds of wrong labels are those of ObjectLab (Tkachenko, Thyagarajan, Mueller,
"ObjectLab: Automated Diagnosis of Mislabeled Images in Object Detection Data", 2023): a
box that nobody drew, and a box of another class. Boxes in a wrong place are left out:
a detector's own place is rarely better than a person's.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import Any, NamedTuple, Sequence

import numpy as np

from mmdefect.metrics.boxes import match, overlaps
from mmdefect.metrics.image_score import Found
from mmdefect.metrics.parts import first_of, highest_of, numbered
from mmdefect.metrics.rates import Rate, rate_of
from mmdefect.review.operating import Curve, make_curve
from mmdefect.review.photographs import Photograph

IOU_FOUND = 0.3  # boxes of defects are drawn loosely
IOU_SAME = 0.5  # from which two boxes mean the same defect
IOU_APART = 0.05  # below which they do not


class Suspect(NamedTuple):
    """A label that looks wrong."""

    number: int  # the photograph, by its place in the list
    score: float  # how sure the detector is
    box: np.ndarray  # what it found, (4,)
    why: str  # what is wrong, if the detector is right


class ClassRow(NamedTuple):
    """How many defects of a class are found at a threshold.

    Args:
        name (str): The class.
        flagged (Rate): Photographs of it, or parts, flagged for whatever defect.
        found (Rate): Annotated boxes that a box of the same class meets.
        confused (str): The class as which most of the others are seen, or ''.
    """

    name: str
    flagged: Rate
    found: Rate
    confused: str

    def as_dict(self) -> dict:
        """For JSON."""
        return dict(
            name=self.name,
            images=self.flagged.total,
            flagged=self.flagged.hits,
            boxes=self.found.total,
            found=self.found.hits,
            confused=self.confused,
        )


def image_scores(found: Sequence[Found]) -> np.ndarray:
    """The score of each image, its surest box, float32."""
    return np.array([one.score for one in found], np.float32)


def parts_among(images: Sequence[Photograph]) -> np.ndarray | None:
    """The part of each image as a number (n,), or None where each is its own."""
    return numbered([image.part or image.path for image in images])


def decided(images: Sequence[Photograph], values: np.ndarray) -> np.ndarray:
    """The highest of some values (n, ...) of what each photograph is decided with."""
    return highest_of(values, [image.decided for image in images])


def decisions(images: Sequence[Photograph]) -> np.ndarray:
    """One photograph of each decision, by its number, (m,)."""
    return first_of([image.decided for image in images])


def curve_of(images: Sequence[Photograph], found: Sequence[Found]) -> Curve:
    """All thresholds of a detector on photographs."""
    once = decisions(images)
    values = image_scores(found), defects_among(images)
    scores, defects = (decided(images, one)[once] for one in values)
    return make_curve(scores, defects, parts_among([images[n] for n in once]))


def defects_among(images: Sequence[Photograph]) -> np.ndarray:
    """Whether each image shows a defect, by its annotations, (n,)."""
    return np.array([image.is_defect for image in images], bool)


def misses(
    images: Sequence[Photograph], found: Sequence[Found], threshold: float
) -> list[int]:
    """Defect images that pass, the least suspected first."""
    scores = image_scores(found)
    passed = ~(decided(images, scores) >= threshold)
    return _sorted(defects_among(images) & passed, scores)


def hits(
    images: Sequence[Photograph], found: Sequence[Found], threshold: float
) -> list[int]:
    """Defect images that are flagged, the surest first."""
    scores = image_scores(found)
    flagged = decided(images, scores) >= threshold
    return _sorted(defects_among(images) & flagged, -scores)


def false_alarms(
    images: Sequence[Photograph], found: Sequence[Found], threshold: float
) -> list[int]:
    """Normal images that are flagged, the surest first."""
    scores = image_scores(found)
    normal = ~decided(images, defects_among(images))
    return _sorted(normal & (scores >= threshold), -scores)


def normal_suspects(
    images: Sequence[Photograph], found: Sequence[Found], most: int
) -> list[int]:
    """Normal images in which the detector sees a defect, the surest first."""
    scores = image_scores(found)
    return _sorted(~defects_among(images) & (scores > 0), -scores)[:most]


def by_turns(*rankings: Sequence[int]) -> list[int]:
    """The first of each ranking, then the second of each, every item once."""
    rounds = zip_longest(*rankings)
    return [n for n in dict.fromkeys(chain.from_iterable(rounds)) if n is not None]


def _sorted(chosen: np.ndarray, keys: np.ndarray) -> list[int]:
    numbers = np.flatnonzero(chosen)
    return numbers[np.argsort(keys[numbers], kind='stable')].tolist()


def label_suspects(
    images: Sequence[Photograph],
    found: Sequence[Found],
    threshold: float,
    classes: Sequence[str],
) -> list[Suspect]:
    """Labels that look wrong: the detector is sure, and the annotations differ.

    Sure is a box that reaches both the threshold and the median score of the defect
    images. Of each image only the surest such box is told.
    """
    defects = defects_among(images)
    if not defects.any():
        return []
    sure = max(threshold, float(np.median(image_scores(found)[defects])))
    suspects = []
    for number, (image, one) in enumerate(zip(images, found)):
        drawn = np.concatenate([image.boxes, image.others])
        for box, label, score in zip(one.boxes, one.labels, one.scores):
            if not score >= sure or score <= 0:
                break
            ious = overlaps(box[None], drawn)[0]
            of_defects = ious[: len(image.boxes)]
            why = ''
            if ious.max(initial=0) < IOU_APART:
                why = f'{classes[label]} not annotated'
            elif of_defects.max(initial=0) >= IOU_SAME:
                meant = image.labels[of_defects >= IOU_SAME]
                if label not in meant:
                    first = image.labels[of_defects.argmax()]
                    why = f'annotated {classes[first]}, seen as {classes[label]}'
            if why:
                suspects.append(Suspect(number, float(score), box, why))
                break
    return sorted(suspects, key=lambda suspect: -suspect.score)


def class_rows(
    images: Sequence[Photograph],
    found: Sequence[Found],
    threshold: float,
    classes: Sequence[str],
    labels: Sequence[int],
) -> list[ClassRow]:
    """How many defects of each class are found at a threshold."""
    flagged = decided(images, image_scores(found)) >= threshold
    hit: Any = {label: [] for label in labels}
    seen_as = {label: np.zeros(len(classes), int) for label in labels}
    for image, one in zip(images, found):
        kept = one.scores >= threshold
        ious = overlaps(one.boxes[kept], image.boxes)
        same = np.where(one.labels[kept][:, None] == image.labels, ious, 0)
        for column, met in enumerate(match(same, IOU_FOUND)):
            label = image.labels[column]
            hit[label].append(met)
            best = ious[:, column].argmax() if len(ious) else 0
            if len(ious) and not met and ious[best, column] >= IOU_FOUND:
                seen_as[label][one.labels[kept][best]] += 1
    rows = []
    for label in labels:
        showing = [n for n, image in enumerate(images) if label in image.labels]
        if showing:
            shown = [images[n] for n in showing]
            once = decisions(shown)
            rate = rate_of(
                flagged[showing][once], parts_among([shown[n] for n in once])
            )
            others = seen_as[label]
            others[label] = 0
            often = classes[int(others.argmax())] if others.any() else ''
            found_boxes = rate_of(np.array(hit[label]))
            rows.append(ClassRow(classes[label], rate, found_boxes, often))
    return rows
