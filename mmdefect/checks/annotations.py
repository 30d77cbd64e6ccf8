"""Whether what annotation files call a defect is drawn as one, and else why not."""

from __future__ import annotations

from typing import Any, Iterable, Sequence

import numpy as np

from mmdefect.checks.coco_files import CocoFiles, check_ids, coco_losses
from mmdefect.checks.finding import Finding
from mmdefect.checks.labels import check_labels, keys_of
from mmdefect.checks.loaded import check_loaded
from mmdefect.checks.losses import (
    check_losses,
    flat_losses,
    ignored_losses,
    image_name,
)
from mmdefect.checks.masks import check_masks
from mmdefect.checks.names import check_names, coco_names, is_no_defect, xml_names
from mmdefect.checks.pools import check_defect_classes
from mmdefect.checks.xml_files import reads_xml, xml_images, xml_losses
from mmdefect.pools.indices import union
from mmdefect.pools.pools import RESERVED
from mmdefect.pools.scan import LeafScan
from mmdefect.pools.source import source_of
from mmdefect.pools.walk import DATASET, is_a
from mmdefect.pools.wrappers import class_names, describe

# Share of the images from which on a class is on nearly all of them.
NEARLY_ALL = 0.8


def examine(
    dataset: Any,
    defect_classes: Sequence[str] | None = None,
    where: str = DATASET,
    files: CocoFiles | None = None,
    pixels: bool = False,
) -> list[Finding]:
    """Compare the images of the dataset at a key with what its files say of them.

    Found out once: ``mmdefect check`` asks, with more ``pixels`` than the samplers that
    it builds.
    """
    source = source_of(dataset)
    asked = where, dataset is source.dataset, repr(defect_classes)
    if asked not in source.examined:
        with CocoFiles() as own:
            found = _examine(dataset, defect_classes, where, files or own, pixels)
        source.examined[asked] = found
    return [*source.examined[asked]]


def _examine(
    dataset: Any,
    defect_classes: Sequence[str] | None,
    where: str,
    files: CocoFiles,
    pixels: bool,
) -> list[Finding]:
    labels = check_labels(dataset, files, where)
    if any(finding.refused for finding in labels):
        return labels
    seen = _Seen(dataset, defect_classes, where)
    lost: list[Finding] = []
    others: list[Finding] = []
    for scanned in source_of(dataset).scan.leaves:
        try:
            lost += seen.check_leaf(scanned, files)
        except Exception as error:  # of whatever kind a file and its backend raise
            others.append(seen.unchecked(scanned.leaf, error))
    if not seen.defects:
        told = [finding for finding in lost if finding.breaks] or lost
        lost = [finding._replace(breaks=True, refused=True) for finding in told]
    others += [
        *seen.check_meaning(),
        *seen.check_parts(),
        *seen.check_pool_names(),
        *seen.check_photographs(),
        *check_masks(dataset, seen.defect_images),
        *check_loaded(dataset, seen.defect_images, pixels),
    ]
    return [*labels, *dict.fromkeys(lost + others)]


