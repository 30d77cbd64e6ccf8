"""Compare how images are drawn: everything else of a training stays the same.

Trains a config with each sampler and seed for the same number of iterations, each run a
process of its own, and tells how the metrics of validation went. A run that is finished
is not trained again; one that was interrupted goes on from its last checkpoint.

Samplers (batch size, pipelines, model, optimizer, validation are the config's):
  stock             DefaultSampler(shuffle=True)
  class_balanced    ClassBalancedDataset, with the threshold up to 1 whose share
                    of defect images comes nearest to the quota's
  class_aware       ClassAwareSampler, which draws by class: no normal images
  weighted          WeightedRandomSampler that expects the quota's share of
                    defects
  quota             the config's own quota; quota=K is K of a batch
  quota_unpreserved the same without DefectPreservingDataset
  quota_schedule    the quota changes, see --schedule
The first four go without DefectPreservingDataset and mmdefect's hooks. Plain samplers
begin their next epoch where one ends, in the middle of a batch too.

The learning rate: the config's param_scheduler where the config trains --iters
iterations in the iteration loop; otherwise linear warm-up over the first 5 % (1,000
iterations at most), then cosine to 5 %. Hooks that wait for an epoch, such as
YOLOXModeSwitchHook, see one epoch only, the same for all samplers.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import io
import json
import logging
import math
import os
import re
import subprocess
import sys
import time
import warnings
import zlib
from copy import deepcopy
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np
import torch
from cfg_options import add_cfg_options
from command_line import Parser
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import DATA_SAMPLERS, HOOKS, init_default_scope
from mmengine.runner import Runner
from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from torch.utils.data import Sampler, WeightedRandomSampler

from mmdefect import DefectPoolSampler, QuotaScheduleHook
from mmdefect.hooks.checkpoints import allow_checkpoint_types

PLAIN = ('stock', 'class_balanced', 'class_aware', 'weighted')
OURS = ('quota', 'quota_unpreserved', 'quota_schedule')
MAIN = ('defect/auroc', 'defect/escape_at_5', 'coco/bbox_mAP_50')
COUNTS = ('images', 'with_boxes')  # that the model got
QUOTA_HOOKS = ('QuotaMonitorHook', 'QuotaScheduleHook', 'QuotaResumeHook')


class UnusableError(Exception):
    """Says why there is nothing to compare."""


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__,
        epilog='example:\n'
        '  python tools/compare_samplers.py configs/defect_yolox.py --iters 1800 \\\n'
        '      --samplers stock weighted quota quota=1 --seeds 3 --work-dir compared',
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='a config with QuotaBatchSampler')
    add('--samplers', nargs='+', metavar='NAME', default=['stock', 'weighted', 'quota'])
    add('--iters', type=int, default=1800, metavar='N', help='default: %(default)s')
    add('--seeds', type=int, default=3, metavar='K', help='seeds 0 … K-1 (default: 3)')
    add('--work-dir', default='compared', metavar='DIR', help='default: %(default)s')
    add('--val-interval', type=int, metavar='I', help='iterations (default: N // 6)')
    add('--jobs', type=int, default=1, metavar='J', help='runs at once (default: 1)')
    add(
        '--metrics',
        nargs='+',
        metavar='M',
        help=f'shown and drawn (default: {" ".join(MAIN)}); all are in results.json',
    )
    add(
        '--schedule',
        metavar='LIST',
        help='(share of --iters, quota) for quota_schedule (default: '
        "'[(0, QUOTA), (0.5, 1), (0.8, None)]')",
    )
    add(
        '--batches',
        type=int,
        default=2000,
        metavar='N',
        help='batches drawn for what needs no training (default: %(default)s)',
    )
    only = parser.add_mutually_exclusive_group()
    only.add_argument('--no-train', action='store_true', help='tell only the latter')
    only.add_argument('--report-only', action='store_true', help='tell what is there')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.val_interval is None:
        args.val_interval = max(args.iters // 6, 1)
    for name in ('iters', 'seeds', 'val_interval', 'jobs', 'batches'):
        if getattr(args, name) < 1:
            flag = '--' + name.replace('_', '-')
            parser.error(f'{flag} {getattr(args, name)}: expected 1 or more')
    args.samplers = list(dict.fromkeys(args.samplers))
    for name in args.samplers:
        if name not in PLAIN + OURS and not re.fullmatch(r'quota=\d+', name):
            known = ', '.join((*PLAIN, *OURS))
            parser.error(f'--samplers {name}: expected some of {known}, quota=K')
    if args.schedule is not None:
        try:
            schedule = [(at, quota) for at, quota in ast.literal_eval(args.schedule)]
            starts = [float(at) for at, _ in schedule]
            if starts[0] != 0 or sorted(set(starts)) != starts or starts[-1] >= 1:
                raise ValueError
        except (ValueError, SyntaxError, TypeError, IndexError):
            parser.error(
                f'--schedule {args.schedule}: expected pairs of a share of --iters, '
                "rising from 0 to below 1, and a quota, such as '[(0, 3), (0.5, 1)]'"
            )
        args.schedule = schedule
    if not Path(args.config).is_file():
        parser.error(f'{args.config} does not exist')
    return args


# --- What draws the images -----------------------------------------------------------


def with_labels(dataset: Any) -> Any:
    """The dataset, or what MultiImageMixDataset wraps: it has no ``get_cat_ids``."""
    while not hasattr(dataset, 'get_cat_ids') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return dataset


@DATA_SAMPLERS.register_module(force=True)
class EndlessSampler(Sampler):
    """Epoch after epoch of another sampler, for the iteration loop.

    Args:
        dataset (Sized): The dataset.
        sampler (dict): Config of the sampler that draws an epoch.
        seed (int, optional): Its seed.
    """

    def __init__(self, dataset: Any, sampler: dict, seed: int | None = None) -> None:
        self.size = len(dataset)
        options = dict(dataset=with_labels(dataset), seed=seed)
        self.sampler = DATA_SAMPLERS.build(dict(sampler, **options))

    def __iter__(self) -> Iterator[int]:
        epoch = 0
        while True:
            self.sampler.set_epoch(epoch)
            yield from map(int, self.sampler)
            epoch += 1

    def __len__(self) -> int:
        return self.size


@DATA_SAMPLERS.register_module(force=True)
class WeightedShareSampler(Sampler):
    """torch's ``WeightedRandomSampler`` with an expected share of defect images.

    Args:
        dataset (Sized): The dataset.
        share (float): The share.
        seed (int): The seed.
        pools (dict): Arguments of ``DefectPoolSampler``, which finds the defect images.
    """

    def __init__(self, dataset: Any, share: float, seed: int, pools: dict) -> None:
        defects = DefectPoolSampler(dataset, **{**pools, 'seed': seed}).pools['defect']
        size = len(dataset)
        weights = torch.full((size,), (1 - share) / (size - len(defects)))
        weights[torch.from_numpy(defects)] = share / len(defects)
        self.seed, self.epoch = seed, 0
        self.generator = torch.Generator()
        self.inner = WeightedRandomSampler(weights, size, generator=self.generator)

    def set_epoch(self, epoch: int) -> None:
        """Draw anew for an epoch."""
        self.generator.manual_seed(self.seed + epoch)

    def __iter__(self) -> Iterator[int]:
        return iter(self.inner)

    def __len__(self) -> int:
        return len(self.inner)


# --- Configs that differ in nothing else ---------------------------------------------


def kind(config: Any) -> str:
    """The type that a config names, without its scope."""
    return str(config['type']).rsplit('.', 1)[-1]


def load_config(args: argparse.Namespace, iters: int) -> Config:
    """The config that all runs share, in the iteration loop."""
    content = Config.fromfile(args.config).to_dict()
    cfg = Config(content, filename=args.config, format_python_code=False)
    cfg.merge_from_dict(args.cfg_options or {})
    for name in ('train_dataloader', 'train_cfg', 'val_dataloader', 'val_evaluator'):
        if not cfg.get(name):
            raise UnusableError(f'{args.config} has no {name}')
    batch_sampler = cfg.train_dataloader.get('batch_sampler')
    if not batch_sampler or kind(batch_sampler) != 'QuotaBatchSampler':
        raise UnusableError(
            f'{args.config} has no quota: expected batch_sampler='
            "dict(type='QuotaBatchSampler', quota=...) in its train_dataloader"
        )
    if cfg.train_cfg.get('max_iters') != iters:
        cfg.param_scheduler = learning_rate(iters)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=iters, val_interval=args.val_interval
    )
    cfg.val_cfg = cfg.get('val_cfg') or dict(type='ValLoop')
    cfg.log_processor = dict(cfg.get('log_processor') or {}, by_epoch=False)
    # Two, since MMEngine removes the old one before it writes the new one.
    cfg.setdefault('default_hooks', {})['checkpoint'] = dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=args.val_interval,
        max_keep_ckpts=2,
    )
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), dict(type='RecordRunHook')]
    cfg.val_evaluator = evaluators(cfg)
    return cfg


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
        classes = cfg.train_dataloader.sampler.get('defect_classes')
        found.append(dict(type='DefectImageMetric', defect_classes=classes))
    return found


def use_sampler(cfg: Config, name: str, facts: dict, schedule: Any = None) -> Config:
    """A copy of the shared config in which images are drawn another way.

    Args:
        cfg (Config): What ``load_config`` returned.
        name (str): Name of the sampler.
        facts (dict): What ``look_at`` returned.
        schedule (list, optional): Pairs of a share of the iterations and a quota.

    Returns:
        Config: The config to train.
    """
    cfg = deepcopy(cfg)
    loader, hooks = cfg.train_dataloader, cfg.custom_hooks
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
            loader.dataset = class_balanced(loader.dataset, facts['oversample_thr'])
        return cfg
    loader.batch_sampler.infinite = True
    if '=' in name:
        loader.batch_sampler.quota = int(name.partition('=')[2])
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


def class_balanced(dataset: Any, threshold: float) -> dict:
    """The dataset's config, oversampled below Mosaic, as MMDetection does."""
    if kind(dataset) == 'MultiImageMixDataset':
        return dict(dataset, dataset=class_balanced(dataset.dataset, threshold))
    return dict(
        type='ClassBalancedDataset', oversample_thr=threshold, dataset=dict(dataset)
    )


