"""Read from the annotations of a dataset which image shows which classes."""

from __future__ import annotations

from array import array
from collections import defaultdict
from typing import (
    Any,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    NamedTuple,
    Sequence,
)

import numpy as np

from mmdefect.pools.coco import Listed, reads_coco
from mmdefect.pools.progress import Progress
from mmdefect.pools.serialized import Serialized, is_plain, is_serialized
from mmdefect.pools.wrappers import class_names, describe

NONE = np.empty(0, np.int64)


class Part(NamedTuple):
    """What a dataset that is no wrapper has and does not count.

    Args:
        leaf: The dataset.
        ignored (dict[Any, np.ndarray]): By label, the int64 indices of the images with
            ignored instances of it and none that counts.
        flat (dict[Any, np.ndarray]): By label, those of the images with instances of
            it whose boxes have no area, and none that counts.
        unseen (dict[Any, np.ndarray]): By category id of a COCO file, the keys of the
            ids of the images that the file gives an instance of it and the dataset
            does not. None where its images and those of the file cannot be compared.
        left_out (np.ndarray): See :class:`Scan`.
    """

    leaf: Any
    ignored: dict[Any, np.ndarray]
    flat: dict[Any, np.ndarray]
    unseen: dict[Any, np.ndarray] | None
    left_out: np.ndarray


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
        parts (tuple[Part]): What the datasets inside have and do not count.
    """

    length: int
    classes: dict[str, np.ndarray]
    ignored: np.ndarray
    left_out: np.ndarray = NONE
    parts: tuple[Part, ...] = ()


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
    scans = [_scan_leaf(leaf, progress) for leaf in leaves]
    return _select(_concatenate(scans), origin)


class _Found(NamedTuple):
    # By label, the indices of the images with instances that count; with ignored ones
    # and none that counts; and with boxes without area and none of the others.
    shown: dict[Any, array]
    ignored: dict[Any, array]
    flat: dict[Any, array]


def _scan_leaf(leaf: Any, progress: Progress) -> Scan:
    size = len(leaf)
    if not size:
        raise ValueError(
            f'{describe(leaf)} holds no image; set its ann_file and filter_cfg in '
            'train_dataloader.dataset'
        )
    listed = Listed(leaf) if reads_coco(leaf) else None
    found = _read(leaf, progress.track(_annotations(leaf, listed), size))
    names = class_names(leaf)
    for label, indices in found.shown.items():
        if not (isinstance(label, (int, np.integer)) and 0 <= label < len(names)):
            raise ValueError(
                f'{describe(leaf, indices[0])} has an instance with '
                f'bbox_label={label!r}, but metainfo names {len(names)} classes: '
                f'{", ".join(names)}; set train_dataloader.dataset.metainfo or mend '
                'its annotations'
            )
    shown, ignored, flat = (
        {label: index_array(images) for label, images in kind.items()} for kind in found
    )
    left_out, unseen = NONE, None
    if listed is not None:
        unseen = listed.unseen([shown, ignored, flat])
        for label, images in listed.shown().items():
            read = shown.get(label, NONE)
            shown[label] = np.union1d(images, read) if len(read) else images
    is_shown = union(shown.values(), size)
    is_ignored = union(ignored.values(), size)
    if listed is not None:
        annotated = is_shown | is_ignored | union(flat.values(), size)
        left_out = listed.left_out[~annotated[listed.left_out]]
    return Scan(
        size,
        {name: shown.get(label, NONE) for label, name in enumerate(names)},
        np.flatnonzero(is_ignored & ~is_shown),
        left_out,
        (Part(leaf, ignored, flat, unseen, left_out),),
    )


def _read(leaf: Any, infos: Iterable[tuple[int, Mapping[str, Any]]]) -> _Found:
    found = _Found(*(defaultdict(lambda: array('q')) for _ in _Found._fields))
    for index, info in infos:
        instances = info.get('instances')
        if not instances:
            continue
        try:
            labels = {i['bbox_label'] for i in instances if counts(i)}
            ignored = {i['bbox_label'] for i in instances if i.get('ignore_flag', 0)}
            others = {i['bbox_label'] for i in instances} - labels - ignored
        except (KeyError, TypeError) as error:
            raise ValueError(
                f'{describe(leaf, index)} has an instance without a bbox_label '
                f'({type(error).__name__}: {error}): expected instances=[dict('
                'bbox=[x1, y1, x2, y2], bbox_label=0, ignore_flag=0), ...]; mend '
                'its annotations'
            ) from None
        for kind, of_kind in zip(found, (labels, ignored - labels, others)):
            for label in of_kind:
                kind[label].append(index)
    return found


def _annotations(
    leaf: Any, listed: Listed | None
) -> Iterable[tuple[int, Mapping[str, Any]]]:
    # MMDetection takes an image without the key for one without instances, but a
    # dataset that nowhere has it does not know.
    if any('instances' in info for info in infos_of(leaf)):
        if not is_serialized(leaf):
            return enumerate(infos_of(leaf))
        stored = Serialized(leaf)
        # An image without the letters has no instance; most are such.
        indices = stored.holding(b'bbox') if listed is None else listed.uncertain
        return ((index, stored.load(index)) for index in indices.tolist())
    try:
        leaf.get_cat_ids(0)
    except (AttributeError, KeyError, NotImplementedError):
        raise TypeError(
            f'{describe(leaf)} does not tell which images hold a defect: expected '
            "get_data_info(index)['instances'] or get_cat_ids(index), as MMDetection "
            'datasets have; set train_dataloader.dataset'
        ) from None
    labels = map(leaf.get_cat_ids, range(len(leaf)))
    return enumerate({'instances': [{'bbox_label': n} for n in i]} for i in labels)


def infos_of(leaf: Any) -> Iterator[Mapping[str, Any]]:
    """The annotations of a dataset that is no wrapper, image by image."""
    # By index, MMEngine copies each image's bytes and adds its own keys.
    if is_serialized(leaf):
        yield from Serialized(leaf).load_all()
    elif is_plain(leaf):
        yield from leaf.data_list
    else:
        read: Callable[[int], Any] = getattr(leaf, 'get_data_info', lambda index: {})
        yield from map(read, range(len(leaf)))


def _concatenate(parts: Sequence[Scan]) -> Scan:
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0] + [part.length for part in parts])
    names = dict.fromkeys(name for part in parts for name in part.classes)

    def join(pools: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate([pool + start for pool, start in zip(pools, starts)])

    return Scan(
        int(starts[-1]),
        # Popped, so that dense annotations are not held twice.
        {
            name: join([part.classes.pop(name, NONE) for part in parts])
            for name in names
        },
        join(part.ignored for part in parts),
        join(part.left_out for part in parts),
        tuple(inside for part in parts for inside in part.parts),
    )


def _select(inner: Scan, origin: np.ndarray) -> Scan:
    if np.array_equal(origin, np.arange(inner.length)):
        return inner
    pools = (*inner.classes.values(), inner.ignored, inner.left_out)
    annotated = union(pools, inner.length)
    # Nearly all images of a factory have no annotation: look up the others only.
    rest = np.flatnonzero(annotated[origin])
    origin_of_rest = origin[rest]

    def chosen(pool: np.ndarray) -> np.ndarray:
        return rest[mask(pool, inner.length)[origin_of_rest]]

    return Scan(
        len(origin),
        {name: chosen(inner.classes.pop(name)) for name in list(inner.classes)},
        chosen(inner.ignored),
        chosen(inner.left_out),
        inner.parts,
    )


def index_array(indices: Sequence[int]) -> np.ndarray:
    """Indices as int64."""
    return np.asarray(indices, np.int64)


def mask(indices: np.ndarray, length: int) -> np.ndarray:
    """Bools of shape (length,), true at the indices."""
    return union([indices], length)


def union(arrays: Iterable[np.ndarray], length: int) -> np.ndarray:
    """Bools of shape (length,), true at the indices of any of the arrays."""
    mask = np.zeros(length, bool)
    for indices in arrays:
        mask[indices] = True
    return mask
