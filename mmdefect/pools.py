"""From a dataset, through any wrapper, to named arrays of indices."""

from __future__ import annotations

import os
import pickle
from collections import defaultdict
from typing import (
    Any,
    Callable,
    Iterable,
    Mapping,
    NamedTuple,
    Sequence,
)

import numpy as np
from mmengine.dataset import BaseDataset

# Pools that are always there; no class pool or user pool takes their names.
RESERVED = ('normal', 'defect', 'all')


class Scan(NamedTuple):
    """What the annotations of a dataset say about its images.

    Args:
        length (int): Number of images.
        classes (dict[str, np.ndarray]): By class name, the sorted int64 indices of the
            images with an instance of that class whose ``ignore_flag`` is 0.
        ignored (np.ndarray): Sorted int64 indices of the images that have instances,
            all of them ignored.
    """

    length: int
    classes: dict[str, np.ndarray]
    ignored: np.ndarray


def scan(dataset: Any) -> Scan:
    """Read which image of a dataset shows which classes.

    Args:
        dataset: A dataset of MMDetection, or of the user, or a wrapper around such.

    Returns:
        Scan: Indices are those of ``dataset`` itself, the outermost one.

    Raises:
        TypeError: If the dataset does not tell what its images show.
    """
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    if isinstance(getattr(dataset, 'datasets', None), (list, tuple)):
        return _concatenate([scan(part) for part in dataset.datasets])
    for kind in type(dataset).__mro__:
        if kind.__name__ in WRAPPERS:
            inner, indices = WRAPPERS[kind.__name__](dataset)
            return _select(scan(inner), indices)
    return _scan_leaf(dataset)


# A wrapper's name -> what it wraps, and which image of that each of its own is.
WRAPPERS: dict[str, Callable[[Any], tuple[Any, np.ndarray | None]]] = {
    'MultiImageMixDataset': lambda d: (d.dataset, None),
    'RepeatDataset': lambda d: (d.dataset, np.arange(len(d)) % len(d.dataset)),
    'ClassBalancedDataset': lambda d: (d.dataset, np.asarray(d.repeat_indices)),
    'Subset': lambda d: (d.dataset, np.asarray(d.indices, np.int64)),
    # what mmengine puts around a dataset for `num_batch_per_epoch`
    '_SlicedDataset': lambda d: (d._dataset, np.arange(len(d))),
}


def _scan_leaf(dataset: Any) -> Scan:
    names = _class_names(dataset)
    shown: dict[int, list[int]] = defaultdict(list)
    ignored = []
    for index, labels in enumerate(_labels(dataset)):
        if labels is None:
            ignored.append(index)
            continue
        for label in labels:
            shown[label].append(index)
    for label in shown:
        if not 0 <= label < len(names):
            raise ValueError(
                f'{type(dataset).__name__}: image {shown[label][0]} has an instance '
                f'with bbox_label={label}, but metainfo names {len(names)} classes: '
                f'{", ".join(names)}; set train_dataloader.dataset.metainfo'
            )
    classes = {n: _array(shown.get(label, [])) for label, n in enumerate(names)}
    return Scan(len(dataset), classes, _array(ignored))


def _labels(dataset: Any) -> Iterable[Iterable[int] | None]:
    # Of each image: the labels that count, or None where all its instances are ignored.
    if hasattr(dataset, 'get_data_info'):
        for info in _data_infos(dataset):
            if 'instances' not in info:
                break
            instances = info['instances']
            labels = {i['bbox_label'] for i in instances if not i.get('ignore_flag', 0)}
            yield labels if labels or not instances else None
        else:
            return
    if not hasattr(dataset, 'get_cat_ids'):
        raise TypeError(
            f'{type(dataset).__name__} does not tell which images hold a defect: '
            "expected get_data_info(index)['instances'] or get_cat_ids(index), as "
            'MMDetection datasets have; set train_dataloader.dataset'
        )
    for index in range(len(dataset)):
        yield set(dataset.get_cat_ids(index))