def one_pass(plan: Any) -> int:
    """Whole batches in which the quota shows each normal image once."""
    images = sum(s.images for s in plan.shares if s.pool in ('normal', 'all'))
    return max(len(plan.pools['normal']) // max(images, 1), 1)


def look_at(cfg: Config) -> dict:
    """The quota's share of defect images, and the threshold that comes nearest."""
    loader = build_loader(cfg.train_dataloader, seed=0)
    sampler, plan = loader.batch_sampler.sampler, loader.batch_sampler.plan
    defects = sampler.pools['defect']
    share = sum(
        s.images * float(np.isin(plan.pools[s.pool], defects).mean())
        for s in plan.shares
    )
    share /= plan.batch_size
    dataset = with_labels(loader.dataset)
    labels = [set(dataset.get_cat_ids(i)) for i in range(len(dataset))]
    names, counts = np.unique([n for one in labels for n in one], return_counts=True)
    frequency = dict(zip(names.tolist(), counts / len(labels)))
    rarest = np.array([min(map(frequency.get, one), default=np.inf) for one in labels])

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
        oversample_thr=best,
        oversample_share=reached(best),
    )


# --- What needs no training ----------------------------------------------------------


def build_loader(loader: Any, seed: int) -> Any:
    """The dataloader as a Runner builds it, without workers."""
    loader = dict(deepcopy(loader), num_workers=0, persistent_workers=False)
    loader.pop('prefetch_factor', None)
    return Runner.build_dataloader(loader, seed=seed)


