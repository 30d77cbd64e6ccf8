"""Configs that differ in how images are drawn, and in nothing else."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

from mmdefect import registered as _  # noqa: F401
from mmdefect.analysis.config import load_config, unformatted
from mmdefect.analysis.errors import UnusableError
from mmdefect.checks.config import defect_classes_of
from mmdefect.comparison import PLAIN, quota_of, split_name
from mmdefect.comparison.fewer import with_share
from mmdefect.comparison.samplers import with_labels
from mmdefect.pools.forms import shows_defect

QUOTA_HOOKS = ('QuotaMonitorHook', 'QuotaScheduleHook', 'QuotaResumeHook')


def kind(config: Any) -> str:
    """The type that a config names, without its scope."""
    return str(config['type']).rsplit('.', 1)[-1]


def shared_config(
    config: str, options: dict | None, iters: int, val_interval: int
) -> Config:
    """The config that all runs share, in the iteration loop."""
    content = load_config(config, options).to_dict()
    cfg = unformatted(Config(content, filename=config))
    for name in ('train_dataloader', 'train_cfg', 'val_dataloader', 'val_evaluator'):
        if not cfg.get(name):
            raise UnusableError(f'{config} has no {name}')
    batch_sampler = cfg.train_dataloader.get('batch_sampler')
    if not batch_sampler or kind(batch_sampler) != 'QuotaBatchSampler':
        raise UnusableError(
            f'{config} has no quota: expected batch_sampler='
            "dict(type='QuotaBatchSampler', quota=...) in its train_dataloader"
        )
    if cfg.train_cfg.get('max_iters') != iters:
        cfg.param_scheduler = learning_rate(iters)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=iters, val_interval=val_interval
    )
    cfg.val_cfg = cfg.get('val_cfg') or dict(type='ValLoop')
    cfg.log_processor = dict(cfg.get('log_processor') or {}, by_epoch=False)
    # Two, since MMEngine removes the old one before it writes the new one.
    cfg.setdefault('default_hooks', {})['checkpoint'] = dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=val_interval,
        max_keep_ckpts=2,
    )
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='RecordRunHook')]
    cfg.val_evaluator = evaluators(cfg)
    # A detector that is never sure is to be ranked too, not to have no box at all.
    without_threshold(cfg.model.get('test_cfg'))
    logged(cfg)
    return cfg


def without_threshold(test_cfg: Any) -> None:
    """Keep boxes of any score, in the stages of a detector too."""
    for key, value in (test_cfg or {}).items():
        if isinstance(value, dict):
            without_threshold(value)
        elif key == 'score_thr':
            test_cfg[key] = 0.0


def logged(cfg: Config) -> None:
    """Let a run write the scalars that its result is read from."""
    hook = cfg.default_hooks.get('logger') or dict(type='LoggerHook')
    cfg.default_hooks['logger'] = dict(hook, log_metric_by_epoch=False)
    visualizer = cfg.setdefault('visualizer', dict(type='Visualizer'))
    backends = list(visualizer.get('vis_backends') or ())
    if all(kind(backend) != 'LocalVisBackend' for backend in backends):
        visualizer['vis_backends'] = [*backends, dict(type='LocalVisBackend')]


def learning_rate(iters: int) -> list[dict]:
    """Linear warm-up and cosine, for any optimizer."""
    warm_up = min(iters // 20, 1000)
    ramp = dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0)
    cosine = dict(type='CosineAnnealingLR', eta_min_ratio=0.05, by_epoch=False)
    cosine.update(begin=warm_up, end=iters, T_max=iters - warm_up)
    return [dict(ramp, end=warm_up), cosine] if warm_up else [cosine]


def evaluators(cfg: Config) -> list[dict]:
    """The config's evaluators, and DefectImageMetric where it names none."""
    found = cfg.val_evaluator
    found = list(found) if isinstance(found, (list, tuple)) else [found]
    if all(kind(evaluator) != 'DefectImageMetric' for evaluator in found):
        classes = defect_classes_of(cfg)
        found.append(dict(type='DefectImageMetric', defect_classes=classes))
    return found


