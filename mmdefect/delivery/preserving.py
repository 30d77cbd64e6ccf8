"""The quota that the model receives: a drawn defect is not lost to augmentation."""

from __future__ import annotations

import copy
import logging
from functools import reduce
from typing import Any, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.logging import print_log
from mmengine.registry import DATASETS, TRANSFORMS

from mmdefect.arguments import class_list
from mmdefect.checks.pools import check_defect_classes
from mmdefect.delivery.arguments import (
    check_arguments,
    check_wrapped,
)
from mmdefect.delivery.attempts import Attempts
from mmdefect.delivery.changes import Changes
from mmdefect.delivery.files import (
    broken_files,
    check_image_directory,
    missing_files,
)
from mmdefect.delivery.forwarding import Forwarding
from mmdefect.delivery.shared import EVENTS, Counts, Names
from mmdefect.images.errors import IN_A_ROW, RejectedError
from mmdefect.pools.forms import COUNTEREXAMPLE, Forms
from mmdefect.pools.pools import RESERVED, make_pools
from mmdefect.pools.scan import counts
from mmdefect.pools.source import source_of
from mmdefect.pools.walk import DATASET

# How often a normal image is tried again that a pipeline refuses: rarely by chance.
NORMAL_RETRIES = 1

DEFECT_CLASSES = f'{DATASET}.defect_classes'


