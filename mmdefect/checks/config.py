"""What a config says around its training dataset that breaks a quota, and the fix.

Only what never reaches an object is read from the config.
"""

from __future__ import annotations

from inspect import signature
from typing import Any, Iterable, Iterator, Mapping

from mmdefect.checks.dataset import WRAP, check_dataset, check_pipeline, sliced
from mmdefect.checks.finding import Finding
from mmdefect.plan.quotas import OVER_SMALL, usual_over, usual_quota
from mmdefect.pools.source import source_of
from mmdefect.pools.walk import DATASET, WRAPPER, is_a, is_sliced

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

# With this argument, YOLOXModeSwitchHook is MMYOLO's: it builds the dataloader anew,
# and each hook of mmdefect sees to it that the batches go on.
BUILDING = 'new_train_pipeline'
OURS = ('QuotaResumeHook', 'QuotaMonitorHook', 'QuotaScheduleHook', 'HardNormalHook')
RESUME = "custom_hooks=[..., dict(type='QuotaResumeHook')]"


def check_config(cfg: Mapping[str, Any], dataset: Any) -> list[Finding]:
    """Check what a config says around its training dataset."""
    loader = cfg['train_dataloader']
    batches = 0 if is_sliced(dataset) else loader.get('num_batch_per_epoch')
    findings = [
        *check_dataloader(cfg),
        *([sliced(batches, 'batches')] if batches else []),
        *check_dataset(dataset),
        *_check_hooks(cfg, dataset),
        *_check_defect_classes(cfg, dataset),
        *_check_metrics(cfg, dataset),
    ]
    # What one line mends is said once.
    once: dict[tuple, Finding] = {}
    for finding in sorted(findings, key=lambda finding: not finding.breaks):
        once.setdefault((finding.where, finding.fix), finding)
    return list(once.values())


def defect_classes_of(cfg: Mapping[str, Any]) -> Any:
    """The classes that count as defects in a config, None for every class."""
    loader = cfg.get('train_dataloader') or {}
    return (loader.get('sampler') or {}).get('defect_classes')


def check_dataloader(cfg: Mapping[str, Any]) -> list[Finding]:
    """Check the training dataloader of a config."""
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
                + f"type='QuotaBatchSampler', {_usual_arguments(loader)})",
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
    anew = loader.get('num_workers') and not loader.get('persistent_workers')
    hooks = {_type(hook) for hook in cfg.get('custom_hooks') or ()}
    if anew and (loader.get('worker_init_fn') or hooks.isdisjoint(OURS)):
        findings.append(
            Finding(
                f'{key}.persistent_workers',
                'workers are started anew each epoch, and no hook of mmdefect seeds '
                'them by epoch',
                'MMEngine gives them the same random numbers each time, so that '
                'augmentation repeats; the quota holds',
                'persistent_workers=True',
                breaks=False,
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


def _usual_arguments(loader: Mapping[str, Any]) -> str:
    size = loader.get('batch_size')
    size = size if isinstance(size, int) and size > 0 else OVER_SMALL
    over = usual_over(size)
    quota = f'quota={usual_quota(over or size)}'
    return f'{quota}, over={over}' if over else quota


def _check_hooks(cfg: Mapping[str, Any], dataset: Any) -> list[Finding]:
    from mmengine.dataset import Compose

    findings, kind = [], type(dataset).__name__
    hooks = cfg.get('custom_hooks') or ()
    for number, hook in enumerate(hooks):
        where, name = f'custom_hooks[{number}]', _type(hook)
        if name == 'PipelineSwitchHook':
            pipeline, key = Compose(hook['switch_pipeline']), f'{where}.switch_pipeline'
            findings += check_pipeline(pipeline, key, is_a(dataset, WRAPPER))
        if BUILDING in hook:
            pipeline, key = Compose(hook[BUILDING]), f'{where}.{BUILDING}'
            findings += check_pipeline(pipeline, key, is_a(dataset, WRAPPER))
            findings += _check_building(name, where, dataset, hooks)
            continue
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
                RESUME,
                breaks=False,
            )
        )
    return findings


def _check_building(
    name: str, where: str, dataset: Any, hooks: Iterable[Any]
) -> Iterator[Finding]:
    kind = type(dataset).__name__
    parameters = signature(type(dataset)).parameters.values()
    if not any(p.name == 'pipeline' or p.kind is p.VAR_KEYWORD for p in parameters):
        yield Finding(
            DATASET,
            f'{name} of {where} builds a {kind} anew, with a pipeline',
            'it takes none, so that training stops with an error at the switch',
            WRAP,
        )
    if not any(_type(hook) in OURS for hook in hooks):
        yield Finding(
            'custom_hooks',
            f'{name} of {where} builds the dataloader anew, and no hook of mmdefect '
            'hands on the seed of its batches',
            'from then on other batches are drawn, and a checkpoint of these cannot '
            'be resumed',
            RESUME,
        )


def _check_defect_classes(cfg: Mapping[str, Any], dataset: Any) -> list[Finding]:
    drawn, kept = defect_classes_of(cfg), getattr(dataset, 'defect_classes', None)
    # Without an argument of its own, the wrapper is told by the sampler.
    if not is_a(dataset, WRAPPER) or kept is None or _same(drawn, kept, dataset):
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


def _check_metrics(cfg: Mapping[str, Any], dataset: Any) -> Iterator[Finding]:
    drawn = defect_classes_of(cfg)
    evaluators = cfg.get('val_evaluator') or []
    listed = isinstance(evaluators, (list, tuple))
    for number, each in enumerate(evaluators if listed else [evaluators]):
        if not isinstance(each, Mapping) or _type(each) != 'DefectImageMetric':
            continue
        judged = each.get('defect_classes')
        if not _same(drawn, judged, dataset):
            ours, theirs = drawn and list(drawn), judged and list(judged)
            yield Finding(
                f'val_evaluator{f"[{number}]" if listed else ""}.defect_classes',
                f'DefectImageMetric judges {theirs or "every class"}, '
                f'DefectPoolSampler draws {ours or "every class"}',
                'an image would be normal for one and a defect for the other',
                f'defect_classes={ours}',
            )


def _same(drawn: Any, others: Any, dataset: Any) -> bool:
    if drawn is None and others is None:
        return True
    every = source_of(dataset).class_names
    return set(drawn or every) == set(others or every)


def _type(cfg: Any) -> str:
    kind = (cfg or {}).get('type', '')
    return kind.rsplit('.', 1)[-1] if isinstance(kind, str) else kind.__name__


def _loop(cfg: Mapping[str, Any]) -> str:
    train_cfg = cfg.get('train_cfg') or {}
    if 'type' in train_cfg:
        return _type(train_cfg)
    by_epoch = train_cfg.get('by_epoch', True)
    return 'EpochBasedTrainLoop' if by_epoch else 'IterBasedTrainLoop'
