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
  quota             the config's own quota; quota=K is K of a batch, and
                    quota=K,pasted=L,counterexample=M has those forms too
  quota_unpreserved the same without DefectPreservingDataset
  quota_schedule    the quota changes, see --schedule
The first four go without DefectPreservingDataset and mmdefect's hooks. Plain samplers
begin their next epoch where one ends, in the middle of a batch too.

With --defects each sampler trains with parts of the defect images too, and the learning
curve says whether it is worth collecting more of them.

The learning rate: the config's param_scheduler where the config trains --iters
iterations in the iteration loop; otherwise linear warm-up over the first 5 % (1,000
iterations at most), then cosine to 5 %. Hooks that wait for an epoch, such as
YOLOXModeSwitchHook, see one epoch only, the same for all samplers.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from mmdefect.commands.command_line import Parser, add_cfg_options, percent_of
from mmdefect.commands.screen import screen, table
from mmdefect.comparison import MAIN, PLAIN, WITH_QUOTA, name_of, quota_of

if TYPE_CHECKING:
    from rich.console import Console

    from mmdefect.comparison.runs import Training


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        prog='mmdefect compare',
        description=__doc__,
        epilog='example:\n'
        '  mmdefect compare configs/defect_yolox.py --iters 1800 \\\n'
        '      --samplers stock weighted quota quota=1 --seeds 3 --work-dir compared',
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='a config with QuotaBatchSampler')
    add(
        '--samplers',
        nargs='+',
        metavar='NAME',
        help='some of the above (default: stock weighted quota)',
    )
    add(
        '--defects',
        nargs='+',
        type=float,
        default=[1.0],
        metavar='SHARE',
        help='shares of the defect images, such as 0.25 0.5 1 (then --samplers: quota)',
    )
    add(
        '--iters',
        type=int,
        default=1800,
        metavar='N',
        help='iterations of each run (default: %(default)s)',
    )
    add('--seeds', type=int, default=3, metavar='K', help='seeds 0 … K-1 (default: 3)')
    add(
        '--work-dir',
        default='compared',
        metavar='DIR',
        help='where all runs write (default: %(default)s)',
    )
    add(
        '--val-interval',
        type=int,
        metavar='I',
        help='iterations from a validation to the next (default: N // 6)',
    )
    add(
        '--jobs',
        type=int,
        metavar='J',
        help='runs at once (default: 1 on a GPU, otherwise one for each core)',
    )
    add(
        '--metrics',
        nargs='+',
        metavar='M',
        help='metrics shown and drawn; all are in results.json (default: '
        f'{" ".join(MAIN)})',
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
    only.add_argument(
        '--no-train',
        action='store_true',
        help='tell only what needs no training: what the batches hold',
    )
    only.add_argument(
        '--report-only',
        action='store_true',
        help='train nothing, tell of the runs that are finished',
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.val_interval is None:
        args.val_interval = max(args.iters // 6, 1)
    for name in ('iters', 'seeds', 'val_interval', 'jobs', 'batches'):
        value = getattr(args, name)
        if value is not None and value < 1:
            flag = '--' + name.replace('_', '-')
            parser.error(f'{flag} {value}: expected 1 or more')
    if args.samplers is None:
        args.samplers = ['quota']
        if args.defects == [1.0]:
            args.samplers = ['stock', 'weighted', 'quota']
    for share in args.defects:
        if not 0 < share <= 1:
            parser.error(f'--defects {share}: expected shares above 0, up to 1')
    for name in args.samplers:
        if name not in PLAIN + WITH_QUOTA and quota_of(name) is None:
            known = ', '.join((*PLAIN, *WITH_QUOTA))
            parser.error(
                f'--samplers {name}: expected some of {known}, quota=K, or as in '
                'quota=2,pasted=2'
            )
    args.samplers = list(
        dict.fromkeys(
            name_of(name, share) for name in args.samplers for share in args.defects
        )
    )
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


def show_figures(figures: dict, facts: dict, args: argparse.Namespace) -> None:
    """Print what needs no training."""
    console = screen()
    together = facts['together']
    unit = 'batch' if together == 1 else f'{together} batches'
    held = table(
        f'What {args.batches:,} batches hold, without training',
        'sampler',
        f'{"batches" if together == 1 else unit}\nwithout\ndefect',
        f'defects\nper {unit}',
        'their\nvariance',
        'normals\nseen in\none pass',
        'draws of\na defect\nimage',
    )
    for name, one in figures.items():
        held.add_row(
            name,
            percent_of(one['without_defect']),
            f'{one["mean"]:.2f}',
            f'{one["variance"]:.2f}',
            percent_of(one['normals_seen']),
            f'{one["fewest_draws"]}…{one["most_draws"]}',
        )
    console.print(held)
    console.print(
        f'{facts["defect_images"]:,} of {facts["images"]:,} images show a defect, '
        f'and {percent_of(facts["share"])} of those that the quota draws. One pass: '
        f'{facts["one_pass"]:,} batches, in which the quota shows each normal image '
        'once.'
    )
    if 'class_balanced' in figures:
        console.print(
            f'class_balanced: oversample_thr={facts["oversample_thr"]:g}, which makes '
            f'{percent_of(facts["oversample_share"])} of the images show a defect. It '
            'repeats an image by the square root of its rarity; thresholds end at 1.'
        )
    if 'class_aware' in figures:
        console.print('class_aware draws by class: what has no class is never drawn.')


def show_summary(summary: dict, metrics: list[str]) -> None:
    """Print the metrics asked for."""
    from rich.box import SIMPLE

    from mmdefect.comparison.results import lower_is_better

    console = screen()
    for metric in metrics:
        better = 'lower' if lower_is_better(metric) else 'higher'
        title = f'{metric} ({better} is better)'
        columns = ('n', 'at the end', 'vs stock', 'best*', 'at')
        compact: Any = dict(box=SIMPLE, pad_edge=False, padding=(0, 0, 0, 1))
        reached = table(title, 'sampler', *columns, **compact)
        stock = summary[metric].get('stock')
        for name, one in summary[metric].items():
            less = ''
            if stock and name != 'stock':
                less = f'{one["last"]["mean"] - stock["last"]["mean"]:+.3f}'
            reached.add_row(
                name,
                str(one['last']['runs']),
                told(one['last']),
                less,
                told(one['best']),
                f'{one["best_at"]:.0f}',
            )
        console.print(reached)
    console.print(
        'Mean ± standard deviation over n seeds; vs stock: difference of the means. '
        '* best validation of each run, which flatters runs that swing; at: its '
        'iteration (median).'
    )


def told(one: dict) -> str:
    """Mean and deviation as text."""
    return f'{one["mean"]:.3f}' + ('' if one['std'] is None else f' ±{one["std"]:.3f}')


def show_report(runs: list[Training], told: dict, args: argparse.Namespace) -> None:
    """Print the tables, and write ``results.json`` and ``curves.png``."""
    from mmdefect.analysis.files import write_text
    from mmdefect.comparison import learning
    from mmdefect.comparison.curves import draw_comparison
    from mmdefect.comparison.results import (
        by_metric,
        check_fairness,
        collect,
        metrics_to_show,
    )

    entries = collect(runs)
    summary = by_metric(entries)
    different = check_fairness(entries)
    content = dict(
        told, runs=entries, summary=summary, differences_between_runs=different
    )
    write_text(Path(args.work_dir, 'results.json'), json.dumps(content, indent=1))
    console = screen()
    if not summary:
        console.print('No run is finished.')
        return
    metrics = metrics_to_show(summary, args.metrics)
    show_summary(summary, metrics)
    others = [name for name in summary if name not in metrics]
    others = [name for name in others if not name.endswith(('_low', '_high'))]
    if others:
        console.print(f'Measured too (--metrics shows them): {", ".join(others)}.')
    lacking = [name for name in MAIN if name not in summary]
    if lacking and not args.metrics:
        console.print(f'Not measured by any validation: {", ".join(lacking)}.')
    draw_comparison(entries, summary, metrics, Path(args.work_dir, 'curves.png'))
    console.print(
        f'{len(entries)} of {len(runs)} runs are finished. '
        + (
            '\n'.join(different)
            or 'The runs of each seed began with the same weights and trained on '
            f'{entries[0]["images"]:,} images.'
        )
    )
    written = ['results.json', 'curves.png']
    if args.defects != [1.0]:
        path = Path(args.work_dir, 'learning.png')
        console.print(learning.report_learning(entries, told['without_training'], path))
        written.append(path.name)
    console.print(
        'Written: ' + ', '.join(f'{args.work_dir}/{name}' for name in written)
    )


def train_with_progress(
    runs: list[Training], args: argparse.Namespace, console: Console
) -> bool:
    """Train what is not finished, with progress; returns whether all went well."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TimeRemainingColumn,
    )

    from mmdefect.comparison.runs import runs_at_once, train_all

    todo = [run for run in runs if not run.finished]
    jobs = args.jobs or runs_at_once(len(todo))
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
    begin, well = time.monotonic(), True
    with bar, contextlib.closing(train_all(todo, args.iters, jobs)) as events:
        for event in events:
            bar.update(task, completed=event.iterations)
            if event.ended is None:
                continue
            well &= not event.failed
            run, done = event.ended, event.done
            left = (time.monotonic() - begin) * (len(todo) - done) / done
            said = f'failed, see {run.folder}/log.txt' if event.failed else 'finished'
            console.print(
                f'{run.sampler} seed {run.seed}: {said}; {done} of {len(todo)} runs, '
                f'about {left / 60:.0f} min left',
                soft_wrap=True,
                highlight=False,
            )
    return well


def run(args: argparse.Namespace) -> int:
    """Compare."""
    from mmdefect.analysis.config import running
    from mmdefect.comparison.prepare import prepare, quiet, record_of
    from mmdefect.comparison.runs import write_configs

    try:
        with quiet(), running('there is nothing to compare'):
            configs, facts, figures = prepare(args)
        show_figures(figures, facts, args)
        if args.no_train:
            return 0
        runs = write_configs(configs, args.work_dir, args.seeds)
        first = next(iter(configs.values()))
        told = record_of(first, facts, figures, args)
        well = args.report_only or train_with_progress(runs, args, screen(stderr=True))
        show_report(runs, told, args)
    except KeyboardInterrupt:
        print('interrupted: the same command goes on', file=sys.stderr)
        return 130
    return 0 if well else 1
