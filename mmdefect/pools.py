"""From a dataset, through any wrapper, to named arrays of indices."""

from __future__ import annotations

import os
import pickle
from array import array
from collections import defaultdict
from itertools import chain, compress
from reprlib import repr as shorten
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

# Pools that are always there; no class pool or user pool takes their names.
RESERVED = ('normal', 'defect', 'all')

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


def unwrap(dataset: Any) -> tuple[list[Any], np.ndarray]:
    """Look through all wrappers.

    Args:
        dataset: The outermost dataset.

    Returns:
        tuple: The datasets inside, and of each image of the outermost one its int64
        position in these, one after another.

    Raises:
        TypeError: If a dataset is of a kind that has no images to draw.
        ValueError: If annotations cannot be read, or a wrapper does not fit what it
            wraps.
        FileNotFoundError: If a file of annotations is missing.
    """
    kinds = [kind.__name__ for kind in type(dataset).__mro__]
    for kind in filter(REFUSED.__contains__, kinds):
        raise TypeError(
            f'{describe(dataset)} {REFUSED[kind]}; set train_dataloader.dataset'
        )
    if 'ConcatDataset' in kinds:
        parts = [unwrap(part) for part in dataset.datasets]
        leaves = [leaf for inside, _ in parts for leaf in inside]
        starts = np.cumsum([0] + [sum(map(len, inside)) for inside, _ in parts])
        return leaves, np.concatenate([o + at for (_, o), at in zip(parts, starts)])
    for kind in filter(WRAPPERS.__contains__, kinds):
        attribute, choose = WRAPPERS[kind]
        leaves, origin = unwrap(getattr(dataset, attribute))
        if hasattr(dataset, 'full_init'):
            dataset.full_init()
        chosen = choose(dataset, len(origin))
        try:
            return leaves, origin[chosen]
        except IndexError:
            raise ValueError(
                f'{kind} of length {len(dataset):,} asks for images beyond the '
                f'{len(origin):,} that it wraps; mend its indices, or lower '
                'train_dataloader.num_batch_per_epoch'
            ) from None
    _load(dataset)
    if _feeds_branches(dataset):
        raise TypeError(
            f'{describe(dataset)} feeds a semi-supervised detector (MultiBranch in '
            'its pipeline): an image without boxes is unlabelled there, not normal; '
            'leave MultiSourceSampler in place for it'
        )
    return [dataset], np.arange(len(dataset))


# A wrapper's name -> its attribute that holds what it wraps, and which image of that
# each of its own is, given the number of those.
WRAPPERS: dict[str, tuple[str, Callable[[Any, int], Any]]] = {
    'DefectPreservingDataset': ('dataset', lambda d, n: slice(None)),
    'MultiImageMixDataset': ('dataset', lambda d, n: slice(None)),
    'RepeatDataset': ('dataset', lambda d, n: np.arange(len(d)) % n),
    'ClassBalancedDataset': ('dataset', lambda d, n: np.array(d.repeat_indices, int)),
    'Subset': ('dataset', lambda d, n: np.array(d.indices, int)),
    # what MMEngine puts around a dataset for `num_batch_per_epoch`
    '_SlicedDataset': ('_dataset', lambda d, n: np.arange(len(d))),
}

# A dataset's name -> why it has no images to draw, and what to take instead.
REFUSED = {
    'IterableDataset': 'has no indices to draw: take a dataset with len() and [index]',
    'BaseVideoDataset': 'holds videos: take CocoDataset, which reads the same '
    'annotation file image by image',
    **dict.fromkeys(
        ('ODVGDataset', 'Flickr30kDataset', 'MDETRStyleRefCocoDataset'),
        "labels phrases of each image's own text: take CocoDataset with "
        'return_classes=True',
    ),
    **dict.fromkeys(
        ('BaseSegDataset', 'CocoCaptionDataset', 'RefCocoDataset', 'ReIDDataset'),
        'has no boxes: take CocoDataset',
    ),
}


def describe(dataset: Any, index: int | None = None) -> str:
    """Say which dataset is meant, or which image of it.

    Args:
        dataset: The dataset.
        index (int, optional): Index of an image in it.

    Returns:
        str: Class and annotation file, and index and path of the image.
    """
    text = type(dataset).__name__
    if getattr(dataset, 'ann_file', None):
        text += f' ({dataset.ann_file})'
    if index is None:
        return text
    info = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
    path = info.get('img_path')
    return f'{text}, image {index}' + (f' ({path})' if path else '')


