"""Whether a label means one class: in the file, in metainfo, in all parts."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any, Iterable, Sequence

from mmdefect.checks.coco_files import CocoFile, CocoFiles
from mmdefect.checks.finding import Finding
from mmdefect.checks.spelling import alike, nearest, shorten
from mmdefect.pools.source import source_of
from mmdefect.pools.walk import DATASET, walk_datasets
from mmdefect.pools.wrappers import class_names, describe


def check_labels(dataset: Any, files: CocoFiles, where: str = DATASET) -> list[Finding]:
    """Check that a label means one class, in all parts and files of a dataset.

    A model sees labels only, while pools go by class names.
    """
    inside = source_of(dataset).leaves
    leaves = [leaf for leaf in inside if getattr(leaf, 'metainfo', None)]
    keys = keys_of(dataset, where)
    findings: list[Finding] = []
    for leaf in leaves:
        file = None
        with suppress(Exception):  # that it cannot be read again is told later
            file = files.of(leaf)
        if file is not None:
            findings += _check_file(leaf, file, keys.get(id(leaf), where))
    # With return_classes=True the names go into the model with each image.
    named = [leaf for leaf in leaves if not getattr(leaf, 'return_classes', False)]
    return list(dict.fromkeys([*findings, *_check_parts(named, where)]))


def keys_of(dataset: Any, where: str) -> dict[int, str]:
    """By ``id`` of each dataset inside another, its key in the config."""
    return {id(part): key for key, part in walk_datasets(dataset, where)}


def _check_file(leaf: Any, file: CocoFile, where: str) -> Iterable[Finding]:
    # The datasets that read COCO files number the categories in the file's order and
    # leave out those without a name in metainfo; they never look at metainfo's order.
    listed, names = file.categories(), class_names(leaf)
    categories = dict(listed)
    why = (
        'MMDetection makes a label of each, so that the labels after them belong to '
        'other classes'
    )
    for name, times in Counter(name for _, name in listed).items():
        if times > 1 and name in names:
            ids = [category for category, other in listed if other == name]
            yield Finding(
                file.path,
                f'{times} categories are named {name!r}, those with the ids {ids}',
                why,
                f'one category {name!r}, with "category_id": {ids[0]} in the '
                'annotations of all',
                refused=True,
            )
            return
    for category, times in Counter(category for category, _ in listed).items():
        if times > 1:
            same = [name for other, name in listed if other == category]
            yield Finding(
                file.path,
                f'{times} categories have the id {category!r}: {shorten(same)}',
                why,
                'another "id" for each, and the same as "category_id" of its '
                'annotations',
                refused=True,
            )
            return
    if not set(leaf.cat2label) <= set(categories):
        return
    for category, label in leaf.cat2label.items():
        name = categories[category]
        if name in names and names.index(name) != label:
            lacking = [n for n in names if n not in categories.values()]
            rest = set(categories.values()) - set(names)
            meant = {nearest(n, rest): n for n in lacking}
            right = [n for n in categories.values() if n in names or n in meant]
            yield Finding(
                f'{where}.metainfo',
                f'{describe(leaf)} gives label {label} to {name!r}, which metainfo '
                f'names as label {names.index(name)}',
                "MMDetection numbers the categories in the file's order, without "
                'those that it lacks'
                + ''.join(f', such as {n!r}' for n in lacking)
                + ''.join(alike(name, n) for name, n in meant.items() if name),
                f'metainfo=dict(classes={tuple(right)})',
                refused=True,
            )
            return


def _check_parts(leaves: Sequence[Any], where: str) -> Iterable[Finding]:
    labels: dict[str, tuple[int, Any]] = {}
    names: dict[int, tuple[str, Any]] = {}
    for leaf in leaves:
        for label, name in enumerate(class_names(leaf)):
            other, part = labels.setdefault(name, (label, leaf))
            if other != label:
                yield Finding(
                    where,
                    f'{name!r} is label {other} in {describe(part)} and label {label} '
                    f'in {describe(leaf)}',
                    'labels are all that the model sees',
                    'the same classes in the metainfo of all parts',
                    refused=True,
                )
                return
            first, part = names.setdefault(label, (name, leaf))
            if first != name:
                yield Finding(
                    where,
                    f'label {label} is {first!r} in {describe(part)} and {name!r} in '
                    f'{describe(leaf)}',
                    'the model cannot tell them apart',
                    'the same classes in the metainfo of all parts',
                )