def draw_figures(cfg: Config, pools: dict, batches: int, one_pass: int) -> dict:
    """Count what a sampler draws, without loading an image.

    Args:
        cfg (Config): The config to train.
        pools (dict): Arguments of ``DefectPoolSampler``, which knows the defects.
        batches (int): Batches to draw.
        one_pass (int): Batches that the quota needs for one pass over normal images.

    Returns:
        dict: ``without_defect`` (share of batches), ``mean`` and ``variance`` of the
        defect images in a batch, ``normals_seen`` (share, in ``one_pass`` batches),
        ``most_draws`` and ``fewest_draws`` of one defect image.
    """
    loader = build_loader(cfg.train_dataloader, seed=0)
    batch_sampler = loader.batch_sampler
    for hook in cfg.custom_hooks:
        if kind(hook) == 'QuotaScheduleHook':
            QuotaScheduleHook(hook['milestones'], by_epoch=False).apply(batch_sampler)
    found = DefectPoolSampler(loader.dataset, **{**pools, 'seed': 0}).pools
    # An oversampled image has several indices, but one path.
    info = loader.dataset.get_data_info
    paths = [info(i).get('img_path', i) for i in range(len(loader.dataset))]
    image = np.unique(paths, return_inverse=True)[1]
    drawn = [b for b, _ in zip(batch_sampler, range(max(batches, one_pass)))]
    is_defect = np.zeros(len(image), bool)
    is_defect[found['defect']] = True
    per_batch = np.array([is_defect[batch].sum() for batch in drawn[:batches]])
    draws = np.bincount(image[np.concatenate(drawn[:batches])], minlength=len(image))
    draws = draws[np.unique(image[found['defect']])]
    early = set(image[np.concatenate(drawn[:one_pass])].tolist())
    normal = set(image[found['normal']].tolist())
    return dict(
        without_defect=float((per_batch == 0).mean()),
        mean=float(per_batch.mean()),
        variance=float(per_batch.var()),
        normals_seen=len(normal & early) / len(normal),
        fewest_draws=int(draws.min()),
        most_draws=int(draws.max()),
    )


