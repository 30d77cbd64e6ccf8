"""Read from the annotations of a dataset which image shows which classes."""

from __future__ import annotations

from array import array
from collections import defaultdict
from itertools import chain
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from mmdefect.pools.coco import not_taken, reads_coco
from mmdefect.pools.indices import NONE, index_array, union
from mmdefect.pools.infos import infos_of
from mmdefect.pools.photographs import photograph_key
from mmdefect.pools.progress import Progress
from mmdefect.pools.wrappers import class_names, describe


class LeafScan(NamedTuple):
    """What a dataset that is no wrapper has and does not count.

    Args:
        leaf: The dataset.
        ignored (dict[Any, np.ndarray]): By label, the int64 indices of the images with
            ignored instances of it and none that counts.
        flat (dict[Any, np.ndarray]): By label, those of the images with instances of
            it whose boxes have no area, and none that counts.
        unseen (set, optional): Labels of which a COCO file gives an instance to an
            image that has none here. None where they cannot be compared.
        left_out (dict[Any, np.ndarray]): By category of a COCO file that ``metainfo``
            does not name, the images with it that have no instance.
    """

    leaf: Any
    ignored: dict[Any, np.ndarray]
    flat: dict[Any, np.ndarray]
    unseen: set | None
    left_out: dict[Any, np.ndarray]


class Scan(NamedTuple):
    """What the annotations of a dataset say about its images.

    Args:
        length (int): Number of images.
        classes (dict[str, np.ndarray]): By class name, the sorted int64 indices of the
            images with an instance of that class that :func:`counts`.
        ignored (np.ndarray): Sorted int64 indices of the images that have ignored
            instances and none that counts.
        left_out (np.ndarray): Sorted int64 indices of the images that lost all their
            instances because ``metainfo`` does not name their classes, as far as the
            dataset keeps track: those that read COCO files do.
        photographs (np.ndarray): Of each image the key of its photograph, int64.
        leaves (tuple[LeafScan]): What the datasets inside have and do not count.
    """

    length: int
    classes: dict[str, np.ndarray]
    ignored: np.ndarray
    left_out: np.ndarray = NONE
    photographs: np.ndarray = NONE
    leaves: tuple[LeafScan, ...] = ()


def counts(instance: Mapping[str, Any]) -> bool:
    """Whether an instance makes its image one that shows its class."""
    return not instance.get('ignore_flag', 0) and not is_flat(instance.get('bbox'))


def is_flat(box: Any) -> bool:
    """Whether a box has no area."""
    if box is None or len(box) != 4:
        return False
    return not (box[2] > box[0] and box[3] > box[1])


def scan_leaves(leaves: Sequence[Any], origin: np.ndarray) -> Scan:
    """Read which image shows which classes, given the place of each in the leaves."""
    progress = Progress(sum(map(len, leaves)))
    scans, shown, photographs = zip(*(_scan_leaf(leaf, progress) for leaf in leaves))
    names = [class_names(leaf) for leaf in leaves]
    starts = np.cumsum([0, *map(len, leaves)])

    def found(of_leaves: Iterable[Iterable[np.ndarray]]) -> np.ndarray:
        # Arrays of indices of each leaf -> bools of shape (images,).
        arrays = [i + start for start, of in zip(starts, of_leaves) for i in of]
        return union(arrays, starts[-1])[origin]

    def of_class(name: str) -> np.ndarray:
        # Popped, so that dense annotations are not held twice.
        return np.flatnonzero(
            found(
                [by_label.pop(label, NONE) for label, n in enumerate(own) if n == name]
                for by_label, own in zip(shown, names)
            )
        )

    ignored = found(scan.ignored.values() for scan in scans)
    ignored &= ~found(by_label.values() for by_label in shown)
    return Scan(
        len(origin),
        {name: of_class(name) for name in dict.fromkeys(chain(*names))},
        np.flatnonzero(ignored),
        np.flatnonzero(found(scan.left_out.values() for scan in scans)),
        np.concatenate(photographs)[origin],
        scans,
    )


def _scan_leaf(
    leaf: Any, progress: Progress
) -> tuple[LeafScan, dict[Any, np.ndarray], np.ndarray]:
    # Beside it by label the images that show it, and the keys of all photographs.
    if not len(leaf):
        raise ValueError(
            f'{describe(leaf)} holds no image; set its ann_file and filter_cfg in '
            'train_dataloader.dataset'
        )
    infos = progress.track(_annotations(leaf))
    names = class_names(leaf)
    key_of, photographs = photograph_key(leaf), array('q')
    # By label the indices of images that show it, ignore it, have it without area.
    kinds: Any = tuple(defaultdict(lambda: array('q')) for _ in range(3))
    for index, info in enumerate(infos):
        photographs.append(key_of(info.get('img_path'), index))
        instances = info.get('instances')
        if not instances:
            continue
        try:
            for kind, labels in zip(kinds, _labels(instances)):
                for label in labels:
                    kind[label].append(index)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{describe(leaf, index)} has an instance without a bbox_label '
                f'({type(error).__name__}: {error}): expected instances=[dict('
                'bbox=[x1, y1, x2, y2], bbox_label=0, ignore_flag=0), ...]; mend '
                'its annotations'
            ) from None
    shown, ignored, flat = kinds = tuple(
        {label: index_array(images) for label, images in kind.items()} for kind in kinds
    )
    for label, indices in shown.items():
        if not (isinstance(label, (int, np.integer)) and 0 <= label < len(names)):
            raise ValueError(
                f'{describe(leaf, indices[0])} has an instance with '
                f'bbox_label={label!r}, but metainfo names {len(names)} classes: '
                f'{", ".join(names)}; set train_dataloader.dataset.metainfo or mend '
                'its annotations'
            )
    unseen, left_out = not_taken(leaf, kinds) if reads_coco(leaf) else (None, {})
    scanned = LeafScan(leaf, ignored, flat, unseen, left_out)
    return scanned, shown, index_array(photographs)


def _labels(instances: Iterable[Mapping[str, Any]]) -> tuple[set, set, set]:
    # Those that count, those that are only ignored, those that only have no area.
    shown: set = set()
    ignored: set = set()
    flat: set = set()
    for each in instances:
        found = ignored if each.get('ignore_flag', 0) else flat
        (shown if counts(each) else found).add(each['bbox_label'])
    return shown, ignored - shown, flat - ignored - shown


def _annotations(leaf: Any) -> Iterable[Mapping[str, Any]]:
    # MMDetection takes an image without the key for one without instances, but a
    # dataset that nowhere has it does not know.
    if any('instances' in info for info in infos_of(leaf)):
        return infos_of(leaf)
    try:
        leaf.get_cat_ids(0)
    except (AttributeError, KeyError, NotImplementedError):
        raise TypeError(
            f'{describe(leaf)} does not tell which images hold a defect: expected '
            "get_data_info(index)['instances'] or get_cat_ids(index), as MMDetection "
            'datasets have; set train_dataloader.dataset'
        ) from None
    labels = map(leaf.get_cat_ids, range(len(leaf)))
    return (
        {**info, 'instances': [{'bbox_label': label} for label in of_image]}
        for info, of_image in zip(infos_of(leaf), labels)
    )