def use_sampler(cfg: Config, name: str, facts: dict, schedule: Any = None) -> Config:
    """A copy of the shared config in which images are drawn another way."""
    cfg = deepcopy(cfg)
    name, share = split_name(name)
    loader, hooks = cfg.train_dataloader, cfg.custom_hooks
    if share < 1:
        loader.dataset = with_share(loader.dataset, share, defect_classes_of(cfg))
    drop = QUOTA_HOOKS if name in PLAIN else ('QuotaScheduleHook',)
    cfg.custom_hooks = [hook for hook in hooks if kind(hook) not in drop]
    if name in PLAIN or name == 'quota_unpreserved':
        loader.dataset = unpreserved(loader.dataset)
    if name in PLAIN:
        inner = dict(
            stock=dict(type='DefaultSampler', shuffle=True),
            class_balanced=dict(type='DefaultSampler', shuffle=True),
            class_aware=dict(type='mmdet.ClassAwareSampler'),
            weighted=dict(
                type='WeightedShareSampler',
                share=facts['share'],
                pools=pool_arguments(cfg),
            ),
        )[name]
        loader.sampler = dict(type='EndlessSampler', sampler=inner)
        loader.batch_sampler = None
        if name == 'class_balanced':
            loader.dataset = oversampled(loader.dataset, facts['oversample_thr'])
        return cfg
    loader.batch_sampler.infinite = True
    quota = quota_of(name)
    if quota is not None:
        loader.batch_sampler.quota = quota
    if name == 'quota_schedule':
        quota = loader.batch_sampler.quota
        schedule = schedule or [(0, quota), (0.5, 1), (0.8, None)]
        iters = cfg.train_cfg.max_iters
        milestones = [(round(at * iters), quota) for at, quota in schedule]
        loader.batch_sampler.quota = milestones[0][1]
        hook = dict(type='QuotaScheduleHook', milestones=milestones, by_epoch=False)
        cfg.custom_hooks.append(hook)
    return cfg


def pool_arguments(cfg: Config) -> dict:
    """The arguments of the config's DefectPoolSampler."""
    sampler = cfg.train_dataloader.sampler
    return {k: v for k, v in sampler.items() if k not in ('type', '_scope_')}


def unpreserved(dataset: Any) -> Any:
    """The dataset's config without mmdefect's wrapper."""
    return dataset.dataset if kind(dataset) == 'DefectPreservingDataset' else dataset


def oversampled(dataset: Any, threshold: float) -> dict:
    """The dataset's config, oversampled below Mosaic, as MMDetection does."""
    if 'dataset' in dataset:  # a wrapper, such as RepeatDataset, knows no labels
        return dict(dataset, dataset=oversampled(dataset['dataset'], threshold))
    return dict(
        type='ClassBalancedDataset', oversample_thr=threshold, dataset=dict(dataset)
    )


def one_pass(plan: Any) -> int:
    """Whole batches in which the quota shows each normal image once."""
    images = sum(s.turn.of for s in plan.shares if s.pool in ('normal', 'all'))
    groups = len(plan.pools['normal']) // max(images, 1)
    return max(groups * plan.group_size // plan.batch_size, 1)


def look_at(cfg: Config) -> dict:
    """The quota's share of defect images, and the threshold that comes nearest."""
    loader = loader_to_draw_from(cfg.train_dataloader, seed=0)
    sampler, plan = loader.batch_sampler.sampler, loader.batch_sampler.plan
    defects, size = sampler.pools['defect'], len(loader.dataset)
    share = 0.0
    for one in plan.shares:
        drawn = np.asarray(plan.pools[one.turn.source]) + one.turn.offset
        share += one.in_group * float(shows_defect(size, drawn, defects).mean())
    share /= plan.group_size
    dataset = with_labels(loader.dataset)
    # A wrapper repeats the indices of what it wraps.
    labels = [set(dataset.get_cat_ids(i % len(dataset))) for i in range(size)]
    names, counts = np.unique([n for one in labels for n in one], return_counts=True)
    frequency = dict(zip(names.tolist(), counts / len(labels)))
    rarest = np.array(
        [min((frequency[n] for n in one), default=np.inf) for one in labels]
    )

    def reached(threshold: float) -> float:
        repeats = np.ceil(np.maximum(np.sqrt(threshold / rarest), 1))
        return float(repeats[defects].sum() / repeats.sum())

    # Above 1 it would be no frequency of images any more.
    thresholds = np.geomspace(1e-4, 1, 201).round(4).tolist()
    best = min(thresholds, key=lambda t: (abs(reached(t) - share), t))
    return dict(
        images=len(labels),
        defect_images=len(defects),
        share=share,
        one_pass=one_pass(plan),
        together=(plan.over or plan.batch_size) // plan.batch_size,
        oversample_thr=best,
        oversample_share=reached(best),
    )


def loader_to_draw_from(loader: Any, seed: int) -> Any:
    """The dataloader as a Runner builds it, without workers."""
    loader = dict(deepcopy(loader), num_workers=0, persistent_workers=False)
    loader.pop('prefetch_factor', None)
    return Runner.build_dataloader(loader, seed=seed)
