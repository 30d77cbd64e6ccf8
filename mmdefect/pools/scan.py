"""Read from the annotations of a dataset which image shows which classes."""

from __future__ import annotations

import pickle
from array import array
from collections import defaultdict
from time import monotonic
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
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmdefect.pools.wrappers import class_names, describe, unwrap

# Images read between two looks at the clock.
BLOCK = 256


class Scan(NamedTuple):
    """What the annotations of a dataset say about its images.

    Args:
        length (int): Number of images.
        classes (dict[str, np.ndarray]): By class name, the sorted int64 indices of the
            images with an instance of that class whose ``ignore_flag`` is 0.
        ignored (np.ndarray): Sorted int64 indices of the images that have instances,
            all of them ignored.
        left_out (np.ndarray): Sorted int64 indices of the images that lost all their
            instances because ``metainfo`` does not name their classes, as far as the
            dataset keeps track: those that read COCO files do.
    """

    length: int
    classes: dict[str, np.ndarray]
    ignored: np.ndarray
    left_out: np.ndarray = np.empty(0, np.int64)


def scan(dataset: Any) -> Scan:
    """Read which image of a dataset shows which classes.

    Args:
        dataset: A dataset of MMDetection, or of the user, or a wrapper around such.

    Returns:
        Scan: Indices are those of ``dataset`` itself, the outermost one.

    Raises:
        TypeError: If the dataset does not tell what its images show.
        ValueError: If an instance has no class, or there are no classes or images.
    """
    leaves, origin = unwrap(dataset)
    progress = _Progress(sum(map(len, leaves)))
    scans = [_scan_leaf(leaf, progress) for leaf in leaves]
    return _select(_concatenate(scans), origin)


def _scan_leaf(leaf: Any, progress: _Progress) -> Scan:
    if not len(leaf):
        raise ValueError(
            f'{describe(leaf)} holds no image; set its ann_file and filter_cfg in '
            'train_dataloader.dataset'
        )
    left_out = _left_out(leaf)
    infos = _annotations(leaf, with_empty=bool(left_out))
    names = class_names(leaf)
    shown: dict[int, array] = defaultdict(lambda: array('q'))
    ignored, lost = array('q'), array('q')
    for index, info in progress.track(infos):
        instances = info.get('instances')
        if instances:
            try:
                labels = {
                    i['bbox_label'] for i in instances if not i.get('ignore_flag', 0)
                }
            except (KeyError, TypeError) as error:
                raise ValueError(
                    f'{describe(leaf, index)} has an instance without a bbox_label '
                    f'({type(error).__name__}: {error}): expected instances=[dict('
                    'bbox=[x1, y1, x2, y2], bbox_label=0, ignore_flag=0), ...]; mend '
                    'its annotations'
                ) from None
            for label in labels:
                shown[label].append(index)
            if not labels:
                ignored.append(index)
        elif left_out and info.get('img_id') in left_out:
            lost.append(index)
    for label, indices in shown.items():
        if not (isinstance(label, (int, np.integer)) and 0 <= label < len(names)):
            raise ValueError(
                f'{describe(leaf, indices[0])} has an instance with '
                f'bbox_label={label!r}, but metainfo names {len(names)} classes: '
                f'{", ".join(names)}; set train_dataloader.dataset.metainfo or mend '
                'its annotations'
            )
    classes = {n: index_array(shown.get(label, ())) for label, n in enumerate(names)}
    return Scan(len(leaf), classes, index_array(ignored), index_array(lost))


def _left_out(leaf: Any) -> set[Any]:
    # Ids of the images with annotations of categories that metainfo does not name.
    kept = set(getattr(leaf, 'cat_ids', ()))
    images = getattr(leaf, 'cat_img_map', {})
    return {i for category in images if category not in kept for i in images[category]}


def _annotations(leaf: Any, with_empty: bool) -> Iterable[Mapping[str, Any]]:
    # MMDetection takes an image without the key for one without instances, but a
    # dataset that nowhere has it does not know.
    if any('instances' in info for info in infos_of(leaf)):
        return infos_of(leaf, with_empty)
    try:
        leaf.get_cat_ids(0)
    except (AttributeError, KeyError, NotImplementedError):
        raise TypeError(
            f'{describe(leaf)} does not tell which images hold a defect: expected '
            "get_data_info(index)['instances'] or get_cat_ids(index), as MMDetection "
            'datasets have; set train_dataloader.dataset'
        ) from None
    labels = map(leaf.get_cat_ids, range(len(leaf)))
    return ({'instances': [{'bbox_label': n} for n in image]} for image in labels)


def infos_of(leaf: Any, with_empty: bool = True) -> Iterator[Mapping[str, Any]]:
    """The annotations of a dataset that is no wrapper, image by image.

    Args:
        leaf: The dataset.
        with_empty (bool): Whether to read those without instances too. They are empty
            dicts otherwise.

    Yields:
        Mapping: What ``get_data_info`` returns, or what it is made from.
    """
    # Reads the serialized annotations front to back: several times faster than by
    # index, where MMEngine copies each image's bytes and adds its own keys.
    plain = all(
        getattr(type(leaf), name, None) is getattr(BaseDataset, name)
        for name in ('get_data_info', '__len__')
    )
    if plain and leaf.serialize_data:
        buffer, start = memoryview(leaf.data_bytes), 0
        for block in range(0, len(leaf), BLOCK):
            for stop in leaf.data_address[block : block + BLOCK].tolist():
                pickled = bytes(buffer[start:stop])
                # An image without the letters has no instance; most are such.
                wanted = with_empty or b'bbox' in pickled
                yield pickle.loads(pickled) if wanted else {}
                start = stop
    elif plain:
        yield from leaf.data_list
    else:
        read: Callable[[int], Any] = getattr(leaf, 'get_data_info', lambda index: {})
        yield from map(read, range(len(leaf)))


class _Progress:
    # Says how far the reading is after 2, 4, 8, ... seconds.

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.start, self.due = monotonic(), 2

    def track(self, items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        for index, item in enumerate(items):
            yield index, item
            if not index % BLOCK:
                self._report(self.done + index + 1)
        self.done += index + 1

    def _report(self, done: int) -> None:
        seconds = monotonic() - self.start
        if seconds >= self.due:
            self.due *= 2
            print_log(
                f'reading the annotations: {done:,} of {self.total:,} images, about '
                f'{seconds * (self.total - done) / done:.0f} s left',
                logger='current',
            )


def _concatenate(parts: Sequence[Scan]) -> Scan:
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0] + [part.length for part in parts])
    names = dict.fromkeys(name for part in parts for name in part.classes)

    def join(pools: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate([pool + start for pool, start in zip(pools, starts)])

    none = np.empty(0, np.int64)
    return Scan(
        int(starts[-1]),
        # Popped, so that dense annotations are not held twice.
        {
            name: join([part.classes.pop(name, none) for part in parts])
            for name in names
        },
        join(part.ignored for part in parts),
        join(part.left_out for part in parts),
    )


def _select(inner: Scan, origin: np.ndarray) -> Scan:
    if np.array_equal(origin, np.arange(inner.length)):
        return inner
    annotated = np.zeros(inner.length, bool)
    for pool in (*inner.classes.values(), inner.ignored, inner.left_out):
        annotated[pool] = True
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
    )


def index_array(indices: Sequence[int]) -> np.ndarray:
    """Indices as int64."""
    return np.asarray(indices, np.int64)


def mask(indices: np.ndarray, length: int) -> np.ndarray:
    """Bools of shape (length,), true at the indices."""
    mask = np.zeros(length, bool)
    mask[indices] = True
    return mask