# --- One run, in a process of its own ------------------------------------------------


@HOOKS.register_module(force=True)
class RecordRunHook(Hook):
    """Writes what validation found to ``curve.jsonl``, a line for each.

    Beside it: a checksum of the initial weights, and how many images the model got.
    """

    priority = 'VERY_LOW'

    def before_train(self, runner: Any) -> None:
        """Note the weights that training starts from."""
        self.path = Path(runner.work_dir, 'curve.jsonl')
        if runner.iter == 0:
            state = runner.model.state_dict().values()
            checksum = 0
            for tensor in state:
                checksum = zlib.crc32(tensor.cpu().numpy().tobytes(), checksum)
            self.path.write_text(json.dumps(dict(iter=0, weights=checksum)) + '\n')
        elif not any(line['iter'] == runner.iter for line in read_curve(self.path)):
            # Interrupted after the checkpoint, before its validation was done.
            runner.val_loop.run()

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Count images, and those that arrive with a box."""
        samples = data_batch['data_samples']
        shown = sum(len(sample.gt_instances) > 0 for sample in samples)
        # A checkpoint holds what the message hub knows.
        for key, count in zip(COUNTS, (len(samples), shown)):
            count += runner.message_hub.get_info(key, 0)
            runner.message_hub.update_info(key, count)

    def after_val_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Write a line, at once."""
        numbers = {key: clean(value) for key, value in (metrics or {}).items()}
        counts = {k: runner.message_hub.get_info(k, 0) for k in COUNTS}
        line = dict(iter=runner.iter, **counts, metrics=numbers)
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')


