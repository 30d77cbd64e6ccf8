"""One attempt to augment an image: the pipelines of a dataset, watched step by step."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Callable, Iterable, Iterator

import numpy as np
import torch
from mmengine.dataset import BaseDataset

from mmdefect.checks.dataset import walk_transforms

# Words in the names of transforms that may move a defect out of the image or hide it.
CUTTING = (
    *('Crop', 'Affine', 'Perspective', 'Shift', 'Translate', 'Shear', 'Rotate'),
    *('Augment', 'Albu', 'CutOut', 'Erasing'),
)

# Of these, words in the names of those that make a new image and leave the old one as
# it is, and how often they are tried in one attempt.
REPEATED = ('Crop', 'Affine')
REPEATS = 5

# Images in a row that fail, after which the data is to blame and not an image.
IN_A_ROW = 10


class RejectedError(Exception):
    """An attempt that came to nothing.

    Args:
        cause (str): Which transform did what.
        unreadable (bool): Whether the image file could not be read.
    """

    def __init__(self, cause: str, unreadable: bool = False) -> None:
        super().__init__(cause)
        self.unreadable = unreadable


class Attempts:
    """Attempts to augment one image, until one keeps what is wanted.

    They step through the datasets and wrappers of MMEngine and MMDetection, and so
    never come to the code there that takes another image at random. A dataset of
    another kind is asked for ``dataset[index]``, and only that result is looked at.

    To save time, one attempt tries a transform that crops up to five times on the same
    image, and all attempts share the image as read from its file and the images it is
    mixed with. Each finds the caches of ``CachedMosaic`` and ``CachedMixUp`` as the
    first one found them.

    Args:
        wanted (frozenset[int]): Labels of which an instance must be kept. Empty asks
            for nothing but a result.
        min_area_ratio (float): Least visible share of a box's area at which it counts.
    """

    def __init__(
        self, wanted: frozenset[int] = frozenset(), min_area_ratio: float = 0.0
    ) -> None:
        self.wanted = wanted
        self.min_area_ratio = min_area_ratio
        self._uncut = False
        self._reader: Any = None
        self._read: dict = {}
        self._mixed: dict[int, list] = {}
        self._caches: dict[int, list] = {}

    def run(self, dataset: Any, index: int, uncut: bool = False) -> Any:
        """Make one attempt.

        Args:
            dataset: The dataset, or the outermost wrapper around it.
            index (int): Index of the image, the same in each attempt.
            uncut (bool): Whether to leave out the transforms that crop and mix.

        Returns:
            Any: What the last transform returned.

        Raises:
            RejectedError: If nothing that is wanted was kept, a transform returned
                None, or the image file cannot be read.
        """
        self._uncut = uncut
        return _without_memory(self._run(dataset, index))

    def _run(self, dataset: Any, index: int) -> Any:
        if not _is_stock(dataset, '__getitem__'):
            return self._checked(dataset[index], dataset)
        if hasattr(dataset, 'datasets'):
            part, index = dataset._get_ori_dataset_idx(index)
            return self._run(dataset.datasets[part], index)
        if hasattr(dataset, 'pipeline_types'):
            return self._mix(dataset, index)
        if hasattr(dataset, '_get_ori_dataset_idx'):
            return self._run(dataset.dataset, dataset._get_ori_dataset_idx(index))
        return self._load(dataset, index)

    def _load(self, dataset: Any, index: int) -> Any:
        if not _is_stock(dataset, 'prepare_data'):
            return self._checked(dataset.prepare_data(index), dataset)
        results = dataset.get_data_info(index)
        for step in self._chosen(steps_of(dataset)):
            results = self._apply(step, results)
        return results

    def _mix(self, dataset: Any, index: int) -> Any:
        # What MultiImageMixDataset does, but for the copies that it makes before each
        # step in order to try that step again.
        results = copy.deepcopy(self._run(dataset.dataset, index))
        skipped = dataset._skip_type_keys or ()
        kinds = zip(steps_of(dataset), dataset.pipeline_types)
        for step in self._chosen([step for step, kind in kinds if kind not in skipped]):
            if hasattr(step, 'get_indexes'):
                if id(step) not in self._mixed:
                    self._mixed[id(step)] = _partners(step, dataset.dataset)
                results['mix_results'] = copy.deepcopy(self._mixed[id(step)])
            results = self._apply(step, results)
            results.pop('mix_results', None)
        return results

    def _chosen(self, steps: list) -> Iterable[Callable]:
        return _uncut(steps) if self._uncut else steps

    def _apply(self, step: Any, results: dict) -> Any:
        if reads_file(step):
            return self._read_file(step, results)
        for _, part in walk_transforms(step, ''):
            cache = getattr(part, 'results_cache', None)
            if cache is not None:
                cache[:] = self._caches.setdefault(id(part), list(cache))
        repeated = any(word in type(step).__name__ for word in REPEATED)
        if self.wanted and repeated and 'gt_bboxes' in results:
            for _ in range(REPEATS - 1):
                boxes = copy.deepcopy(results['gt_bboxes'])
                with suppress(RejectedError):
                    return self._checked(step({**results, 'gt_bboxes': boxes}), step)
        return self._checked(step(results), step)

    def _read_file(self, step: Callable, results: dict) -> dict:
        if step is not self._reader:
            known, path = set(results), results.get('img_path')
            try:
                results = step(results)
            except Exception as error:
                cause = f'{path} cannot be read: {type(error).__name__}: {error}'
                raise RejectedError(cause, unreadable=True) from error
            if results is None:
                raise RejectedError(f'{path} cannot be read', unreadable=True)
            # A second one may change what the first has read, so that it runs anew.
            if not self.wanted or self._reader is not None:
                return results
            self._reader = step
            self._read = {key: results[key] for key in results if key not in known}
        results.update({key: copy.copy(self._read[key]) for key in self._read})
        return results

    def _checked(self, results: Any, source: Any) -> Any:
        if results is None:
            raise RejectedError(f'{type(source).__name__} returned None')
        results = _with_memory(results)
        if self.wanted and not self._shows_wanted(results):
            raise RejectedError(f'{type(source).__name__} cut its defect away')
        return results

    def _shows_wanted(self, results: Any) -> bool:
        if results.get('gt_bboxes') is not None and 'gt_bboxes_labels' in results:
            boxes, shape = results['gt_bboxes'], results['img_shape'][:2]
            labels = results['gt_bboxes_labels'].tolist()
            ignored = results.get('gt_ignore_flags', np.zeros(len(labels))).tolist()
        elif hasattr(results.get('data_samples'), 'gt_instances'):
            instances = results['data_samples'].gt_instances
            boxes, shape = instances.get('bboxes'), results['inputs'].shape[-2:]
            labels = instances.get('labels', np.empty(0)).tolist()
            ignored = [0] * len(labels)
        else:
            return True
        if hasattr(boxes, 'visible_share'):
            shares = boxes.visible_share(shape).tolist()
        else:
            shares = [1.0] * len(labels)
        return any(
            label in self.wanted and not ignore and 0 < share >= self.min_area_ratio
            for label, ignore, share in zip(labels, ignored, shares)
        )


def _partners(step: Any, dataset: Any) -> list:
    # The images that a transform mixes an image with.
    readable = _Readable(dataset)
    chosen = step.get_indexes(readable)
    chosen = chosen if isinstance(chosen, Sequence) else [chosen]
    return [readable[index] for index in chosen]


class _Readable:
    # A dataset in which an image that fails gives way to another one. Partners are
    # drawn at random anyway; drawn for itself, the image is counted and named.

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def __getitem__(self, index: int) -> Any:
        for _ in range(IN_A_ROW - 1):
            try:
                return Attempts()._run(self._dataset, index)
            except RejectedError:
                index = int(torch.randint(len(self), ()))
        return Attempts()._run(self._dataset, index)


def steps_of(dataset: Any) -> list:
    """The transforms of a dataset.

    Args:
        dataset: A dataset with a pipeline.

    Returns:
        list[Callable]: In their order.
    """
    steps = getattr(dataset.pipeline, 'transforms', dataset.pipeline)
    return list(steps) if isinstance(steps, (list, tuple)) else [steps]


def reads_file(step: Any) -> bool:
    """Whether a transform reads the image file.

    Args:
        step: The transform.

    Returns:
        bool: True for ``LoadImageFromFile`` and what is derived from it.
    """
    return any(kind.__name__ == 'LoadImageFromFile' for kind in type(step).__mro__)


def _is_stock(dataset: Any, method: str) -> bool:
    function = getattr(type(dataset), method)
    return function.__module__.split('.')[0] in ('mmengine', 'mmdet') and (
        method == '__getitem__' or function is BaseDataset.prepare_data
    )


def _uncut(steps: Iterable[Callable]) -> Iterator[Callable]:
    # The transforms, without those that crop and mix. Where one of these decides the
    # size of the image, it is shrunk to that size instead: a photograph in its full
    # size may be too large for the model.
    for step in steps:
        name = type(step).__name__
        if not hasattr(step, 'get_indexes') and not any(c in name for c in CUTTING):
            yield _uncut_inside(step)
            continue
        size = getattr(step, 'img_scale', None)
        if getattr(step, 'crop_type', None) == 'absolute':
            size = step.crop_size  # type: ignore[attr-defined]
        if size is not None:
            from mmdet.datasets.transforms import Resize

            yield Resize(scale=tuple(size), keep_ratio=True)


def _uncut_inside(step: Any) -> Any:
    # Of Compose, RandomApply and RandomChoice, which hold transforms.
    inside = getattr(step, 'transforms', None)
    if inside is None:
        return step
    step = copy.copy(step)
    inside = list(_uncut(inside)) if isinstance(inside, list) else _uncut_inside(inside)
    step.transforms = inside
    return step


def _with_memory(results: Any) -> Any:
    # Lets the boxes remember what is left of them as soon as they have been loaded.
    if not isinstance(results, dict):
        return results
    boxes: Any = results.get('gt_bboxes')
    known = type(boxes).__name__ == 'HorizontalBoxes' and 'img_shape' in results
    if known and len(boxes):
        from mmdefect.delivery.boxes import TracedBoxes

        # A dataset may hand out the dict that it keeps.
        results = copy.copy(results)
        results['gt_bboxes'] = TracedBoxes.showing(boxes, results['img_shape'][:2])
    return results


def _without_memory(results: Any) -> Any:
    if not isinstance(results, dict):
        return results
    if hasattr(results.get('gt_bboxes'), 'plain'):
        results['gt_bboxes'] = results['gt_bboxes'].plain()
    sample = results.get('data_samples')
    for name in ('gt_instances', 'ignored_instances'):
        instances: Any = getattr(sample, name, {})
        if hasattr(instances.get('bboxes'), 'plain'):
            instances.bboxes = instances.bboxes.plain()
    return results
