"""Images that a file gives a defect and that are not drawn as such."""

from __future__ import annotations

from collections import Counter
from math import isfinite
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from mmdefect.checks.causes import CAUSES
from mmdefect.checks.finding import Finding
from mmdefect.pools.infos import infos_of
from mmdefect.pools.scan import LeafScan, counts, is_flat
from mmdefect.pools.wrappers import class_names, describe

# Share of the images with a defect above which it matters that others do not count.
MANY = 0.1


class Loss(NamedTuple):
    """Images that one cause keeps from being drawn as what their file calls them.

    Args:
        cause (str): A key of ``CAUSES``.
        classes (dict[str, int]): By class, how many images.
        images (int): How many images in all.
        example (str): One of them.
    """

    cause: str
    classes: dict[str, int]
    images: int
    example: str


def grouped(causes: Mapping[tuple[str, str], str | None]) -> list[Loss]:
    """Losses by cause."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for pair, cause in causes.items():
        if cause:
            groups.setdefault(cause, []).append(pair)
    return [
        Loss(
            cause,
            dict(Counter(name for _, name in pairs)),
            len({image for image, _ in pairs}),
            pairs[0][0],
        )
        for cause, pairs in groups.items()
    ]


def shown_in(leaf: Any, key: str) -> set[tuple[Any, str]]:
    """What the images of a dataset show, each by one of its keys."""
    names = class_names(leaf)
    return {
        (info.get(key), names[each['bbox_label']])
        for info in infos_of(leaf)
        for each in info.get('instances') or ()
        if counts(each)
    }


def explains(cause: str | None, shown: bool) -> bool:
    """Whether a cause in a file tells of what a dataset of the user's made of it."""
    return cause is not None and shown == (CAUSES[cause].weight == 'drawn')


def box_fault(box: Sequence[float]) -> str | None:
    """What is wrong with a box by itself."""
    x, y, width, height = box
    if not all(map(isfinite, box)):
        return 'no number'
    if width == height == 0 and x == y and x in (-1, 0, 1):
        return 'dummy'
    if width == height == 1 and x == y == 0:
        return 'dot'
    if width < 0 or height < 0:
        return 'reversed'
    if width == 0 or height == 0:
        return 'empty'
    return 'shares' if max(box) <= 1 and min(width, height) < 1 else None


def overlap(box: Sequence[float], size: Sequence[float]) -> bool:
    """Whether a part of a box is in its image."""
    return all(
        min(start + length, limit) > max(start, 0)
        for start, length, limit in zip(box[:2], box[2:], size)
    )


def ignored_losses(scanned: LeafScan, wanted: Sequence[str]) -> list[Loss]:
    """Images whose only instances of a class are ignored ones."""
    found = _by_name(scanned, scanned.ignored, wanted)
    if not found:
        return []
    images = np.unique(np.concatenate(list(found.values())))
    classes = {name: len(of_class) for name, of_class in found.items()}
    example = image_name(scanned.leaf, images[0])
    return [Loss(_why_ignored(scanned.leaf), classes, len(images), example)]


def _by_name(
    scanned: LeafScan, by_label: Mapping[Any, np.ndarray], wanted: Sequence[str]
) -> dict[str, np.ndarray]:
    # What is ignored may have a label of no class.
    return {
        name: by_label[label]
        for label, name in enumerate(class_names(scanned.leaf))
        if name in wanted and label in by_label
    }


def _why_ignored(leaf: Any) -> str:
    if getattr(leaf, 'bbox_min_size', None):
        return 'bbox_min_size'
    known = {'cat_img_map': 'crowd', 'ann_subdir': 'difficult'}
    return next((known[name] for name in known if hasattr(leaf, name)), 'ignore_flag')


def flat_losses(scanned: LeafScan, wanted: Sequence[str]) -> list[Loss]:
    """Images whose only instances of a class have no area."""
    causes = {}
    for name, images in _by_name(scanned, scanned.flat, wanted).items():
        label = class_names(scanned.leaf).index(name)
        for index in images.tolist():
            left, top, right, bottom = next(
                each['bbox']
                for each in scanned.leaf.get_data_info(index)['instances']
                if each['bbox_label'] == label and is_flat(each.get('bbox'))
            )
            fault = box_fault((left, top, right - left, bottom - top))
            causes[image_name(scanned.leaf, index), name] = fault
    return grouped(causes)


def image_name(leaf: Any, index: int) -> str:
    """What to call an image: its path, or its index where it has none."""
    return leaf.get_data_info(int(index)).get('img_path') or f'image {index}'


def check_losses(
    leaf: Any,
    where: str,
    losses: Iterable[Loss],
    shown: Mapping[str, int],
    defects: int,
    normal: int,
) -> Iterable[Finding]:
    """Say which images are not drawn as what their file calls them, and why."""
    losses = list(losses)
    lost: Counter = Counter()
    for loss in losses:
        if CAUSES[loss.cause].weight == 'fault':
            lost.update(loss.classes)
    source = getattr(leaf, 'ann_file', None) or describe(leaf)
    for loss in losses:
        why, fix, weight, key = CAUSES[loss.cause]
        most = any(lost[name] > shown.get(name, defects) for name in loss.classes)
        yield Finding(
            f'{where}.{key}' if key else source,
            ('images drawn as defects: ' if weight == 'drawn' else NOT_DRAWN)
            + f'{loss.images:,} ({_classes(loss, shown)}), such as {loss.example}',
            why,
            fix,
            breaks=weight in ('fault', 'told', 'drawn')
            or (weight == 'choice' and loss.images > MANY * defects),
            refused=(weight == 'fault' and most)
            or (weight == 'drawn' and loss.images > normal),
        )


NOT_DRAWN = 'defect images that are not drawn as such: '


def _classes(loss: Loss, shown: Mapping[str, int]) -> str:
    told = []
    for name, number in list(loss.classes.items())[:10]:
        if name in shown:
            lost = number * (CAUSES[loss.cause].weight != 'drawn')
            told.append(f'{name}: {number:,} of {shown[name] + lost:,}')
        else:
            told.append(f'{name}: {number:,}')
    return ', '.join(told)