class _Seen:
    # How many photographs of a dataset show what.

    def __init__(
        self, dataset: Any, defect_classes: Sequence[str] | None, where: str
    ) -> None:
        source = source_of(dataset)
        scanned, shots = source.scan, source.photographs
        wanted = check_defect_classes(defect_classes, scanned.classes)
        self.dataset, self.where = dataset, where
        self.chosen = defect_classes is not None
        self.classes = {name: scanned.classes[name] for name in wanted}
        self.is_defect = union(self.classes.values(), scanned.length)
        self.shots = shots
        self.normal_images = np.flatnonzero(~self.is_defect)
        self.defect_images = np.flatnonzero(self.is_defect)
        self.shown = {name: shots.count(self.classes[name]) for name in wanted}
        self.defects = shots.count(self.defect_images)
        self.normal = shots.count(self.normal_images)
        self.keys = keys_of(dataset, where)

    def check_leaf(self, scanned: LeafScan, files: CocoFiles) -> Iterable[Finding]:
        leaf, names, wanted = scanned.leaf, [], list(self.shown)
        where = self.keys.get(id(leaf), self.where)
        losses = ignored_losses(scanned, wanted)
        file, compared = files.of(leaf), True
        if file is not None:
            names = coco_names(scanned, file)
            compared = scanned.unseen is not None
            if compared:
                found = coco_losses(scanned, file, wanted)
                losses = losses if found is None else found
                yield from check_ids(leaf, file)
        elif reads_xml(leaf):
            images = [image for image in xml_images(leaf) if image.objects]
            names = xml_names(images, class_names(leaf))
            losses += xml_losses(leaf, images, wanted)
        else:
            losses += flat_losses(scanned, wanted)
            compared = not (is_a(leaf, 'CocoDataset') or is_a(leaf, 'XMLDataset'))
        if not compared:
            yield Finding(
                where,
                f'{describe(leaf)} reads its annotations in a way of its own',
                'whether what its files call a defect is drawn as one was not checked',
                '',
                breaks=False,
            )
        yield from check_names(leaf, where, names, self.shown, self.chosen)
        yield from check_losses(
            leaf, where, losses, self.shown, self.defects, self.normal
        )

    def unchecked(self, leaf: Any, error: Exception) -> Finding:
        """What is said where the files of a dataset cannot be read again."""
        return Finding(
            f'{self.keys.get(id(leaf), self.where)}.ann_file',
            f'{describe(leaf)} cannot be read again: {type(error).__name__}: {error}',
            'whether its defects are drawn as such was not checked: that takes a file '
            'that can be read',
            '',
        )

    def check_meaning(self) -> Iterable[Finding]:
        # Classes of what is no defect, annotated on images that show nothing else.
        others = [name for name in self.classes if not is_no_defect(name)]
        if self.chosen or not others:
            return
        shows_other = union(
            [self.classes[name] for name in others], len(self.is_defect)
        )
        for name in self.classes:
            images = self.classes[name]
            alone = images[~shows_other[images]]
            if name not in others and len(alone):
                yield Finding(
                    'train_dataloader.sampler',
                    f'images that show nothing but {name!r}: '
                    f'{self.shots.count(alone):,}, such as '
                    f'{image_name(self.dataset, alone[0])}',
                    'they are drawn as defects, while the class is called like none',
                    f'defect_classes={others}',
                    refused=self.shots.count(alone) > self.normal,
                )

    def check_parts(self) -> Iterable[Finding]:
        # A class that is the part itself: on nearly all images, with a defect or not.
        if self.chosen:
            return
        shots = self.shots.count(np.arange(len(self.is_defect)))
        for name in self.classes:
            others = [n for n in self.classes if n != name and len(self.classes[n])]
            if not others or self.shown[name] < NEARLY_ALL * shots:
                continue
            shows = union([self.classes[n] for n in others], len(self.is_defect))
            both = shows[self.classes[name]]
            if both.sum() >= NEARLY_ALL * shows.sum() and not both.all():
                yield Finding(
                    'train_dataloader.sampler',
                    f'images that show {name!r}: {self.shown[name]:,} of {shots:,}, '
                    f'and of {int(shows.sum()):,} with another class '
                    f'{int(both.sum()):,}',
                    'a class on nearly all images is rather the part than a defect, '
                    'and all of these images are drawn as defects',
                    f'defect_classes={others}',
                    refused=not self.normal,
                )

    def check_pool_names(self) -> Iterable[Finding]:
        # A class with the name of a pool that holds more than the class.
        for name in RESERVED if len(self.classes) > 1 else ():
            if name in self.classes and not is_no_defect(name):
                yield Finding(
                    'train_dataloader.sampler',
                    f'{name!r} is the name of a class, beside {len(self.classes) - 1} '
                    f'others, and of a pool',
                    f'a quota of {name!r} draws from the images of all classes, and '
                    'none draws from this class alone',
                    f'defect_classes={[name]} where the others are no defects; else '
                    'give the class another name in its files and in metainfo',
                )

    def check_photographs(self) -> Iterable[Finding]:
        # The same photograph with a defect and without.
        twice = self.shots.in_both(self.defect_images, self.normal_images)
        number = self.shots.count(twice)
        if number:
            yield Finding(
                self.where,
                'photographs with a defect that are listed once more without one: '
                f'{number:,} of {self.defects:,}, such as '
                f'{image_name(self.dataset, twice[0])}',
                'they are drawn as defects and as normal images',
                'one ann_file that lists each photograph once, with all its boxes',
                refused=2 * number > self.defects,
            )
