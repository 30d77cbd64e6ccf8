"""The quota that the model receives: a drawn defect is not lost to augmentation."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from functools import reduce
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
import torch
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch.utils.data import get_worker_info

from mmdefect.checks.dataset import DATASET, walk_datasets
from mmdefect.delivery.attempts import (
    IN_A_ROW,
    Attempts,
    RejectedError,
    reads_file,
    steps_of,
)
from mmdefect.pools.pools import make_pools
from mmdefect.pools.scan import counts, scan
from mmdefect.pools.unreadable import explain
from mmdefect.pools.wrappers import class_names, describe, unwrap

# What is counted, and what the log says when it first happens.
EVENTS = {
    'retries': '',
    'uncut': '{cause}, the last time of {tries}, so it goes without the transforms '
    'that crop and mix',
    'refused': '{cause} for a normal image {tries} times, so it goes without the '
    'transforms that crop and mix; set allow_negative_crop=True, or keep_empty=False, '
    'in that transform: defects are kept all the same',
    'replaced': '{cause}, even without the transforms that crop and mix, so another '
    'image of the same pool goes in its place',
    'unreadable': '{cause}; another image of the same pool goes in its place',
}

# Data loader workers with counters of their own; further ones share these.
WORKERS = 64


@DATASETS.register_module()
class DefectPreservingDataset:
    """Keeps the defect of every drawn defect image through the augmentation pipeline.

    It stands outermost, around a dataset or around a wrapper such as
    ``MultiImageMixDataset``. A defect image that loses its defect goes through the
    pipelines again, with new random numbers, until it keeps it: then it looks as it
    does whenever the pipelines happen to keep it. The defect is looked for after every
    transform, and the pipelines are left where it is lost. After ``max_retries`` the
    image goes without the transforms that crop and mix; if even that fails, another
    image of the same pools takes its place.

    A defect is kept when the result shows an instance of a defect class that the image
    has, not ignored, with ``min_area_ratio`` of its box visible. In a mosaic it may be
    another image's instance: the classes decide.

    Where a pipeline returns None, for which MMDetection takes another image at random,
    the image is tried again in the same way; so are normal images.

    Args:
        dataset (dict | Dataset): The dataset, or its config.
        defect_classes (Sequence[str], optional): Names of the classes that count as
            defects, the same as in ``DefectPoolSampler``. None is every class of the
            dataset. Defaults to None.
        max_retries (int): How often an image goes through the pipelines again before
            they are changed. Defaults to 10.
        min_area_ratio (float): The visible share of a box's area below which it does
            not count. On the synthetic set, where the pixels of the defects are known,
            boxes of which 0.05 to 0.1 is visible show less than 5 % of their defect in
            84 of 100 cases, boxes of which 0.2 to 0.25 is visible in 2 of 100.
            Defaults to 0.2.
        lazy_init (bool): Whether to leave the annotations unread until they are
            needed. Defaults to False.

    Raises:
        TypeError: If an argument is of another type than said here, or the dataset
            does not tell what its images show.
        ValueError: If an argument is out of range, or the dataset already holds a
            ``DefectPreservingDataset``.
        FileNotFoundError: If an annotation file or image directory is missing.
    """

    def __init__(
        self,
        dataset: Any,
        defect_classes: Sequence[str] | None = None,
        max_retries: int = 10,
        min_area_ratio: float = 0.2,
        lazy_init: bool = False,
    ) -> None:
        _check_arguments(defect_classes, max_retries, min_area_ratio)
        if isinstance(dataset, dict):
            with _missing_files(), _broken_files(dataset):
                dataset = DATASETS.build(dataset)
        _check_wrapped(dataset)
        self.dataset = dataset
        self.defect_classes = None if defect_classes is None else tuple(defect_classes)
        self.max_retries = max_retries
        self.min_area_ratio = min_area_ratio
        # Shared memory: workers count, the main process reads.
        self._counts = torch.zeros(WORKERS + 1, len(EVENTS), dtype=torch.int64)
        self._counts.share_memory_()
        self._pools: dict[str, np.ndarray] | None = None
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    def __len__(self) -> int:
        self.full_init()
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        self.full_init()
        wanted = self._defects(index)
        failures = []
        for _ in range(IN_A_ROW):
            try:
                return self._deliver(index, wanted)
            except RejectedError as error:
                self._count(
                    'unreadable' if error.unreadable else 'replaced', index, error
                )
                failures.append(f'{self._path(index)}: {error}')
            index = self._another(index)
        raise RuntimeError(
            f'{len(failures)} images in a row cannot be delivered. {failures[0]}. '
            f'{failures[-1]}. Mend the pipelines or the data_prefix of {DATASET}'
        )

    def _deliver(self, index: int, wanted: frozenset[int]) -> Any:
        attempts = Attempts(wanted, self.min_area_ratio)
        for tries in range(1, self.max_retries + 2):
            try:
                return attempts.run(self.dataset, index)
            except RejectedError as error:
                if error.unreadable:
                    raise
                cause = error
            if tries <= self.max_retries:
                self._count('retries')
        self._count('uncut' if wanted else 'refused', index, cause)
        return attempts.run(self.dataset, index, uncut=True)

    def _defects(self, index: int) -> frozenset[int]:
        # Labels of the defects that an image shows.
        instances = self.dataset.get_data_info(index).get('instances')
        if instances is None:
            labels = set(self.get_cat_ids(index))
        else:
            labels = {each['bbox_label'] for each in instances if counts(each)}
        if self.defect_classes is not None:
            leaf = np.searchsorted(self._ends, self._origin[index], side='right')
            labels &= self._labels[leaf]
        return frozenset(labels)

    def know_pools(self, pools: Mapping[str, np.ndarray]) -> None:
        """Take the pools that images are drawn from, the user's own among them.

        Args:
            pools (dict[str, np.ndarray]): Indices by name, as ``DefectPoolSampler`` has
                them. An image that cannot be delivered gives way to another of its
                pools. Without a call they are made from the annotations.
        """
        self._pools = dict(pools)

    def _another(self, index: int) -> int:
        # An image that can stand for this one in every pool, or else in the smallest.
        if self._pools is None:
            scanned = scan(self.dataset)
            names = self.defect_classes or tuple(scanned.classes)
            self._pools = make_pools(scanned, names)
        alike = sorted((p for p in self._pools.values() if index in p), key=len)
        for pool in (reduce(np.intersect1d, alike), *alike):
            others = pool[pool != index]
            if len(others):
                return int(others[torch.randint(len(others), ())])
        return index

    # Counters ---------------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        """dict[str, int]: How often what happened since the start, in all workers.

        ``retries``: runs of the pipelines after an image's first; ``uncut`` and
        ``refused``: defect and normal images that went without the transforms that
        crop and mix; ``replaced`` and ``unreadable``: images that another one stood in
        for.
        """
        return dict(zip(EVENTS, self._counts.sum(0).tolist()))

    def _count(self, event: str, index: int = -1, cause: Any = None) -> None:
        first = not self.counts[event]
        worker = get_worker_info()
        row = WORKERS if worker is None else worker.id % WORKERS
        self._counts[row, list(EVENTS).index(event)] += 1
        if first and EVENTS[event]:
            said = EVENTS[event].format(cause=cause, tries=self.max_retries + 1)
            print_log(
                f'{self._path(index)}: {said}. This is said once and counted in '
                f'{DATASET}.counts[{event!r}]',
                logger='current',
                level=logging.WARNING,
            )

    def _path(self, index: int) -> str:
        return self.get_data_info(index).get('img_path') or f'image {index}'

    # What samplers and hooks reach for ----------------------------------------------

    def full_init(self) -> None:
        """Read the annotations, where that has not been done."""
        if self._fully_initialized:
            return
        with _missing_files():
            if hasattr(self.dataset, 'full_init'):
                self.dataset.full_init()
            leaves, self._origin = unwrap(self.dataset)
        self._ends = np.cumsum([len(leaf) for leaf in leaves])
        if self.defect_classes is not None:
            self._labels = _labels(self.defect_classes, leaves)
        for leaf in leaves:
            _check_image_directory(leaf)
        self._fully_initialized = True

    @property
    def metainfo(self) -> Any:
        """dict: Meta information of the dataset inside."""
        return self.dataset.metainfo

    def get_data_info(self, index: int) -> dict:
        """Annotation of an image.

        Args:
            index (int): Index of the image.

        Returns:
            dict: The same as that of the dataset inside.
        """
        return self.dataset.get_data_info(index)

    def get_cat_ids(self, index: int) -> list[int]:
        """Labels of an image's instances.

        Args:
            index (int): Index of the image.

        Returns:
            list[int]: A label for each instance, also where the wrapper inside, such
            as ``MultiImageMixDataset``, does not tell.
        """
        if hasattr(self.dataset, 'get_cat_ids'):
            return self.dataset.get_cat_ids(index)
        return [i['bbox_label'] for i in self.get_data_info(index)['instances']]

    @property
    def pipeline(self) -> Any:
        """Compose | list: Pipeline of the outermost dataset inside that has one."""
        return _owners(self.dataset, 'pipeline')[0].pipeline

    @pipeline.setter
    def pipeline(self, pipeline: Any) -> None:
        for owner in _owners(self.dataset, 'pipeline'):
            owner.pipeline = pipeline
            if hasattr(owner, 'pipeline_types'):
                owner.pipeline_types = [type(step).__name__ for step in steps_of(owner)]

    def update_skip_type_keys(self, skip_type_keys: Sequence[str]) -> None:
        """Tell ``MultiImageMixDataset`` which transforms to leave out.

        Args:
            skip_type_keys (Sequence[str]): Their types.
        """
        for owner in _owners(self.dataset, 'update_skip_type_keys'):
            owner.update_skip_type_keys(skip_type_keys)

    @property
    def _skip_type_keys(self) -> Any:
        return _owners(self.dataset, '_skip_type_keys')[0]._skip_type_keys

    @_skip_type_keys.setter
    def _skip_type_keys(self, skip_type_keys: Any) -> None:
        for owner in _owners(self.dataset, '_skip_type_keys'):
            owner._skip_type_keys = skip_type_keys

    def __getattr__(self, name: str) -> Any:
        # While it is being unpickled there is no dataset yet.
        if name == 'dataset' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.dataset, name)


def _owners(dataset: Any, name: str) -> list[Any]:
    # The datasets inside that have an attribute, none of them inside another.
    held = vars(dataset)
    if name in held or hasattr(type(dataset), name):
        return [dataset]
    inside = [held['dataset']] if 'dataset' in held else held.get('datasets', ())
    owners = [owner for part in inside for owner in _owners(part, name)]
    if not owners:
        raise AttributeError(
            f'{describe(dataset)} has no {name}; take the hook that asks for it out '
            f'of custom_hooks, or set {DATASET}'
        )
    return owners


def _labels(names: Sequence[str], leaves: Sequence[Any]) -> list[set[int]]:
    # Of each dataset inside, the labels that these classes have there.
    classes = [class_names(leaf) for leaf in leaves]
    known = dict.fromkeys(name for of_leaf in classes for name in of_leaf)
    for name in names:
        if name not in known:
            raise ValueError(
                f'defect_classes names {name!r}, which is no class of the dataset. The '
                f'classes are {", ".join(known)}; set {DATASET}.defect_classes'
            )
    return [{n for n, name in enumerate(c) if name in names} for c in classes]


def _check_arguments(classes: Any, max_retries: Any, min_area_ratio: Any) -> None:
    if classes is not None and (
        isinstance(classes, str)
        or not isinstance(classes, Sequence)
        or not all(isinstance(name, str) for name in classes)
    ):
        raise TypeError(
            f'defect_classes={classes!r}: expected a list of class names, or None for '
            f'every class; set {DATASET}.defect_classes'
        )
    if classes is not None and not classes:
        raise ValueError(
            'defect_classes is empty: expected a class name at least, or None for '
            f'every class; set {DATASET}.defect_classes'
        )
    line = f'set {DATASET}.max_retries'
    if isinstance(max_retries, bool) or not isinstance(max_retries, int):
        raise TypeError(f'max_retries={max_retries!r}: expected an int; {line}')
    if max_retries < 0:
        raise ValueError(f'max_retries={max_retries}: expected 0 or more; {line}')
    line = f'set {DATASET}.min_area_ratio'
    if isinstance(min_area_ratio, bool) or not isinstance(min_area_ratio, (int, float)):
        raise TypeError(f'min_area_ratio={min_area_ratio!r}: expected a float; {line}')
    if not 0 <= min_area_ratio <= 1:
        raise ValueError(f'min_area_ratio={min_area_ratio}: expected 0 … 1; {line}')


def _check_wrapped(dataset: Any) -> None:
    lacking = [
        name
        for name in ('get_data_info', '__getitem__', '__len__')
        if not hasattr(dataset, name)
    ]
    if lacking:
        raise TypeError(
            f'DefectPreservingDataset got a {type(dataset).__name__}, which has no '
            f'{lacking[0]}: expected a dataset of MMDetection, or a dict with the '
            f'config of one; set {DATASET}.dataset'
        )
    for where, part in walk_datasets(dataset, f'{DATASET}.dataset'):
        if isinstance(part, DefectPreservingDataset):
            raise ValueError(
                f'{where} is a second DefectPreservingDataset: expected one, '
                f'outermost; put what it holds in its place'
            )


def _check_image_directory(leaf: Any) -> None:
    # Said before training begins, not by each image. Only the disk is asked.
    path = leaf.get_data_info(0).get('img_path') or '' if len(leaf) else ''
    directory = os.path.dirname(path)
    on_disk = any(
        reads_file(step)
        and getattr(step, 'backend_args', None) is None
        and getattr(step, 'file_client_args', None) is None
        for step in (steps_of(leaf) if hasattr(leaf, 'pipeline') else ())
    )
    if on_disk and directory and '://' not in path and not os.path.isdir(directory):
        raise FileNotFoundError(_missing(directory, 'data_prefix'))


@contextmanager
def _missing_files() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        path = error.filename
        message = _missing(path, 'ann_file') if path else str(error)
        raise FileNotFoundError(message) from None


@contextmanager
def _broken_files(config: dict) -> Iterator[None]:
    # A dataset that cannot be built does not say what it was reading.
    try:
        yield
    except Exception as error:
        leaves = list(_leaves(config))
        causes = (explain(error, path, classes) for path, classes in leaves)
        files = ' or '.join(path for path, _ in leaves)
        missing = isinstance(error, FileNotFoundError)
        said = next(filter(None, causes), None)
        if said is None:
            if missing or not files or files in str(error) or not _reading(error):
                raise
            said = (
                f'{files} cannot be read, or leaves no image: {type(error).__name__}: '
                f'{error}; mend the file, or set ann_file and filter_cfg of the '
                'dataset in train_dataloader, the innermost one'
            )
        raise (FileNotFoundError if missing else ValueError)(said) from error


def _reading(error: Exception) -> bool:
    # Whether annotations were being read.
    trace, names = error.__traceback__, set()
    while trace:
        names.add(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return 'full_init' in names


def _leaves(config: Any) -> Iterator[tuple[str, Any]]:
    # Annotation file and class names of each dataset that is no wrapper.
    if isinstance(config, (list, tuple)):
        for part in config:
            yield from _leaves(part)
    elif isinstance(config, dict):
        path = config.get('ann_file')
        if isinstance(path, str):
            classes = (config.get('metainfo') or {}).get('classes')
            yield os.path.join(config.get('data_root') or '', path), classes
        yield from _leaves([config.get('dataset'), config.get('datasets')])


def _missing(path: str, key: str) -> str:
    # Where the data of the ready configs is.
    synthetic = os.path.join('data', 'synthetic')
    return (
        f'{path} does not exist; set data_root and {key} of the dataset in '
        f'train_dataloader, the innermost one'
        + (
            ', or run `python tools/make_dataset.py`, which makes it'
            if os.path.normpath(path).startswith(synthetic)
            else ''
        )
    )