def clean(value: Any) -> float | None:
    """A number for JSON, which knows no NaN."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def read_curve(path: Path) -> list[dict]:
    """The lines of a curve in order; of an iteration trained twice, the last."""
    lines = {}
    if path.is_file():
        for text in path.read_text(encoding='utf-8').splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # cut off by a full disk
                line = json.loads(text)
                lines[line['iter']] = line
    return [lines[number] for number in sorted(lines)]


def train(config: str) -> None:
    """Train one run, or go on with it; what it came to is written when it is done."""
    folder = Path(config).with_suffix('')
    cfg = Config.fromfile(config, format_python_code=False)
    cfg.work_dir = str(folder)
    if (folder / 'last_checkpoint').is_file():
        cfg.resume, cfg.load_from = True, None
    allow_checkpoint_types()
    Runner.from_cfg(cfg).train()
    write(folder / 'result.json', json.dumps(dict(curve=read_curve(curve_of(folder)))))
    for path in sorted(folder.glob('iter_*.pth'), key=os.path.getmtime)[:-1]:
        path.unlink()


def curve_of(folder: Path) -> Path:
    """Where a run writes its curve."""
    return folder / 'curve.jsonl'


def write(path: Path, text: str) -> None:
    """Write a file wholly or not at all."""
    part = path.with_name(path.name + '.part')
    part.write_text(text, encoding='utf-8')
    part.replace(path)


# --- All runs ------------------------------------------------------------------------


class Run(NamedTuple):
    """One training.

    Args:
        sampler (str): Name of the sampler.
        seed (int): The seed.
        folder (Path): Where it writes.
    """

    sampler: str
    seed: int
    folder: Path

    @property
    def config(self) -> Path:
        """Path: Its config, beside the folder, where a Runner writes one as well."""
        return self.folder.with_suffix('.py')

    @property
    def finished(self) -> bool:
        """bool: Whether it was trained to its end."""
        return (self.folder / 'result.json').is_file()

    @property
    def iteration(self) -> int:
        """int: Of its last validation."""
        return max((n['iter'] for n in read_curve(curve_of(self.folder))), default=0)


def write_configs(configs: dict[str, Config], args: argparse.Namespace) -> list[Run]:
    """Write the config of every run, and refuse to mix with runs of other settings."""
    runs, texts = [], []
    for seed in range(args.seeds):
        for name, cfg in configs.items():
            cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
            runs.append(Run(name, seed, Path(args.work_dir, name, f'seed_{seed}')))
            texts.append(cfg.pretty_text)
    for run, text in zip(runs, texts):
        path = run.config
        if path.is_file() and path.read_text(encoding='utf-8') != text:
            raise UnusableError(
                f'{run.folder} was trained with other settings: '
                'choose another --work-dir, or remove it'
            )
    for run, text in zip(runs, texts):
        run.folder.mkdir(parents=True, exist_ok=True)
        write(run.config, text)
    return runs


def train_all(runs: list[Run], args: argparse.Namespace, console: Console) -> list[Run]:
    """Train what is not finished, some at once; returns the runs that failed."""
    todo = [run for run in runs if not run.finished]
    working: dict[Run, subprocess.Popen] = {}
    failed: list[Run] = []
    begin = time.monotonic()
    waiting = list(todo)
    bar = Progress(
        '{task.description}',
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=1e6,
    )
    task = bar.add_task('iterations', total=len(todo) * args.iters)
    try:
        with bar:
            while waiting or working:
                while waiting and len(working) < args.jobs:
                    run = waiting.pop(0)
                    working[run] = start(run, args.jobs)
                time.sleep(0.2)
                for run in [r for r, p in working.items() if p.poll() is not None]:
                    if working.pop(run).returncode or not run.finished:
                        failed.append(run)
                    done = len(todo) - len(waiting) - len(working)
                    left = (time.monotonic() - begin) * (len(todo) - done) / done
                    said = f'failed, see {run.folder}/log.txt' if run in failed else ''
                    console.print(
                        f'{run.sampler} seed {run.seed}: {said or "finished"}; {done} '
                        f'of {len(todo)} runs, about {left / 60:.0f} min left',
                        soft_wrap=True,
                        highlight=False,
                    )
                over = len(todo) - len(waiting) - len(working)
                parts = sum(run.iteration for run in working)
                bar.update(task, completed=over * args.iters + parts)
    finally:
        for process in working.values():
            process.terminate()
        for process in working.values():
            process.wait()
    return failed


def start(run: Run, jobs: int) -> subprocess.Popen:
    """Start a run in a process of its own."""
    # The machine may have more cores than this process may use; and threads that spin
    # while they wait take them from the other runs and the data loading.
    threads = str(max(torch.get_num_threads() // jobs, 1))
    with open(run.folder / 'log.txt', 'ab') as log:
        return subprocess.Popen(
            [sys.executable, __file__, '--train', str(run.config)],
            env={
                'OMP_WAIT_POLICY': 'PASSIVE',
                **os.environ,
                'OMP_NUM_THREADS': threads,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


# --- Telling -------------------------------------------------------------------------


def lower_is_better(metric: str) -> bool:
    """Whether less of it is better."""
    return any(word in metric for word in ('escape', 'overkill', 'loss'))


def collect(runs: list[Run]) -> list[dict]:
    """What the finished runs came to."""
    found = []
    for run in runs:
        if run.finished:
            text = (run.folder / 'result.json').read_text(encoding='utf-8')
            curve = json.loads(text)['curve']
            entry = dict(sampler=run.sampler, seed=run.seed)
            entry['weights'] = curve[0].get('weights')
            entry.update({key: curve[-1].get(key) for key in COUNTS})
            entry['curve'] = [line for line in curve if 'metrics' in line]
            found.append(entry)
    return found


def values(entry: dict, metric: str) -> list[tuple[int, float]]:
    """Iteration and value of a metric of one run."""
    # CocoMetric says nothing where the detector has no box at all.
    silent = 0.0 if metric.startswith('coco/') else None
    lines = entry['curve']
    pairs = [(line['iter'], line['metrics'].get(metric, silent)) for line in lines]
    return [(number, value) for number, value in pairs if value is not None]


def summarize(entries: list[dict]) -> dict:
    """By metric and sampler: last and best values, over the seeds."""
    lines = [line for entry in entries for line in entry['curve']]
    metrics = sorted({key for line in lines for key in line['metrics']})
    summary: dict[str, dict] = {}
    for metric in metrics:
        pick = min if lower_is_better(metric) else max
        for name in dict.fromkeys(entry['sampler'] for entry in entries):
            curves = [values(e, metric) for e in entries if e['sampler'] == name]
            curves = [curve for curve in curves if curve]
            if curves:
                best = [pick(curve, key=lambda pair: pair[1]) for curve in curves]
                summary.setdefault(metric, {})[name] = dict(
                    last=spread([curve[-1][1] for curve in curves]),
                    best=spread([value for _, value in best]),
                    best_at=float(np.median([number for number, _ in best])),
                )
    return summary


def spread(numbers: list[float]) -> dict:
    """Mean, standard deviation (of a sample) and count."""
    deviation = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
    return dict(mean=float(np.mean(numbers)), std=deviation, runs=len(numbers))


def show_figures(figures: dict, facts: dict, args: argparse.Namespace) -> None:
    """Print what needs no training."""
    console = Console(highlight=False)
    table = Table(title=f'What {args.batches:,} batches hold, without training')
    table.add_column('sampler')
    for name in (
        'batches\nwithout\ndefect',
        'defects\nper batch',
        'their\nvariance',
        'normals\nseen in\none pass',
        'draws of\na defect\nimage',
    ):
        table.add_column(name, justify='right')
    for name, one in figures.items():
        table.add_row(
            name,
            f'{one["without_defect"]:.1%}',
            f'{one["mean"]:.2f}',
            f'{one["variance"]:.2f}',
            f'{one["normals_seen"]:.1%}',
            f'{one["fewest_draws"]}…{one["most_draws"]}',
        )
    console.print(table)
    console.print(
        f'{facts["defect_images"]:,} of {facts["images"]:,} images show a defect; the '
        f"quota's share of a batch is {facts['share']:.1%}. One pass: the "
        f'{facts["one_pass"]:,} whole batches in which the quota goes through the '
        'normal images once.'
    )
    if 'class_balanced' in figures:
        console.print(
            f'class_balanced: oversample_thr={facts["oversample_thr"]:g}, which makes '
            f'{facts["oversample_share"]:.1%} of the images show a defect. It repeats '
            'an image by the root of its rarity, and a threshold above 1 is none.'
        )
    if 'class_aware' in figures:
        console.print('class_aware draws by class: what has no class is never drawn.')


def metrics_to_show(summary: dict, wanted: list[str] | None) -> list[str]:
    """The metrics asked for, or else the main ones of those that validation told."""
    for name in wanted or ():
        if name not in summary:
            known = ', '.join(summary)
            raise UnusableError(f'--metrics {name}: expected some of {known}')
    found = [name for name in MAIN if name in summary]
    return wanted or found or list(summary)[:3]


def show_summary(summary: dict, metrics: list[str]) -> None:
    """Print the metrics asked for."""
    console = Console(highlight=False)
    for metric in metrics:
        better = 'lower' if lower_is_better(metric) else 'higher'
        title = f'{metric} ({better} is better)'
        table = Table(title=title, box=SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
        table.add_column('sampler', no_wrap=True)
        for name in ('n', 'at the end', '- stock', '/ stock', 'best*', 'at'):
            table.add_column(name, justify='right', no_wrap=True)
        stock = summary[metric].get('stock')
        for name, one in summary[metric].items():
            compared = ['', '']
            if stock and name != 'stock':
                mean, base = one['last']['mean'], stock['last']['mean']
                ratio = f'{mean / base:.2f}' if base > 0 else '–'
                compared = [f'{mean - base:+.3f}', ratio]
            table.add_row(
                name,
                str(one['last']['runs']),
                told(one['last']),
                *compared,
                told(one['best']),
                f'{one["best_at"]:.0f}',
            )
        console.print(table)
    console.print(
        'Mean ± standard deviation over n seeds. * the best of all validations of '
        'each run, which flatters what swings; at: its iteration, median.'
    )


def told(one: dict) -> str:
    """Mean and deviation as text."""
    return f'{one["mean"]:.3f}' + ('' if one['std'] is None else f' ±{one["std"]:.3f}')


def check_fairness(entries: list[dict]) -> list[str]:
    """What differs between the runs of one seed that must not."""
    found = []
    for seed in sorted({entry['seed'] for entry in entries}):
        ones = [entry for entry in entries if entry['seed'] == seed]
        for key, said in (('weights', 'initial weights'), ('images', 'images trained')):
            if len({one[key] for one in ones}) > 1:
                told = ', '.join(f'{one["sampler"]} {one[key]}' for one in ones)
                found.append(f'seed {seed}: {said} differ: {told}')
    return found


def plot(entries: list[dict], summary: dict, metrics: list[str], path: Path) -> None:
    """Draw the curves: mean of the seeds, and a band from the least to the most."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(entry['sampler'] for entry in entries))
    figure, axes = plt.subplots(
        1, len(metrics), figsize=(4.6 * len(metrics), 4.4), squeeze=False
    )
    for axis, metric in zip(axes[0], metrics):
        for number, name in enumerate(names):
            if name not in summary[metric]:
                continue
            curves = [dict(values(e, metric)) for e in entries if e['sampler'] == name]
            at = sorted(set.intersection(*map(set, curves)))
            rows = np.array([[curve[n] for n in at] for curve in curves])
            color = f'C{number}'
            style = '--' if name in PLAIN else '-'
            axis.plot(at, rows.mean(0), style, color=color, marker='.', label=name)
            axis.fill_between(
                at, rows.min(0), rows.max(0), color=color, alpha=0.12, lw=0
            )
        better = 'lower' if lower_is_better(metric) else 'higher'
        axis.set_title(f'{metric} ({better} is better)', fontsize=11)
        axis.set_xlabel('iteration')
        axis.grid(alpha=0.3)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.spines[['top', 'right']].set_visible(False)
    handles, labels = axes[0][0].get_legend_handles_labels()
    rows_of_legend = -(-len(labels) // (2 * len(metrics) + 1))
    columns = -(-len(labels) // rows_of_legend)
    figure.legend(handles, labels, loc='lower center', ncol=columns, frameon=False)
    figure.tight_layout(rect=(0, 0.06 * rows_of_legend, 1, 1))
    part = path.with_name('part_of_' + path.name)
    figure.savefig(part, dpi=130)
    plt.close(figure)
    part.replace(path)


def report(runs: list[Run], told: dict, args: argparse.Namespace) -> None:
    """Print the tables, and write ``results.json`` and ``curves.png``."""
    entries = collect(runs)
    summary = summarize(entries)
    different = check_fairness(entries)
    content = dict(
        told, runs=entries, summary=summary, differences_between_runs=different
    )
    write(Path(args.work_dir, 'results.json'), json.dumps(content, indent=1))
    console = Console(highlight=False)
    if not summary:
        console.print('No run is finished.')
        return
    metrics = metrics_to_show(summary, args.metrics)
    show_summary(summary, metrics)
    plot(entries, summary, metrics, Path(args.work_dir, 'curves.png'))
    console.print(
        f'{len(entries)} of {len(runs)} runs are finished. '
        + (
            '\n'.join(different)
            or 'The runs of each seed began with the same weights and trained on '
            f'{entries[0]["images"]:,} images.'
        )
    )
    console.print(f'Written: {args.work_dir}/results.json, {args.work_dir}/curves.png')


# --- The command ---------------------------------------------------------------------


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No word of what is built on the way to the figures."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logger.setLevel(level)


def prepare(args: argparse.Namespace) -> tuple[dict[str, Config], dict, dict]:
    """The config of each sampler, what the data are like, and what each draws."""
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    init_default_scope('mmdet')
    cfg = load_config(args, args.iters)
    facts = look_at(cfg)
    pools = pool_arguments(cfg)
    configs, figures = {}, {}
    for name in args.samplers:
        configs[name] = use_sampler(cfg, name, facts, args.schedule)
        drawn = deepcopy(cfg)
        drawn.train_cfg.max_iters = args.batches
        drawn = use_sampler(drawn, name, facts, args.schedule)
        figures[name] = draw_figures(drawn, pools, args.batches, facts['one_pass'])
    return configs, facts, figures


def describe(cfg: Config, facts: dict, figures: dict, args: argparse.Namespace) -> dict:
    """Settings and versions, for ``results.json``."""
    import mmcv
    import mmdet
    import mmengine

    import mmdefect

    modules = (mmdefect, mmengine, mmcv, mmdet, torch, np)
    versions = {module.__name__: module.__version__ for module in modules}
    digest = hashlib.sha256(cfg.pretty_text.encode()).hexdigest()
    return dict(
        settings=vars(args),
        versions=dict(versions, python=sys.version.split()[0]),
        config_sha256=digest,
        data=facts,
        without_training=figures,
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    args = parse_args(argv)
    console = Console(stderr=True)
    failed: list[Run] = []
    try:
        with quiet():
            configs, facts, figures = prepare(args)
        show_figures(figures, facts, args)
        if args.no_train:
            return 0
        runs = write_configs(configs, args)
        first = next(iter(configs.values()))
        told = describe(first, facts, figures, args)
        if not args.report_only:
            failed = train_all(runs, args, console)
        report(runs, told, args)
    except KeyboardInterrupt:
        print('interrupted: the same command goes on', file=sys.stderr)
        return 130
    except Exception as error:
        lines = str(error).strip().splitlines() or ['no reason given']
        said = '' if isinstance(error, UnusableError) else f'{type(error).__name__}: '
        print(f'compare_samplers.py: error: {said}{lines[0]}', file=sys.stderr)
        return 2
    return 1 if failed else 0


if __name__ == '__main__':
    if sys.argv[1:2] == ['--train']:
        train(sys.argv[2])
    else:
        sys.exit(main())