def class_names(dataset: Any) -> tuple[str, ...]:
    """Names of the classes of a dataset, by label.

    Args:
        dataset: A dataset that is no wrapper.

    Returns:
        tuple[str, ...]: At least one name.

    Raises:
        ValueError: If it names none.
    """
    names = dict(getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        raise ValueError(
            f'{describe(dataset)} names no classes: expected them in its metainfo; '
            "set train_dataloader.dataset.metainfo=dict(classes=('crack', ...))"
        )
    return names


def _load(dataset: Any) -> None:
    # Has something to do where a dataset was built with lazy_init=True.
    if not hasattr(dataset, 'full_init'):
        return
    try:
        dataset.full_init()
    except Exception as error:
        missing = isinstance(error, FileNotFoundError)
        raise (FileNotFoundError if missing else ValueError)(
            f'{describe(dataset)} cannot be read: {type(error).__name__}: {error}; '
            'mend the file or set train_dataloader.dataset.ann_file'
        ) from error


def _feeds_branches(dataset: Any) -> bool:
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    return any(type(transform).__name__ == 'MultiBranch' for transform in transforms)


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
    classes = {n: _array(shown.get(label, ())) for label, n in enumerate(names)}
    return Scan(len(leaf), classes, _array(ignored), _array(lost))


def _left_out(leaf: Any) -> set[Any]:
    # Ids of the images with annotations of categories that metainfo does not name.
    kept = set(getattr(leaf, 'cat_ids', ()))
    images = getattr(leaf, 'cat_img_map', {})
    return {i for category in images if category not in kept for i in images[category]}


def _annotations(leaf: Any, with_empty: bool) -> Iterable[Mapping[str, Any]]:
    # MMDetection takes an image without the key for one without instances, but a
    # dataset that nowhere has it does not know.
    if any('instances' in info for info in _infos(leaf)):
        return _infos(leaf, with_empty)
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


def _infos(leaf: Any, with_empty: bool = True) -> Iterator[Mapping[str, Any]]:
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
        return rest[_mask(pool, inner.length)[origin_of_rest]]

    return Scan(
        len(origin),
        {name: chosen(inner.classes.pop(name)) for name in list(inner.classes)},
        chosen(inner.ignored),
        chosen(inner.left_out),
    )


def annotated_normals(
    scanned: Scan, normal: np.ndarray, defect_classes: Sequence[str]
) -> dict[str, int]:
    """Count the normal images that have instances, none of which is a defect.

    Args:
        scanned (Scan): The dataset.
        normal (np.ndarray): Indices of the normal images.
        defect_classes (Sequence[str]): The classes that count as defects.

    Returns:
        dict[str, int]: By what those instances are, the number of images.
    """
    others = [scanned.classes[n] for n in scanned.classes if n not in defect_classes]
    kinds = {
        'ignored instances': scanned.ignored,
        'other classes': np.concatenate([*others, scanned.left_out]),
    }
    is_normal = _mask(normal, scanned.length)
    counts = {
        name: int((is_normal & _mask(indices, scanned.length)).sum())
        for name, indices in kinds.items()
    }
    return {name: count for name, count in counts.items() if count}


def make_pools(
    scanned: Scan,
    defect_classes: Sequence[str],
    extra: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Sort the images of a dataset into pools.

    Args:
        scanned (Scan): The dataset.
        defect_classes (Sequence[str]): The classes that count as defects.
        extra (dict[str, np.ndarray], optional): Further pools by name. Their images
            leave ``normal``.

    Returns:
        dict[str, np.ndarray]: Sorted int64 indices of ``normal``, ``defect``, each
        defect class and each further pool. A class named ``normal`` or ``defect`` has
        no pool of its own.
    """
    defect = np.zeros(scanned.length, bool)
    for name in defect_classes:
        defect[scanned.classes[name]] = True
    normal = ~defect
    for indices in (extra or {}).values():
        normal[indices] = False
    pools = {'normal': np.flatnonzero(normal), 'defect': np.flatnonzero(defect)}
    for name in defect_classes:
        pools.setdefault(name, scanned.classes[name])
    pools.update({name: np.sort(indices) for name, indices in (extra or {}).items()})
    return pools


def read_pool(
    name: str, listing: str | os.PathLike | Sequence[int], dataset: Any
) -> np.ndarray:
    """Indices of a pool that the user lists.

    Args:
        name (str): Name of the pool.
        listing (str | os.PathLike | Sequence[int]): A text file with one file name or
            image id a line, or the indices themselves.
        dataset: The outermost dataset.

    Returns:
        np.ndarray: Sorted int64 indices.

    Raises:
        TypeError: If ``listing`` is neither a path nor a list of ints.
        ValueError: If an image is not in the dataset, or listed twice, or none is.
        FileNotFoundError: If the file is missing.
    """
    line = f'train_dataloader.sampler.pools[{name!r}]'
    if isinstance(listing, (str, os.PathLike)):
        entries = read_lines(listing, line)
        found = find_images(entries, dataset, os.fspath(listing), line)
        return np.sort(np.concatenate(list(found.values())))
    try:
        indices = np.asarray(listing)
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in 'iu'):
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(
            f'pools[{name!r}]={shorten(listing)}: expected a text file or a list of '
            f'indices; set {line}'
        ) from None
    indices = indices.astype(np.int64)
    if not indices.size:
        raise ValueError(f'pools[{name!r}] is empty: expected indices; set {line}')
    outside = indices[(indices < 0) | (indices >= len(dataset))].tolist()
    if outside:
        raise ValueError(
            f'pools[{name!r}] names {len(outside)} indices outside the dataset of '
            f'{len(dataset):,} images, the first {outside[:3]}; set {line}'
        )
    unique, times = np.unique(indices, return_counts=True)
    twice = unique[times > 1].tolist()
    if twice:
        raise ValueError(
            f'pools[{name!r}] names {len(twice)} images twice, the first {twice[:3]}; '
            f'set {line}'
        )
    return unique


def read_lines(path: str | os.PathLike, line: str) -> list[str]:
    """The lines of a text file, without blank ones and comments (``# ...``).

    Args:
        path (str | os.PathLike): The file.
        line (str): The config line that names it.

    Returns:
        list[str]: At least one line.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds nothing.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{os.fspath(path)} is not a file; set {line}')
    with open(path, encoding='utf-8') as file:
        lines = [text.strip() for text in file]
    lines = [text for text in lines if text and not text.startswith('#')]
    if not lines:
        raise ValueError(
            f'{os.fspath(path)} is empty: expected one file name or image id a line; '
            f'set {line}'
        )
    return lines


def find_images(
    entries: Sequence[str], dataset: Any, source: str, line: str
) -> dict[str, np.ndarray]:
    """Find images by file name or image id.

    Args:
        entries (Sequence[str]): Image ids, or the ends of image paths in whole parts,
            such as ``0017.png`` or ``line2/0017.png``.
        dataset: The outermost dataset.
        source (str): Where the entries come from.
        line (str): The config line that names it.

    Returns:
        dict[str, np.ndarray]: By entry, the int64 indices of its image: several where
        a wrapper repeats it.

    Raises:
        ValueError: If an entry fits no image, or fits different ones, or two of them
            fit the same one.
    """
    wanted = set(entries)
    found: dict[str, dict[str, list[int]]] = {entry: {} for entry in entries}
    leaves, origin = unwrap(dataset)
    infos = enumerate(chain.from_iterable(map(_infos, leaves)))
    for position, info in compress(infos, _mask(origin, sum(map(len, leaves)))):
        path = str(info.get('img_path', '')).replace(os.sep, '/')
        parts = path.split('/')
        names = {'/'.join(parts[start:]) for start in range(len(parts))}
        names.add(str(info.get('img_id', path)))
        for entry in names & wanted:
            found[entry].setdefault(path, []).append(position)
    for problem, bad in (
        ('that are not in the dataset', [e for e in entries if not found[e]]),
        ('that fit several', [e for e in entries if len(found[e]) > 1]),
    ):
        if bad:
            raise ValueError(
                f'{source} names {len(bad)} images {problem}, the first {bad[:3]}; '
                f'mend it or set {line}'
            )
    names_of = defaultdict(list)
    for entry in entries:
        names_of[tuple(*found[entry].values())].append(entry)
    twice = [names for names in names_of.values() if len(names) > 1]
    if twice:
        raise ValueError(
            f'{source} names {len(twice)} images twice, the first {twice[0]}; '
            f'mend it or set {line}'
        )
    indices = np.argsort(origin, kind='stable')
    ends = np.searchsorted(origin[indices], np.arange(sum(map(len, leaves)) + 1))

    def images(positions: Sequence[int]) -> np.ndarray:
        return np.sort(
            np.concatenate([indices[ends[p] : ends[p + 1]] for p in positions])
        )

    return {entry: images(*found[entry].values()) for entry in entries}


def _array(indices: Sequence[int]) -> np.ndarray:
    return np.asarray(indices, np.int64)


def _mask(indices: np.ndarray, length: int) -> np.ndarray:
    mask = np.zeros(length, bool)
    mask[indices] = True
    return mask
