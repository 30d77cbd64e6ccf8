"""A dataset and all that it wraps, its pipelines and their transforms, as built."""

from __future__ import annotations

from typing import Any, Iterator

WRAPPER = 'DefectPreservingDataset'

DATASET = 'train_dataloader.dataset'


def walk_datasets(dataset: Any, where: str = DATASET) -> Iterator[tuple[str, Any]]:
    """A dataset and all that it wraps, outermost first."""
    if not hasattr(dataset, '__dict__'):  # a user's dataset may hold its name so
        return
    yield where, dataset
    held = vars(dataset)
    if is_sliced(dataset):
        yield from walk_datasets(held['_dataset'], where)
    elif 'dataset' in held:
        yield from walk_datasets(held['dataset'], f'{where}.dataset')
    for number, part in enumerate(held.get('datasets') or ()):
        yield from walk_datasets(part, f'{where}.datasets[{number}]')


def walk_configs(config: Any) -> Iterator[dict]:
    """The config of a dataset and of all that it wraps, outermost first."""
    if isinstance(config, dict):
        yield config
        config = [config.get('dataset'), config.get('datasets')]
    if isinstance(config, (list, tuple)):
        for part in config:
            yield from walk_configs(part)


def walk_transforms(pipeline: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The transforms of a pipeline and all that they hold, where they may run."""
    if type(pipeline).__name__ == 'Compose':
        pipeline = pipeline.transforms
    if isinstance(pipeline, (list, tuple)):
        for number, transform in enumerate(pipeline):
            yield from walk_transforms(transform, f'{where}[{number}]')
    elif getattr(pipeline, 'prob', None) != 0:
        yield where, pipeline
        if hasattr(pipeline, 'transforms'):
            yield from walk_transforms(pipeline.transforms, f'{where}.transforms')


def is_sliced(dataset: Any) -> bool:
    """Whether MMEngine has put its ``num_batch_per_epoch`` wrapper around a dataset."""
    # By MMEngine, to `num_batch_per_epoch`; the key of the dataset stays the same.
    return '_dataset' in vars(dataset)


def pipelines_of(dataset: Any) -> Iterator[tuple[str, Any]]:
    """The pipelines of a dataset and of all that it wraps."""
    for where, part in walk_datasets(dataset):
        held = vars(part)
        pipeline = held.get('pipeline')
        if pipeline is None:
            continue
        skipped = held.get('_skip_type_keys') or ()
        if skipped:
            kinds = zip(pipeline, held['pipeline_types'])
            pipeline = [None if kind in skipped else step for step, kind in kinds]
        yield f'{where}.pipeline', pipeline


def loads_as_mmdet(leaf: Any, *methods: str) -> bool:
    """Whether a dataset loads by MMDetection's own methods, not by a user's."""
    functions = (getattr(type(leaf), name, None) for name in methods)
    return all(
        getattr(function, '__module__', '').startswith('mmdet.')
        for function in functions
    )


def is_a(thing: Any, name: str) -> bool:
    """Whether a thing is of a class of that name, or of one derived from it."""
    # By name, so that neither MMDetection nor MMCV has to be imported.
    return any(kind.__name__ == name for kind in type(thing).__mro__)
