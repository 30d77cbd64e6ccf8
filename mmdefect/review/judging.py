"""A whole review: look at the images, judge, write the page and what is beside it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

from mmdefect.analysis.config import load_config, warn
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.tracking import Track, untracked
from mmdefect.analysis.validation import wrongly_judging
from mmdefect.metrics.image_score import Found
from mmdefect.review import findings
from mmdefect.review.by_class import by_class
from mmdefect.review.caveats import caveats
from mmdefect.review.detector import load_detector
from mmdefect.review.folder import FIGURES, SCORES, open_folder, reviewed_score
from mmdefect.review.lists import SUSPECTS, write_lists
from mmdefect.review.page import write_folder_page, write_page
from mmdefect.review.photographs import (
    Photographs,
    pipeline_for,
    read_folder,
    read_split,
)
from mmdefect.review.predictions import Predictions
from mmdefect.review.requirement import Requirement, judge
from mmdefect.review.review import (
    Against,
    Review,
    as_dict,
    check_kinds,
    compare,
    make_review,
    write_json,
    write_scores,
    write_thresholds,
)
from mmdefect.review.scores import score, scores_key
from mmdefect.review.unlikeness import Unlike, unlikeness


class Detector:
    """A trained detector."""

    def __init__(
        self,
        config: Path,
        checkpoint: Path,
        options: dict | None = None,
        device: str | None = None,
    ) -> None:
        import torch

        if not checkpoint.is_file():
            raise UnusableError(f'{checkpoint} does not exist')
        self.config, self.checkpoint = config, checkpoint
        self.cfg = load_config(str(config), options)
        self.device = device or ('cuda:0' if torch.cuda.is_available() else 'cpu')
        # Runs of the same length call their checkpoints the same.
        self.name = '/'.join(checkpoint.absolute().parts[-2:])
        self.notes: list[str] = []
        self._model: Any = None

    def score(
        self, photographs: Photographs, folder: Path, track: Track = untracked
    ) -> list[Found]:
        """Look at photographs, those left that it has not looked at."""
        kept = self._kept(photographs, folder, '.jsonl')
        build = self._builder(photographs)
        return score(build, self.cfg, photographs, kept, track, f'scoring {self.name}')

    def unlikeness(
        self, photographs: Photographs, folder: Path, track: Track = untracked
    ) -> dict[int, Unlike]:
        """Compare the normal photographs, as the detector's backbone sees them."""
        kept = self._kept(photographs, folder, '_unlike.json')
        return unlikeness(
            self._builder(photographs), self.cfg, photographs, kept, track
        )

    def _kept(self, photographs: Photographs, folder: Path, ending: str) -> Path:
        name = scores_key(self.cfg, str(self.checkpoint), photographs)
        return folder / SCORES / f'{name}{ending}'

    def _builder(self, photographs: Photographs) -> Callable[[], Any]:
        def build() -> Any:
            if self._model is None:
                self._model = load_detector(
                    self.cfg, str(self.checkpoint), self.device, photographs.classes
                )
            return self._model

        return build


class Settings(NamedTuple):
    """How a detector is judged."""

    overkill: float = 0.01  # share of the normal images that may be flagged
    threshold: float | None = None  # the score that is set, whatever it flags
    requirements: Sequence[Requirement] = ()  # what must be met
    confident: bool = False  # whether the bounds of the rates must meet it
    by_class: bool = False  # whether to choose a score for each class
    pictures: int = 12  # pictures of each kind
    suspects: int = 60  # normal training images to list


class Outcome(NamedTuple):
    """What a review wrote.

    Args:
        review (Review): What it says.
        against (Against, optional): Another detector.
        lists (dict[str, list[str]]): Lists of training images, by file name.
        figures (dict): What ``review.json`` holds.
    """

    review: Review
    against: Against | None
    lists: dict[str, list[str]]
    figures: dict


def review_split(
    detector: Detector | Predictions,
    split: str,
    folder: Path,
    settings: Settings,
    other: Detector | None = None,
    track: Track = untracked,
) -> Outcome:
    """Judge a detector on a part of its config's data."""
    open_folder(folder)
    photographs = read_split(detector.cfg, split)
    check_kinds(photographs, split)
    wrong: list[str] = []
    if split != 'train':
        cfg, dataset = detector.cfg, photographs.dataset
        wrong = [str(finding) for finding in wrongly_judging(cfg, dataset, split)]
        for text in wrong:
            warn(text)
    at = (settings.overkill, settings.threshold)
    found = detector.score(photographs, folder, track)
    review = make_review(detector.name, split, photographs, found, *at)
    verdicts = [
        judge(r, review.curve, settings.confident, settings.threshold)
        for r in settings.requirements
    ]
    said = caveats(review, detector.cfg, detector.checkpoint.name, settings.overkill)
    review = review._replace(
        verdicts=verdicts, caveats=[*wrong, *detector.notes, *said]
    )
    if settings.by_class:
        chosen = by_class(photographs, found, settings.overkill)
        review = review._replace(by_class=chosen)
    against = None
    if other:
        # Its own pipeline, and the images of the first.
        theirs = photographs._replace(pipeline=pipeline_for(other.cfg, split))
        other_found = other.score(theirs, folder, track)
        name = other.name
        if name == detector.name:
            name = f'{name} with {other.config.name}'
        against = compare(review, make_review(name, split, theirs, other_found, *at))
    lists: dict[str, list[str]] = {}
    if split == 'train':
        threshold = review.point.threshold
        unlike = detector.unlikeness(photographs, folder, track)
        lists = write_lists(
            folder, photographs, found, unlike, threshold, settings.suspects
        )
    about = about_of(detector)
    if split != 'train':
        write_thresholds(folder, review)
    write_scores(folder, photographs, found)
    write_page(
        folder, review, against, lists, about, settings.overkill, settings.pictures
    )
    figures = dict(as_dict(review, against), suspects=lists.get(SUSPECTS, []))
    write_json(folder / FIGURES, figures)
    return Outcome(review, against, lists, figures)


def review_images(
    detector: Detector,
    images: Path,
    folder: Path,
    settings: Settings,
    track: Track = untracked,
) -> dict:
    """Look at a folder of images without annotations."""
    open_folder(folder)
    photographs = read_folder(detector.cfg, images)
    found = detector.score(photographs, folder, track)
    beside = detector.checkpoint.parent / 'review_val'
    reviewed = reviewed_score(beside, detector.name)
    threshold, why = (
        (settings.threshold, 'as --threshold says')
        if settings.threshold
        else (reviewed, f'as the review in {beside.name} found')
        if reviewed
        else (0.3, 'by default: review the validation images to find a better one')
    )
    about = dict(about_of(detector), name=detector.name, split=str(images), why=why)
    write_scores(folder, photographs, found)
    write_folder_page(folder, photographs, found, threshold, about, settings.pictures)
    flagged = int((findings.image_scores(found) >= threshold).sum())
    figures = dict(images=len(found), threshold=threshold, why=why, flagged=flagged)
    write_json(folder / FIGURES, figures)
    return figures


def about_of(detector: Detector | Predictions) -> dict[str, str]:
    """What a page says of a detector, and of how it was made."""
    config, checkpoint = str(detector.config), str(detector.checkpoint)
    # Predictions have no weights to go on with.
    weights = 'CHECKPOINT' if isinstance(detector, Predictions) else checkpoint
    command = shlex.join(['mmdefect', 'review', config, weights])
    return dict(config=config, checkpoint=checkpoint, weights=weights, command=command)
