"""Time from the start of a run to its first trained batch: anew, and resumed.

Runs of the iteration loop begin anew and at a given iteration, with mmdefect and with
MMEngine's own sampler, turn by turn, each in a process of its own. The time counts
from the start of that process, imports included, as a user waits. MMEngine 0.10 loads
every batch that was trained on before. A run resumed at iteration 1 shows what it takes
to read the checkpoint and no more.

Example:
    python tools/benchmark_resume.py configs/defect_yolox.py --iterations 5000
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any

import mmengine
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from mmdefect.commands.command_line import Parser, add_cfg_options


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('config', metavar='CONFIG', help='a config with a quota')
    parser.add_argument(
        '--iterations',
        type=int,
        default=5000,
        metavar='N',
        help='iteration to resume at (default: %(default)s)',
    )
    parser.add_argument(
        '--repeats',
        type=int,
        default=5,
        metavar='N',
        help='runs of each kind, of which the median is told (default: %(default)s)',
    )
    parser.add_argument(
        '--stock-repeats',
        type=int,
        default=1,
        metavar='N',
        help="runs resumed with MMEngine's sampler, 0 for none (default: %(default)s)",
    )
    add_cfg_options(parser)
    parser.add_argument('--json', action='store_true', help='print JSON')
    args = parser.parse_args(argv)
    for name, least in (('iterations', 1), ('repeats', 1), ('stock_repeats', 0)):
        if getattr(args, name) < least:
            option = '--' + name.replace('_', '-')
            parser.error(f'{option} {getattr(args, name)}: expected {least} or more')
    if not Path(args.config).is_file():
        parser.error(f'{args.config} does not exist')
    return args


def prepare(cfg: Config, work_dir: str, iterations: int) -> dict[str, Config]:
    """Turn a config into one for mmdefect and one for MMEngine's own sampler."""
    cfg.work_dir = work_dir
    cfg.log_level = 'ERROR'
    cfg.visualizer = dict(type='Visualizer', vis_backends=[])
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations + 1)
    cfg.param_scheduler = None
    for split in ('val', 'test'):
        for part in ('dataloader', 'cfg', 'evaluator'):
            cfg[f'{split}_{part}'] = None
    cfg.default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=-1))
    cfg.custom_hooks = [dict(type='QuotaResumeHook')]
    cfg.train_dataloader.batch_sampler.infinite = True
    stock = deepcopy(cfg)
    stock.custom_hooks = []
    stock.train_dataloader.pop('batch_sampler')
    stock.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=True)
    return dict(mmdefect=cfg, stock=stock)


def run(cfg: Config, checkpoint: Path | None, save: Path | None = None) -> float:
    """Train one batch.

    Args:
        cfg (Config): The config.
        checkpoint (Path, optional): What to resume from.
        save (Path, optional): Where to write a checkpoint afterwards.

    Returns:
        float: When the first iteration ended, as ``time.monotonic`` tells it.
    """
    from mmengine.hooks import Hook
    from mmengine.runner import Runner

    from mmdefect.hooks.checkpoints import message_hub_allowed

    class StopAtFirst(Hook):
        def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
            self.time = time.monotonic()
            runner.train_loop.stop_training = True

    stop = StopAtFirst()
    cfg.resume, cfg.load_from = checkpoint is not None, checkpoint and str(checkpoint)
    cfg.experiment_name = f'benchmark_{time.monotonic()}'
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        runner = Runner.from_cfg(cfg)
        runner.register_hook(stop)
        with message_hub_allowed():
            runner.train()
        if save:
            runner.save_checkpoint(str(save.parent), save.name, by_epoch=False)
    return stop.time


def seconds_to_first(cfg: Config, checkpoint: Path | None) -> float:
    """Train one batch in a new process; tells how long it was in coming."""
    context = multiprocessing.get_context('spawn')
    begin = time.monotonic()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(run, cfg, checkpoint).result() - begin


def make_checkpoint(cfg: Config, early: Path, late: Path, iterations: int) -> None:
    """Write checkpoints of iteration 1 and of one that is not trained up to."""
    import torch
    from mmengine.runner import CheckpointLoader

    from mmdefect.hooks.checkpoints import message_hub_allowed

    run(cfg, None, save=early)
    with message_hub_allowed():
        checkpoint = CheckpointLoader.load_checkpoint(str(early), 'cpu')
    for path, iteration in ((early, 1), (late, iterations)):
        checkpoint['meta']['iter'] = iteration
        torch.save(checkpoint, path)


def measure(args: argparse.Namespace, work_dir: str, console: Console) -> dict:
    """Measure every kind of start, turn by turn."""
    # A Runner prints its config: formatting it would be most of the time measured.
    content = Config.fromfile(args.config).to_dict()
    cfg = Config(content, filename=args.config, format_python_code=False)
    cfg.merge_from_dict(args.cfg_options or {})
    configs = prepare(cfg, work_dir, args.iterations)
    early, late = {}, {}
    for name, one in configs.items():
        early[name] = Path(work_dir, f'{name}_early.pth')
        late[name] = Path(work_dir, f'{name}_late.pth')
        make_checkpoint(one, early[name], late[name], args.iterations)
    seconds: dict[str, list[float]] = {}
    for turn in range(max(args.repeats, args.stock_repeats)):
        for name, one in configs.items():
            kinds = {'anew': None, 'at 1': early[name], 'resumed': late[name]}
            for kind, path in kinds.items():
                slow = name == 'stock' and kind == 'resumed'
                if turn >= (args.stock_repeats if slow else args.repeats):
                    continue
                console.print(f'run {turn + 1}: {name} {kind} …', highlight=False)
                key = f'{name} {kind}'
                seconds.setdefault(key, []).append(seconds_to_first(one, path))
    return {key: statistics.median(values) for key, values in seconds.items()}


def main(argv: list[str] | None = None) -> None:
    """Run the tool."""
    args = parse_args(argv)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as work_dir:
        medians = measure(args, work_dir, console)
    told = dict(
        mmengine=mmengine.__version__,
        iterations=args.iterations,
        seconds={key: round(value, 3) for key, value in medians.items()},
        ratios={
            name: round(medians[f'{name} resumed'] / medians[f'{name} anew'], 3)
            for name in ('mmdefect', 'stock')
            if f'{name} resumed' in medians
        },
    )
    if args.json:
        print(json.dumps(told))
        return
    table = Table(title=f'Seconds to the first trained batch, at {args.iterations:,}')
    for column in ('', 'anew', 'at 1', 'resumed', 'ratio'):
        table.add_column(column, justify='right' if column else 'left')
    for name, ratio in told['ratios'].items():
        kinds = ('anew', 'at 1', 'resumed')
        times = [f'{medians[f"{name} {kind}"]:.2f}' for kind in kinds]
        table.add_row(name, *times, f'{ratio:.2f}')
    Console().print(table)


if __name__ == '__main__':
    sys.exit(main())