@DATASETS.register_module()
class DefectPreservingDataset(Forwarding):
    """Keeps the defect of every drawn defect image through the augmentation pipeline.

    It stands outermost, around a dataset or around a wrapper such as
    ``MultiImageMixDataset``. A defect image that loses its defect goes through the
    pipelines again, with new random numbers, until it keeps it: then it looks as it
    does whenever the pipelines happen to keep it. The defect is looked for after every
    transform, and the pipelines are left where it is lost. After ``max_retries`` the
    image goes without the transforms that crop and mix; if even that fails, another
    image of the same pools takes its place.

    A defect is kept when the result shows an instance of a defect class that the image
    has, not ignored, with ``min_area_ratio`` of its box visible. Where the quota names
    classes, as in ``quota=dict(crack=2, dent=1)``, every class is kept that it names
    and the image has: an image with both may have been drawn for either. In a mosaic it
    may be another image's instance: the classes decide.

    Pipelines that crop and mix lose a third or more of what is drawn. Small affine
    changes lose 7 %, and detectors still came out better with it than without
    (``configs/README.md``).

    Where a pipeline returns None, for which MMDetection takes another image at random,
    the image is tried again in the same way. So is a normal image, but once only, and
    its file is read for every try: set what makes a pipeline refuse normal images.

    Where the quota asks for ``pasted`` images, as in ``quota=dict(defect=2, pasted=2)``
    or ``dict(defect=2, pasted=dict(crack=1))``, a defect of a random defect image is
    pasted into a normal one as soon as that is loaded, and kept like any other. Where
    it asks for ``counterexample`` images, a defect image is cropped to a part that
    shows no defect, of a quarter of its area or more: with few photographs a detector
    learns the photograph, and this is what unteaches it.

    Args:
        dataset (dict | Dataset): The dataset, or its config.
        defect_classes (Sequence[str], optional): Names of the classes that count as
            defects. None are those of ``DefectPoolSampler``, which tells them; without
            one, every class of the dataset. Defaults to None.
        max_retries (int): How often a defect image goes through the pipelines again
            before they are changed. Defaults to 10.
        min_area_ratio (float): The visible share of a box's area below which it does
            not count. What ``CutOut``, ``RandomErasing`` and ``CopyPaste`` paint over
            is not visible. Detectors came out better with 0.5 than with 0.2
            (``configs/README.md``). Defaults to 0.5.
        paste (dict, optional): Arguments of ``PasteDefect``, for ``pasted`` images.
            None is its defaults. Defaults to None.
        lazy_init (bool): Whether to leave the annotations unread until they are
            needed. Defaults to False.
        pipeline (Sequence[dict | Callable], optional): Transforms in the place of those
            that the dataset has. It is there for MMYOLO's ``YOLOXModeSwitchHook``,
            which builds the dataset anew with another pipeline. Defaults to None.

    Attributes:
        forms (Forms): In which forms an image can be delivered, and the indices that
            ask for them.

    Raises:
        TypeError: If an argument is of another type than said here, or the dataset
            does not tell what its images show.
        ValueError: If an argument is out of range, or the dataset names no classes, or
            already holds a ``DefectPreservingDataset``.
        FileNotFoundError: If an annotation file or image directory is missing.
    """

    def __init__(
        self,
        dataset: Any,
        defect_classes: Sequence[str] | None = None,
        max_retries: int = 10,
        min_area_ratio: float = 0.5,
        paste: dict | None = None,
        lazy_init: bool = False,
        pipeline: Sequence[Any] | None = None,
    ) -> None:
        check_arguments(max_retries, min_area_ratio, paste, pipeline)
        if isinstance(dataset, dict):
            with missing_files(), broken_files(dataset):
                dataset = DATASETS.build(dataset)
        check_wrapped(dataset)
        self.dataset = dataset
        self.defect_classes = class_list(defect_classes, DEFECT_CLASSES)
        self._told_classes = defect_classes is None
        self.max_retries = max_retries
        self.min_area_ratio = min_area_ratio
        self.paste = TRANSFORMS.build({'type': 'PasteDefect', **(paste or {})})
        self._counts = Counts()
        self._quota = Names()
        self._pools: dict[str, np.ndarray] | None = None
        self._changing: Changes | None = None
        self._fully_initialized = False
        if pipeline is not None:
            self.pipeline = Compose(pipeline)
        if not lazy_init:
            self.full_init()

    def __len__(self) -> int:
        self.full_init()
        return len(self.dataset)

    def __iter__(self) -> Iterator[Any]:
        # In Python's default way, indices of other forms would follow.
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Any:
        self.full_init()
        form, drawn = self.forms.split(index)
        if form and form not in self._quota:
            raise IndexError(f'index {index}: the dataset has {len(self):,} images')
        failures, chosen = [], drawn
        for _ in range(IN_A_ROW):
            try:
                return self._deliver(chosen, drawn, form)
            except RejectedError as error:
                event = 'unreadable' if error.unreadable else 'replaced'
                self._count(event, chosen, error)
                failures.append(f'{self._path(chosen)}: {error}')
            chosen = self._another(drawn, form)
        raise RuntimeError(
            f'{len(failures)} images in a row cannot be delivered. {failures[0]}. '
            f'{failures[-1]}. Mend the pipelines or the data_prefix of {DATASET}'
        )

    def _deliver(self, index: int, drawn: int, form: str) -> Any:
        if form:
            at_least, change = 1, self.changes().make(index, form)
            attempts = Attempts(frozenset(), self.min_area_ratio, at_least, change)
        else:
            wanted, at_least = self._wanted(index, drawn)
            attempts = Attempts(wanted, self.min_area_ratio, at_least)
        preserved, retries = bool(form or wanted), self.max_retries
        if not preserved:
            retries = min(retries, NORMAL_RETRIES)
        for tries in range(1, retries + 2):
            try:
                return attempts.run(self.dataset, index)
            except RejectedError as error:
                if error.final:
                    raise
                cause = error
            if tries <= retries:
                self._count('retries')
        self._count('uncut' if preserved else 'refused', index, cause, tries)
        try:
            return attempts.run(self.dataset, index, uncut=True)
        except RejectedError as error:
            if error.final or at_least < 2:
                raise
            self._count('partly', index, error)
        attempts.at_least = 1
        return attempts.run(self.dataset, index, uncut=True)

    def changes(self) -> Changes:
        """What makes other forms of images."""
        if self._changing is None:
            defects = self._known_pools()['defect']
            self._changing = Changes(
                self.dataset, defects, self.defect_classes, self.paste
            )
        return self._changing

    def _wanted(self, index: int, drawn: int) -> tuple[frozenset[int], int]:
        # Labels of the defects that an image is to keep, and of how many of them at
        # least. One in the place of another keeps what that was drawn for.
        shown = self._defects(index)
        if index != drawn:
            alike = self._defects(drawn).values()
            shown = {n: name for n, name in shown.items() if name in alike} or shown
        in_quota = {label for label, name in shown.items() if name in self._quota}
        return frozenset(in_quota or shown), len(in_quota) or 1

    def _defects(self, index: int) -> dict[int, str]:
        # The defect classes that an image shows, by label.
        instances = self.dataset.get_data_info(index).get('instances')
        if instances is None:
            labels = set(self.get_cat_ids(index))
        else:
            labels = {each['bbox_label'] for each in instances if counts(each)}
        names = self._names.of(index)
        return {label: names[label] for label in labels if label in names}

    def know_defect_classes(self, names: Sequence[str] | None) -> None:
        """Take the classes that are drawn as defects, where no argument names them."""
        if self._told_classes:
            self.defect_classes = None if names is None else tuple(names)
            self._name_classes()

    def _name_classes(self) -> None:
        source = source_of(self.dataset)
        self._names = source.names(self.defect_classes)
        classes = self.defect_classes or source.class_names
        self.forms = Forms(len(self.dataset), classes)

    def know_pools(self, pools: Mapping[str, np.ndarray]) -> None:
        """Take the pools that images are drawn from, the user's own among them."""
        self._pools = dict(pools)
        self._changing = None
        known = list(dict.fromkeys([*pools, *self.forms.names]))
        if self._quota.known != known:
            self._quota = Names(known)

    def know_quota(self, names: Iterable[str]) -> None:
        """Take the pools that the quota names, now or later in its schedule.

        Workers that are at work know it as well.
        """
        # ``defect`` names no class, whatever the classes are called.
        chosen = set(names) - set(RESERVED)
        for form in sorted(chosen.intersection(self.forms.names)):
            if form not in self._known_pools():  # such as a class that is called so
                self.changes().check(form)
        self._quota.choose(chosen)

    def counterexamples(self) -> np.ndarray:
        """Indices of the defect images that can come without a defect, as stored."""
        return self.changes().counterexamples

    def _another(self, index: int, form: str = '') -> int:
        # An image that can stand for this one in every pool, or else in the smallest,
        # those first that the quota names.
        pools = self._known_pools()
        if form == COUNTEREXAMPLE:
            pools = {form: self.counterexamples()}
        alike = {name: pool for name, pool in pools.items() if index in pool}
        by_size = sorted(alike, key=lambda n: (n not in self._quota, len(alike[n])))
        sized = [alike[name] for name in by_size]
        for pool in (reduce(np.intersect1d, sized), *sized):
            others = pool[pool != index]
            if len(others):
                return int(others[torch.randint(len(others), ())])
        return index

    def _known_pools(self) -> dict[str, np.ndarray]:
        if self._pools is None:
            scanned = source_of(self.dataset).scan
            names = self.defect_classes or tuple(scanned.classes)
            self._pools = make_pools(scanned, names)
        return self._pools

    # Counters ---------------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        """dict[str, int]: How often what happened since the start, in all workers.

        ``retries``: runs of the pipelines after an image's first; ``uncut`` and
        ``refused``: defect and normal images that went without the transforms that
        crop and mix; ``partly``: images that kept one of the classes that the quota
        names, but not all that they have; ``replaced`` and ``unreadable``: images that
        another one stood in for.
        """
        return self._counts.totals()

    def _count(
        self, event: str, index: int = -1, cause: Any = None, tries: int = 1
    ) -> None:
        if self._counts.add(event) and EVENTS[event]:
            said = EVENTS[event].format(cause=cause, tries=tries, reads=tries + 1)
            print_log(
                f'{self._path(index)}: {said}. This is said once and counted in '
                f'{DATASET}.counts[{event!r}]',
                logger='current',
                level=logging.WARNING,
            )

    def _path(self, index: int) -> str:
        return self.get_data_info(index).get('img_path') or f'image {index}'

    # What samplers and hooks reach for ----------------------------------------------

    def full_init(self) -> None:
        """Read the annotations, where that has not been done."""
        if self._fully_initialized:
            return
        with missing_files():
            if hasattr(self.dataset, 'full_init'):
                self.dataset.full_init()
            source = source_of(self.dataset)
        check_defect_classes(self.defect_classes, source.class_names, DEFECT_CLASSES)
        self._name_classes()
        for leaf in source.leaves:
            check_image_directory(leaf)
        self._fully_initialized = True

    def get_subset_(self, indices: Sequence[int] | int) -> None:
        """Leave out all images but some, as the dataset inside does."""
        self.dataset.get_subset_(indices)
        self._pools = self._changing = None
        self._fully_initialized = False
        self.full_init()

    def get_subset(self, indices: Sequence[int] | int) -> DefectPreservingDataset:
        """A dataset of some of the images, in a wrapper like this one."""
        subset = copy.copy(self)
        subset.dataset = self.dataset.get_subset(indices)
        subset._counts, subset._quota = Counts(), Names()
        subset._pools = subset._changing = None
        subset._fully_initialized = False
        subset.full_init()
        return subset
