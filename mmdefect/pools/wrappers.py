"""Through any wrapper: the datasets inside, and which of their images each index is."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from mmdefect.pools.unreadable import explain


def unwrap(dataset: Any) -> tuple[list[Any], np.ndarray]:
    """Look through all wrappers."""
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
    """Say which dataset is meant, or which image of it."""
    text = type(dataset).__name__
    if getattr(dataset, 'ann_file', None):
        text += f' ({dataset.ann_file})'
    if index is None:
        return text
    info = dataset.get_data_info(index) if hasattr(dataset, 'get_data_info') else {}
    path = info.get('img_path')
    return f'{text}, image {index}' + (f' ({path})' if path else '')


def class_names(dataset: Any) -> tuple[str, ...]:
    """Names of the classes of a dataset, by label."""
    names = dict(getattr(dataset, 'metainfo', None) or {}).get('classes') or ()
    if isinstance(names, str):
        raise ValueError(
            f'{describe(dataset)} has classes={names!r}, which is text and not a list '
            f'of names, nor a file of such; set '
            f'train_dataloader.dataset.metainfo=dict(classes=({names!r},))'
        )
    names = tuple(names)
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
        path = getattr(dataset, 'ann_file', None)
        classes = dict(getattr(dataset, 'metainfo', None) or {}).get('classes')
        cause = explain(error, path, classes) or (
            f'{type(error).__name__}: {error}; mend the file or set '
            'train_dataloader.dataset.ann_file'
        )
        raise (FileNotFoundError if missing else ValueError)(
            f'{describe(dataset)} cannot be read: {cause}'
        ) from error


def _feeds_branches(dataset: Any) -> bool:
    transforms = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    return any(type(transform).__name__ == 'MultiBranch' for transform in transforms)
