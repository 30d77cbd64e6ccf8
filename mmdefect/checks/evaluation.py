"""A validation or test set, examined as the training set is, and held against it."""

from __future__ import annotations

from typing import Any, Iterator, Sequence

from mmdefect.checks.annotations import examine
from mmdefect.checks.coco_files import CocoFile, CocoFiles
from mmdefect.checks.config import defect_classes_of
from mmdefect.checks.finding import Finding
from mmdefect.checks.labels import keys_of
from mmdefect.checks.spelling import shorten
from mmdefect.checks.split import check_split
from mmdefect.pools.source import source_of
from mmdefect.pools.wrappers import class_names, describe


def judge_split(
    cfg: Any, training: Any, dataset: Any, split: str, pixels: bool = True
) -> list[Finding]:
    """What of a ``split``, 'val' or 'test', would judge a detector wrongly.

    ``training`` is None where it is not there to compare with.
    """
    classes = defect_classes_of(cfg)
    try:
        findings = _examine(dataset, training, classes, split, pixels)
        if training is not None:
            findings += check_split(dataset, training, classes, split, pixels)
        return findings
    except Exception as error:  # of whatever kind a dataset of the user's raises
        return [
            Finding(
                f'{split}_dataloader.dataset',
                f'it cannot be examined: {type(error).__name__}: {error}',
                'so it was not compared with the training set',
                '',
                breaks=False,
            )
        ]


def _examine(
    dataset: Any,
    training: Any,
    defect_classes: Sequence[str] | None,
    split: str,
    pixels: bool,
) -> list[Finding]:
    known = source_of(dataset).class_names
    wanted = [name for name in defect_classes or () if name in known] or None
    with CocoFiles() as files:
        if training is not None:
            numbered = list(_check_numbering(dataset, training, split, files))
            if numbered:
                return numbered
        key = f'{split}_dataloader.dataset'
        examined = examine(dataset, wanted, key, files, pixels)
    return [
        found._replace(
            what=found.what.replace('drawn as ', 'judged as '),
            why=found.why.replace('drawn as ', 'judged as '),
        )
        for found in examined
        if found.where != 'train_dataloader.sampler'  # told with the training set
    ]


def _check_numbering(
    dataset: Any, training: Any, split: str, files: CocoFiles
) -> Iterator[Finding]:
    # CocoDataset and CocoMetric number the categories in the order of the file.
    key = f'{split}_dataloader.dataset'
    keys = keys_of(dataset, key)
    leaves = source_of(training).leaves
    learned = {_numbered(leaf, files.of(leaf)) for leaf in leaves}
    if len(learned) != 1:  # the parts' labels were compared with each other
        return
    (classes,) = learned
    for leaf in source_of(dataset).leaves:
        file = files.of(leaf)
        judged = _numbered(leaf, file)
        place = f'the "categories" of {file.path}' if file else 'metainfo'
        differ = [pair for pair in zip(judged, classes) if pair[0] != pair[1]]
        if not differ or not set(judged) & set(classes):
            continue  # other names altogether are told with their images
        label = classes.index(differ[0][1])
        yield Finding(
            f'{keys.get(id(leaf), key)}.metainfo',
            f'{describe(leaf)} gives label {label} to {differ[0][0]!r}, which is '
            f'{classes[label]!r} in training',
            'MMDetection numbers classes in the order in which they are listed: '
            'all boxes of a perfect detector would count as another class',
            f'{place} in the order of training: {shorten(classes)}',
        )


def _numbered(leaf: Any, file: CocoFile | None) -> tuple[str, ...]:
    # What each label means.
    if file is None:
        return class_names(leaf)
    names = dict(file.categories())
    return tuple(names.get(category, '') for category in leaf.cat2label)
