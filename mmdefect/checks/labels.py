"""Whether a label means one class: in the file, in metainfo, in all parts."""

from __future__ import annotations

import json
import logging
import os
from mmap import ACCESS_READ, mmap
from typing import Any, Mapping, Sequence

from mmengine.logging import print_log

from mmdefect.pools.wrappers import class_names, describe, unwrap

# Bytes of an annotation file in which its list of categories must end.
WINDOW = 2**21


def check_labels(dataset: Any, defect_classes: Sequence[str]) -> None:
    """Check that a label means one class, in all parts and files of a dataset.

    A model sees labels only, while pools go by class names.

    Args:
        dataset: The outermost dataset.
        defect_classes (Sequence[str]): The classes that count as defects.

    Raises:
        ValueError: If a class has two labels, or other labels than the categories of
            the annotation file have, or if a part leaves out a class that its images
            show and that counts as a defect.
    """
    leaves, _ = unwrap(dataset)
    for leaf in leaves:
        categories = _categories(leaf)
        _check_order(leaf, categories)
        _check_left_out(leaf, categories, defect_classes)
    # With return_classes=True the names go into the model with each image.
    _check_parts([x for x in leaves if not getattr(x, 'return_classes', False)])


def _check_parts(leaves: Sequence[Any]) -> None:
    labels: dict[str, tuple[int, Any]] = {}
    names: dict[int, tuple[str, Any]] = {}
    for leaf in leaves:
        for label, name in enumerate(class_names(leaf)):
            other, part = labels.setdefault(name, (label, leaf))
            if other != label:
                raise ValueError(
                    f'{name!r} is label {other} in {describe(part)} and label {label} '
                    f'in {describe(leaf)}, and labels are all that the model sees; set '
                    'the same metainfo for all parts of train_dataloader.dataset'
                )
            first, part = names.setdefault(label, (name, leaf))
            if first != name:
                _warn(
                    f'label {label} is {first!r} in {describe(part)} and {name!r} in '
                    f'{describe(leaf)}: the model cannot tell them apart'
                )


def _check_order(leaf: Any, categories: Mapping[Any, str]) -> None:
    # The datasets that read COCO files number the categories in the file's order and
    # leave out those without a name in metainfo; they never look at metainfo's order.
    names = class_names(leaf)
    for category, label in (leaf.cat2label if categories else {}).items():
        name = categories[category]
        if name in names and names.index(name) != label:
            known = set(categories.values())
            right = [categories[c] for c in leaf.cat2label]
            raise ValueError(
                f'{describe(leaf)} gives label {label} to {name!r}, which metainfo '
                f'names as label {names.index(name)}: MMDetection numbers the '
                "categories in the file's order, without those that it lacks"
                + ''.join(f', such as {n!r}' for n in names if n not in known)
                + f'; set metainfo=dict(classes={_shorten(right)})'
            )


def _check_left_out(
    leaf: Any, categories: Mapping[Any, str], defect_classes: Sequence[str]
) -> None:
    names = class_names(leaf)
    missing = [name for name in defect_classes if name not in names]
    for category, name in categories.items():
        shown = name in missing and set(leaf.cat_img_map.get(category, ()))
        if shown:
            raise ValueError(
                f'{len(shown):,} images of {describe(leaf)} show the defect class '
                f'{name!r}, which its metainfo leaves out: they would be drawn as '
                'normal; set the same metainfo for all parts of '
                'train_dataloader.dataset'
            )
    if missing and not categories:
        _warn(
            f'{describe(leaf)} does not name the classes {_shorten(missing)}: where '
            'its images show them, they count as normal'
        )
    unknown = [name for name in names if name not in categories.values()]
    unnamed = [name for name in categories.values() if name not in names]
    if unknown and unnamed:
        _warn(
            f'{describe(leaf)} has no categories {_shorten(unknown)}, and metainfo '
            f'leaves out its {_shorten(unnamed)}: images that show only those count '
            'as normal'
        )


def _categories(leaf: Any) -> dict[Any, str]:
    # The dataset forgot the names of its file's categories. Reading them alone takes
    # milliseconds; the whole file would take as long as the dataset took to load.
    path = getattr(leaf, 'ann_file', '')
    if not hasattr(leaf, 'cat2label') or not os.path.isfile(path):
        return {}
    key = b'"categories"'
    with open(path, 'rb') as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        for start in (data.find(key), data.rfind(key)):
            text = data[start + len(key) : start + WINDOW].decode(errors='ignore')
            try:
                listed, _ = json.JSONDecoder().raw_decode(text.lstrip(' \r\n\t:'))
                names = {category['id']: category['name'] for category in listed}
            except (ValueError, TypeError, KeyError):
                continue
            if set(leaf.cat2label) <= set(names):
                return names
    return {}


def _shorten(names: Sequence[str]) -> str:
    return str(tuple(names[:10])) + (' and so on' if len(names) > 10 else '')


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
