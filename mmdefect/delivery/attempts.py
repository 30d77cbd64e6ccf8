"""One attempt to augment an image: the pipelines of a dataset, watched step by step."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any, Callable, Iterable, Protocol, Sequence

from mmengine.dataset import BaseDataset

from mmdefect.delivery.partners import Partners
from mmdefect.delivery.window import aimed
from mmdefect.forms.windows import DefectCrop
from mmdefect.images.errors import RejectedError
from mmdefect.images.instances import ignored_in, shown_of
from mmdefect.images.remembering import (
    is_traced,
    remembering,
    with_memory,
    without_memory,
)
from mmdefect.images.transforms import (
    effect_of,
    is_random_crop,
    reads_file,
    replaced,
    split_at_loading,
    steps_of,
    without_cutting,
)
from mmdefect.pools.walk import walk_datasets, walk_transforms

# How often what leaves the old image as it is is tried on it in one attempt.
REPEATS = 5


class Form(Protocol):
    """What is done to an image right after it has been loaded, in each attempt."""

    def __call__(self, results: dict) -> dict:
        """Change an image and its instances."""

    @property
    def wanted(self) -> frozenset[int]:
        """frozenset[int]: After a call, labels of which an instance must be kept."""


class Attempts:
    """Attempts to augment one image, until one keeps what is wanted.

    They step through the datasets and wrappers of MMEngine and MMDetection, and so
    never come to the code there that takes another image at random. A dataset that
    prepares its images in its own way, as those of MMYOLO do, does so with a pipeline
    that is watched. One with a ``__getitem__`` of its own is asked for
    ``dataset[index]``, and only that result is looked at.

    To save time, ``RandomCrop`` gets a window that keeps what is wanted; one attempt
    tries other transforms that crop up to five times on the same image; and all
    attempts share the image as read from its file and the images it is mixed with.
    Each finds the caches of ``CachedMosaic`` and ``CachedMixUp`` as the first one found
    them.
    """

    def __init__(
        self,
        wanted: frozenset[int] = frozenset(),
        min_area_ratio: float = 0.0,
        at_least: int = 1,
        form: Form | None = None,
        remembers: bool = False,
    ) -> None:
        self.wanted = wanted
        self.min_area_ratio = min_area_ratio
        self.at_least = at_least
        self._form = form
        # Of a normal image nothing is wanted; what it is mixed with may be.
        self._remembers = remembers or bool(wanted) or form is not None
        self._uncut = False
        self._reader: Any = None
        self._read: dict = {}
        self._partners = Partners(_load_any, _walk_any)
        self._caches: dict[int, list] = {}

    def run(self, dataset: Any, index: int, uncut: bool = False) -> Any:
        """Make one attempt."""
        self._uncut = uncut
        if self._form is not None:  # which is yet to bring what is wanted
            self.wanted = frozenset()
        return without_memory(self._run(dataset, index))

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
        if _is_stock(dataset, 'prepare_data'):
            return self._walk(steps_of(dataset), dataset.get_data_info(index))
        if 'pipeline' not in vars(dataset):
            return self._checked(dataset.prepare_data(index), dataset)
        steps = steps_of(dataset)
        watched = _Watched(
            dataset.pipeline, index, lambda results: self._walk(steps, results)
        )
        with replaced(dataset, 'pipeline', watched):
            return self._checked(dataset.prepare_data(index), dataset)

    def _walk(self, steps: Sequence[Callable], results: dict) -> Any:
        loading, others = split_at_loading(steps)
        for step in self._chosen(loading):
            results = self._apply(step, results)
        if self._form is not None:
            if self._reader is None:  # else it is a copy of what was read
                results['img'] = results['img'].copy()
            results = with_memory(self._form(results))
            self.wanted = self._form.wanted
        for step in self._chosen(others):
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
                results['mix_results'] = self._partners.of(step, dataset.dataset)
            results = self._apply(step, results)
            results.pop('mix_results', None)
        return results

    def _chosen(self, steps: Sequence[Callable]) -> Iterable[Callable]:
        return without_cutting(steps) if self._uncut else steps

    def _apply(self, step: Any, results: dict) -> Any:
        if reads_file(step):
            return self._read_file(step, results)
        parts = [part for _, part in walk_transforms(step, '')]
        self._restore_caches(parts)
        with self._partners.shared(parts):
            return self._run_step(step, results)

    def _run_step(self, step: Any, results: dict) -> Any:
        if isinstance(step, DefectCrop):  # nothing wanted: a window anywhere
            return self._checked(step(results, self.wanted), step)
        if not self._remembers:
            return self._checked(step(results), step)
        if self.wanted and is_random_crop(step) and is_traced(results):
            aim = self.wanted, self.min_area_ratio, self.at_least
            crop = remembering(aimed(step, results, *aim))
            return self._checked(crop(results), step)
        run = remembering(step)
        if self.wanted and effect_of(step).repeats and 'gt_bboxes' in results:
            for _ in range(REPEATS - 1):
                boxes = copy.deepcopy(results['gt_bboxes'])
                with suppress(RejectedError):
                    return self._checked(run({**results, 'gt_bboxes': boxes}), step)
        return self._checked(run(results), step)

    def _restore_caches(self, parts: Sequence[Any]) -> None:
        for part in parts:
            cache = getattr(part, 'results_cache', None)
            if cache is not None:
                cache[:] = self._caches.setdefault(id(part), list(cache))

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
            once = not self.wanted and self._form is None
            if once or self._reader is not None:
                return results
            self._reader = step
            self._read = {key: results[key] for key in results if key not in known}
        results.update({key: copy.copy(self._read[key]) for key in self._read})
        return results

    def _checked(self, results: Any, source: Any) -> Any:
        name = type(source).__name__
        if results is None:
            raise RejectedError(f'{name} returned None')
        if not self._remembers:
            return results
        results = with_memory(results)
        shown = self._shown(results) if self.wanted else None
        if shown is not None and len(self.wanted & shown) < self.at_least:
            lost = 'its defect' if self.at_least < 2 else 'a class that the quota names'
            raise RejectedError(f'{name} cut {lost} away')
        return results

    def _shown(self, results: Any) -> set[int] | None:
        # Labels of what counts, where the results say it.
        counted: Any = True
        if results.get('gt_bboxes') is not None and 'gt_bboxes_labels' in results:
            boxes, shape = results['gt_bboxes'], results['img_shape'][:2]
            labels, counted = results['gt_bboxes_labels'], ~ignored_in(results)
        elif hasattr(results.get('data_samples'), 'gt_instances'):
            instances = results['data_samples'].gt_instances
            boxes, shape = instances.get('bboxes'), results['inputs'].shape[-2:]
            labels = instances.get('labels', ())
        else:
            return None
        return shown_of(labels, boxes, shape, self.min_area_ratio, counted)


def check_form(dataset: Any, what: str) -> None:
    """Check that images can be changed right after they have been loaded."""
    for where, part in walk_datasets(dataset):
        leaf = not hasattr(part, 'dataset') and not hasattr(part, 'datasets')
        own = next(
            (
                f'has a {method} of its own'
                for method in ('__getitem__', *['prepare_data'] * leaf)
                if not _is_stock(part, method)
            ),
            None,
        )
        if leaf and not own and not split_at_loading(steps_of(part))[0]:
            own = 'has no LoadAnnotations in its pipeline'
        if own:
            raise TypeError(
                f'{what} changes images between loading and the rest of the pipeline, '
                f'but {where}, a {type(part).__name__}, {own}; expected a dataset as '
                'MMDetection has them'
            )


class _Watched:
    # Stands for the pipeline of a dataset while that prepares an image in its own way.

    def __init__(
        self, pipeline: Callable, index: int, walk: Callable[[dict], Any]
    ) -> None:
        self._pipeline = pipeline
        self._index = index
        self._walk = walk

    def __call__(self, results: dict) -> Any:
        # What it prepares besides, to mix it in for example, has nothing to keep.
        if results.get('sample_idx', self._index) != self._index:
            return self._pipeline(results)
        return self._walk(results)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('_'):  # as while it is being copied
            raise AttributeError(name)
        return getattr(self._pipeline, name)


def _load_any(dataset: Any, index: int) -> Any:
    return Attempts(remembers=True)._run(dataset, index)


def _walk_any(steps: Sequence[Callable], results: dict) -> Any:
    return Attempts(remembers=True)._walk(steps, results)


def _is_stock(dataset: Any, method: str) -> bool:
    function = getattr(type(dataset), method)
    return function.__module__.split('.')[0] in ('mmengine', 'mmdet') and (
        method == '__getitem__' or function is BaseDataset.prepare_data
    )
