"""What silently breaks a quota in MMDetection: where it stands, and the fix.

Datasets are checked as built objects, which tell what a config really came to; only
what never reaches an object is read from the config.
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping, NamedTuple

from mmdefect.pools import class_names, unwrap

WRAPPER = 'DefectPreservingDataset'
DATASET = 'train_dataloader.dataset'
WRAP = f"dataset=dict(_delete_=True, type='{WRAPPER}', dataset=...)"

# Transforms that can take the last box of an image away, or shrink it to nothing.
CUTTING = (
    *('Mosaic', 'RandomAffine', 'RandomCrop', 'GeomTransform', 'CopyPaste'),
    'RandomErasing',
)
# Transforms that keep one box of an image, whichever class it is of.
SPARING = ('MinIoURandomCrop', 'RandomCenterCropPad', 'RandomShift')
# Arguments by which a transform returns None, and for which images.
REFUSING = {
    'FilterAnnotations': ('keep_empty', True, 'a defect image whose last box it drops'),
    'RandomCrop': ('allow_negative_crop', False, 'every normal image'),
    'Albu': ('skip_img_without_anno', True, 'every normal image'),
    'LoadImageFromFile': ('ignore_empty', True, 'an image that cannot be read'),
}
# Hooks that reach for the outermost dataset, for what, and what comes of it.
REACHING = (
    (
        'PipelineSwitchHook',
        'pipeline',
        'it has none, so that nothing is ever switched',
    ),
    (
        'YOLOXModeSwitchHook',
        'update_skip_type_keys',
        'it has none, so that training stops with an error when Mosaic is to end',
    ),
)


class Finding(NamedTuple):
    """Something in a config that breaks a quota.

    Args:
        where (str): The key of the config, such as ``train_dataloader.sampler``.
        what (str): What is wrong there.
        why (str): What it does to the quota.
        fix (str): What to write there instead, as an argument. ``...`` stands for what
            is there now.
        breaks (bool): False for what leaves a quota of defect images as it is, such as
            lost time.
    """

    where: str
    what: str
    why: str
    fix: str
    breaks: bool = True

    def __str__(self) -> str:
        return f'{self.where}: {self.what}; {self.why}. Write there: {self.fix}'


def walk_datasets(dataset: Any, where: str = DATASET) -> Iterator[tuple[str, Any]]:
    """A dataset and all that it wraps, outermost first.

    Args:
        dataset: The outermost dataset.
        where (str): Its key in the config.

    Yields:
        tuple[str, Any]: The key and the dataset.
    """
    if not hasattr(dataset, '__dict__'):  # a user's dataset may hold its name so
        return
    yield where, dataset
    held = vars(dataset)
    if _is_sliced(dataset):
        yield from walk_datasets(held['_dataset'], where)
    elif 'dataset' in held:
        yield from walk_datasets(held['dataset'], f'{where}.dataset')
    for number, part in enumerate(held.get('datasets') or ()):
        yield from walk_datasets(part, f'{where}.datasets[{number}]')


def walk_transforms(pipeline: Any, where: str) -> Iterator[tuple[str, Any]]:
    """The transforms of a pipeline and all that they hold, where they may run.

    Args:
        pipeline: A list of transforms, or a ``Compose``.
        where (str): Its key in the config.

    Yields:
        tuple[str, Any]: The key and the transform.
    """
    if type(pipeline).__name__ == 'Compose':
        pipeline = pipeline.transforms
    if isinstance(pipeline, (list, tuple)):
        for number, transform in enumerate(pipeline):
            yield from walk_transforms(transform, f'{where}[{number}]')
    elif getattr(pipeline, 'prob', None) != 0:
        yield where, pipeline
        if hasattr(pipeline, 'transforms'):
            yield from walk_transforms(pipeline.transforms, f'{where}.transforms')


def cutting_transforms(dataset: Any) -> list[tuple[str, str]]:
    """The transforms of a dataset that may take defects away.

    Args:
        dataset: The outermost dataset.

    Returns:
        list[tuple[str, str]]: Of each, its key in the config and its name.
    """
    pipelines = _pipelines(dataset)
    return [cut for where, steps in pipelines for cut in _find(CUTTING, steps, where)]


def check_dataset(dataset: Any) -> list[Finding]:
    """Check a dataset, through all wrappers, and its pipelines.

    Args:
        dataset: The outermost dataset, as built.

    Returns:
        list[Finding]: What breaks a quota.
    """
    if _is_sliced(dataset):
        return [_sliced(len(dataset)), *check_dataset(dataset._dataset)]
    findings = []
    for where, part in walk_datasets(dataset):
        if dict(vars(part).get('filter_cfg') or {}).get('filter_empty_gt'):
            findings.append(
                Finding(
                    f'{where}.filter_cfg',
                    'filter_empty_gt=True',
                    'MMDetection drops every image without a box while loading, and '
                    'so the normal images',
                    'filter_cfg=dict(filter_empty_gt=False)',
                )
            )
        if _is(part, WRAPPER) and part is not dataset:
            findings.append(
                Finding(
                    where,
                    f'{WRAPPER} inside another dataset',
                    'it retries an image for the indices of the sampler, which are '
                    'those of the outermost dataset: it stands there, and only there',
                    f'{where.rsplit(".", 1)[-1]}=dict(_delete_=True, '
                    f"type='{type(part.dataset).__name__}', ...)",
                )
            )
    preserved = _is(dataset, WRAPPER)
    for where, pipeline in _pipelines(dataset):
        findings += check_pipeline(pipeline, where, preserved)
    return findings


def check_outermost(dataset: Any) -> None:
    """Check that ``DefectPreservingDataset`` stands around everything else.

    Args:
        dataset: The dataset of the data loader.

    Raises:
        ValueError: If it stands further inside, where transforms after it undo it.
    """
    for where, part in walk_datasets(dataset):
        if _is(part, WRAPPER) and where != DATASET:
            raise ValueError(
                f'{where} is a {WRAPPER} inside a '
                f'{type(dataset).__name__}: expected it outermost and once. Write '
                f"{DATASET}=dict(type='{WRAPPER}', dataset=dict(type="
                f'{type(dataset).__name__!r}, ...))'
            )


def check_pipeline(pipeline: Any, where: str, preserved: bool) -> list[Finding]:
    """Check one pipeline.

    Args:
        pipeline: A list of transforms, or a ``Compose``.
        where (str): Its key in the config.
        preserved (bool): Whether ``DefectPreservingDataset`` is around it.

    Returns:
        list[Finding]: What breaks a quota.
    """
    findings = []
    for place, transform in walk_transforms(pipeline, where):
        for name, (argument, value, images) in REFUSING.items():
            if not _is(transform, name) or getattr(transform, argument, None) != value:
                continue
            why = f'it returns None for {images}, and MMDetection takes any other'
            if preserved:
                why = f'{WRAPPER} then leaves out crops and mixing for normal images'
            if not preserved or 'normal' in images:
                what = f'{type(transform).__name__}({argument}={value})'
                fix = f'{argument}={not value}'
                findings.append(Finding(f'{place}.{argument}', what, why, fix))
    for kinds, breaks, why in (
        (CUTTING, True, 'drawn defect images may reach the model without a defect'),
        (SPARING, False, 'an image drawn for one class may keep only a box of another'),
    ):
        names = [name for _, name in _find(kinds, pipeline, where)]
        if names and not preserved:
            what = f'no {WRAPPER} around {", ".join(dict.fromkeys(names))} of {where}'
            findings.append(Finding(DATASET, what, why, WRAP, breaks))
    return findings


def check_config(cfg: Mapping[str, Any], dataset: Any) -> list[Finding]:
    """Check what a config says around its training dataset.

    Args:
        cfg (Config): The config.
        dataset: Its training dataset, as built.

    Returns:
        list[Finding]: What breaks a quota, and after that what only costs something.
    """
    loader = cfg['train_dataloader']
    batches = 0 if _is_sliced(dataset) else loader.get('num_batch_per_epoch')
    findings = [
        *check_dataloader(cfg),
        *([_sliced(batches, 'batches')] if batches else []),
        *check_dataset(dataset),
        *_check_hooks(cfg, dataset),
        *_check_defect_classes(cfg, dataset),
    ]
    # What one line mends is said once.
    once: dict[tuple, Finding] = {}
    for finding in sorted(findings, key=lambda finding: not finding.breaks):
        once.setdefault((finding.where, finding.fix), finding)
    return list(once.values())


def check_dataloader(cfg: Mapping[str, Any]) -> list[Finding]:
    """Check the training dataloader of a config.

    Args:
        cfg (Config): The config.

    Returns:
        list[Finding]: What breaks a quota.
    """
    loader, findings = cfg['train_dataloader'], []
    sampler, batch_sampler = loader.get('sampler'), loader.get('batch_sampler')
    key = 'train_dataloader'
    if _type(sampler) != 'DefectPoolSampler':
        findings.append(
            Finding(
                f'{key}.sampler',
                f'{_type(sampler) or "nothing"} instead of DefectPoolSampler',
                'it does not know the defect images',
                "sampler=dict(_delete_=True, type='DefectPoolSampler')",
            )
        )
    if _type(batch_sampler) != 'QuotaBatchSampler':
        findings.append(
            Finding(
                f'{key}.batch_sampler',
                f'{_type(batch_sampler) or "nothing"} instead of QuotaBatchSampler',
                'without it no batch has a quota'
                + ('; it comes from the base config' if batch_sampler else ''),
                'batch_sampler=dict('
                # With a base config's `batch_sampler=None` no dict can be merged.
                + ('_delete_=True, ' if 'batch_sampler' in loader else '')
                + "type='QuotaBatchSampler', quota=1)",
            )
        )
    elif 'batch_size' not in loader:
        findings.append(
            Finding(
                f'{key}.batch_size',
                'no batch size',
                'MMEngine hands it on to QuotaBatchSampler',
                'batch_size=8',
            )
        )
    if batch_sampler:
        for name in ('drop_last', 'shuffle'):
            if loader.get(name):
                findings.append(
                    Finding(
                        f'{key}.{name}',
                        f'{name}={loader[name]} beside a batch sampler',
                        'torch refuses both at once; QuotaBatchSampler shuffles, and '
                        'has a drop_last of its own',
                        f'{name}=False',
                    )
                )
    loop, infinite = _loop(cfg), bool(dict(batch_sampler or {}).get('infinite'))
    if infinite and loop == 'EpochBasedTrainLoop':
        findings.append(
            Finding(
                f'{key}.batch_sampler.infinite',
                'infinite=True in an EpochBasedTrainLoop',
                'the first epoch never ends',
                'infinite=False',
            )
        )
    if not infinite and loop == 'IterBasedTrainLoop':
        findings.append(
            Finding(
                f'{key}.batch_sampler.infinite',
                'infinite=False in an IterBasedTrainLoop',
                'it restarts the workers and sleeps two seconds at the end of each '
                'pass; the quota holds',
                'infinite=True',
                breaks=False,
            )
        )
    return findings


def _check_hooks(cfg: Mapping[str, Any], dataset: Any) -> list[Finding]:
    from mmengine.dataset import Compose

    findings, kind = [], type(dataset).__name__
    hooks = cfg.get('custom_hooks') or ()
    for number, hook in enumerate(hooks):
        where, name = f'custom_hooks[{number}]', _type(hook)
        if name == 'PipelineSwitchHook':
            pipeline, key = Compose(hook['switch_pipeline']), f'{where}.switch_pipeline'
            findings += check_pipeline(pipeline, key, _is(dataset, WRAPPER))
        for hook_type, attribute, why in REACHING:
            if name == hook_type and not hasattr(dataset, attribute):
                what = f'{name} of {where} reaches for the {attribute} of a {kind}'
                findings.append(Finding(DATASET, what, why, WRAP))
    if not any(_type(hook) == 'QuotaResumeHook' for hook in hooks):
        findings.append(
            Finding(
                'custom_hooks',
                'no QuotaResumeHook',
                'with --resume an interrupted epoch begins anew, or all batches up to '
                'the checkpoint are loaded again; torch >= 2.6 may refuse the '
                'checkpoint; the quota holds',
                "custom_hooks=[..., dict(type='QuotaResumeHook')]",
                breaks=False,
            )
        )
    return findings


def _check_defect_classes(cfg: Mapping[str, Any], dataset: Any) -> list[Finding]:
    if not _is(dataset, WRAPPER):
        return []
    drawn = (cfg['train_dataloader'].get('sampler') or {}).get('defect_classes')
    kept = dataset.defect_classes
    every = [name for leaf in unwrap(dataset)[0] for name in class_names(leaf)]
    if set(drawn or every) == set(kept or every):
        return []
    drawn = list(drawn) if drawn else None
    return [
        Finding(
            f'{DATASET}.defect_classes',
            f'{WRAPPER} keeps {kept}, DefectPoolSampler draws {drawn}',
            'an image may lose the defect that it was drawn for and keep another',
            f'defect_classes={drawn}',
        )
    ]


def _is_sliced(dataset: Any) -> bool:
    # By MMEngine, to `num_batch_per_epoch`; the key of the dataset stays the same.
    return '_dataset' in vars(dataset)


def _sliced(number: int, unit: str = 'images') -> Finding:
    return Finding(
        'train_dataloader.num_batch_per_epoch',
        f'it keeps the first {number:,} {unit} of the dataset and no other',
        'the pools never hold the rest; num_batches of QuotaBatchSampler shortens an '
        'epoch without that',
        'num_batch_per_epoch=None',
    )


def _pipelines(dataset: Any) -> Iterator[tuple[str, Any]]:
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


def _find(kinds: tuple[str, ...], pipeline: Any, where: str) -> list[tuple[str, str]]:
    return [
        (place, type(transform).__name__)
        for place, transform in walk_transforms(pipeline, where)
        if any(_is(transform, kind) for kind in kinds)
    ]


def _is(thing: Any, name: str) -> bool:
    # By name, so that neither MMDetection nor MMCV has to be imported.
    return any(kind.__name__ == name for kind in type(thing).__mro__)


def _type(cfg: Any) -> str:
    kind = (cfg or {}).get('type', '')
    return kind.rsplit('.', 1)[-1] if isinstance(kind, str) else kind.__name__


def _loop(cfg: Mapping[str, Any]) -> str:
    train_cfg = cfg.get('train_cfg') or {}
    if 'type' in train_cfg:
        return _type(train_cfg)
    by_epoch = train_cfg.get('by_epoch', True)
    return 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop'