def _data_infos(dataset: Any) -> Iterable[Mapping[str, Any]]:
    # Reads the serialized annotations front to back: several times faster than by
    # index, where mmengine copies each image's bytes and adds its own keys.
    plain = getattr(type(dataset), 'get_data_info', None) is BaseDataset.get_data_info
    if plain and dataset.serialize_data:
        buffer, start = memoryview(dataset.data_bytes), 0
        for stop in dataset.data_address.tolist():
            yield pickle.loads(buffer[start:stop])
            start = stop
    else:
        for index in range(len(dataset)):
            yield dataset.get_data_info(index)


def _class_names(dataset: Any) -> tuple[str, ...]:
    names = dict(getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    names = (names,) if isinstance(names, str) else tuple(names)
    if not names:
        raise ValueError(
            f'{type(dataset).__name__} names no classes: expected them in its '
            "metainfo; set train_dataloader.dataset.metainfo=dict(classes=('crack', "
            '...))'
        )
    return names


def _concatenate(parts: Sequence[Scan]) -> Scan:
    starts = np.cumsum([0] + [part.length for part in parts])
    gathered = defaultdict(list)
    for part, start in zip(parts, starts):
        for name, indices in part.classes.items():
            gathered[name].append(indices + start)
    ignored = [part.ignored + start for part, start in zip(parts, starts)]
    return Scan(
        int(starts[-1]),
        {name: np.concatenate(arrays) for name, arrays in gathered.items()},
        np.concatenate(ignored),
    )


def _select(inner: Scan, indices: np.ndarray | None) -> Scan:
    if indices is None:
        return inner

    def chosen(pool: np.ndarray) -> np.ndarray:
        return np.flatnonzero(_mask(pool, inner.length)[indices])

    return Scan(
        len(indices),
        {name: chosen(pool) for name, pool in inner.classes.items()},
        chosen(inner.ignored),
    )


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
        refuse_repeats(entries, str(listing), line)
        found = find_images(entries, dataset, str(listing), line)
        return np.unique(np.concatenate(list(found.values())))
    try:
        indices = np.asarray(listing)
        if indices.size and indices.dtype.kind not in 'iu':
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(
            f'pools[{name!r}]={listing!r}: expected a text file or a list of indices; '
            f'set {line}'
        ) from None
    indices = indices.astype(np.int64).ravel()
    if not indices.size:
        raise ValueError(f'pools[{name!r}] is empty: expected indices; set {line}')
    outside = indices[(indices < 0) | (indices >= len(dataset))].tolist()
    if outside:
        raise ValueError(
            f'pools[{name!r}] names {len(outside)} indices outside the dataset of '
            f'{len(dataset):,} images, the first {outside[:3]}; set {line}'
        )
    refuse_repeats(indices.tolist(), f'pools[{name!r}]', line)
    return np.sort(indices)


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


def refuse_repeats(entries: Sequence[Any], source: str, line: str) -> None:
    """Refuse a list that names something twice.

    Args:
        entries (Sequence): The list.
        source (str): Where it comes from.
        line (str): The config line that names it.

    Raises:
        ValueError: If an entry stands there twice.
    """
    seen, twice = set(), []
    for entry in entries:
        if entry in seen:
            twice.append(entry)
        seen.add(entry)
    if twice:
        raise ValueError(
            f'{source} names {len(twice)} images twice, the first {twice[:3]}; '
            f'mend it or set {line}'
        )


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
        ValueError: If an entry fits no image, or fits different ones.
    """
    wanted = set(entries)
    found: dict[str, dict[str, list[int]]] = {entry: {} for entry in entries}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = str(info.get('img_path', '')).replace(os.sep, '/')
        parts = path.split('/')
        names = {'/'.join(parts[start:]) for start in range(len(parts))}
        names.add(str(info.get('img_id', path)))
        for entry in names & wanted:
            found[entry].setdefault(path, []).append(index)
    for problem, bad in (
        ('that are not in the dataset', [e for e in entries if not found[e]]),
        ('that fit several', [e for e in entries if len(found[e]) > 1]),
    ):
        if bad:
            raise ValueError(
                f'{source} names {len(bad)} images {problem}, the first {bad[:3]}; '
                f'mend it or set {line}'
            )
    return {entry: _array(next(iter(found[entry].values()))) for entry in entries}


def _array(indices: Sequence[int]) -> np.ndarray:
    return np.asarray(indices, np.int64)


def _mask(indices: np.ndarray, length: int) -> np.ndarray:
    mask = np.zeros(length, bool)
    mask[indices] = True
    return mask
