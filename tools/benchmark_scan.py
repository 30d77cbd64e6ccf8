"""Measure what finding the defect images costs at every start, beside MMDetection."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import tracemalloc
from functools import partial
from pathlib import Path
from typing import Any, Callable, Sequence

import mmengine
import numpy as np
from mmengine.dataset import RepeatDataset
from mmengine.logging import MMLogger
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mmdefect import DefectPoolSampler
from mmdefect.pools.source import KEPT, Source

CLASSES = tuple(f'defect{number}' for number in range(10))
# Boxes an image, by name of the set: a factory's images, and as dense as COCO's.
SETS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    'sparse': lambda rng, n: (rng.random(n) < 0.03) * rng.integers(1, 4, n),
    'dense': lambda rng, n: rng.poisson(5, n),
}
SCAN = 'scan'
LOADING = 'CocoDataset loads'
WRAPPED = 'scan, wrapped twice'
SAMPLER = 'DefectPoolSampler'

# Each figure: what is divided by what, and the most it may be.
RATIOS = {
    'scan / loading': (SCAN, LOADING, {'sparse': 0.15, 'dense': 0.2}),
    'wrapped twice / scan': (WRAPPED, SCAN, {'sparse': 1.3, 'dense': 1.3}),
    'scan and truth / loading': (SAMPLER, LOADING, {'sparse': 0.25, 'dense': 0.25}),
}
MEMORY = 'extra memory, MB'
MEMORY_LIMIT = 10

LEGEND = f"""\
{LOADING}    what MMDetection itself takes, before any sampler
{SCAN}                 mmdefect.pools.source: which image shows which classes
{WRAPPED}  a RepeatDataset of 2 times in a ConcatDataset
{SAMPLER}    its constructor: scan, pools, and the truth: whether they
                     hold what the file says, as the first rank finds out
{MEMORY}     most that the constructor holds at once, less its pools
sparse: 3 % of the images have 1 to 3 boxes. dense: 5 boxes an image on average.
Times are of the processor, so that other work on the machine hardly counts:
medians of rounds in which the contenders take turns; loading has at most 3."""
EXAMPLE = """\
example:
  python tools/benchmark_scan.py --json scan.json
  python tools/benchmark_scan.py --images 20000 --sets sparse"""


def write_file(path: Path, images: int, kind: str) -> None:
    """Write a COCO file with random boxes.

    Args:
        path (Path): The file.
        images (int): Number of images.
        kind (str): Name of the set.
    """
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(images), SETS[kind](rng, images))
    corners, sides = rng.integers(0, 500, (2, len(owners), 2))
    boxes = np.concatenate([corners, sides + 10], axis=1).tolist()
    labels = rng.integers(1, len(CLASSES) + 1, len(owners)).tolist()
    content = dict(
        images=[
            dict(
                id=n + 1001,
                file_name=f'line{n % 7}/{n:07d}.jpg',
                width=1024,
                height=768,
            )
            for n in range(images)
        ],
        annotations=[
            dict(
                id=number,
                image_id=owner + 1001,
                category_id=label,
                bbox=box_,
                area=box_[2] * box_[3],
                iscrowd=0,
            )
            for number, (owner, label, box_) in enumerate(
                zip(owners.tolist(), labels, boxes)
            )
        ],
        categories=[dict(id=n, name=name) for n, name in enumerate(CLASSES, 1)],
    )
    path.write_text(json.dumps(content))


def scan(dataset: Any) -> Any:
    """Read anew which image of a dataset shows which classes."""
    return Source(dataset).scan


def measure(path: Path, rounds: int, step: Callable[[str], None]) -> dict[str, Any]:
    """Measure all contenders on one annotation file.

    Args:
        path (Path): The file.
        rounds (int): Turns of each contender.
        step (Callable): Told what comes next.

    Returns:
        dict: Seconds by contender, and the extra memory.
    """
    from mmdet.datasets import CocoDataset, ConcatDataset

    def load() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools chats
            return CocoDataset(
                ann_file=str(path),
                data_prefix=dict(img='data/train/'),
                metainfo=dict(classes=CLASSES),
            )

    seconds: dict[str, list[float]] = {}

    def clock(name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        seconds.setdefault(name, []).append(time.process_time() - start)
        return result

    for number in range(rounds):
        step(f'round {number + 1} of {rounds}')
        if number < 3:
            dataset = clock(LOADING, load)
            twice = dict(type=RepeatDataset, dataset=dataset, times=2)
            wrapped = ConcatDataset([twice])
        clock(SCAN, partial(scan, dataset))
        clock(WRAPPED, partial(scan, wrapped))
        vars(dataset).pop(KEPT, None)
        clock(SAMPLER, partial(DefectPoolSampler, dataset, seed=0))

    step('memory')
    vars(dataset).pop(KEPT)
    tracemalloc.start()
    pools = DefectPoolSampler(dataset, seed=0).pools
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    row: dict[str, Any] = {
        'seconds': {name: statistics.median(times) for name, times in seconds.items()},
        'rounds': {name: len(times) for name, times in seconds.items()},
        'images with boxes': len(dataset) - len(pools['normal']),
        'index arrays, MB': sum(pool.nbytes for pool in pools.values()) / 1e6,
        MEMORY: peak / 1e6 - sum(pool.nbytes for pool in pools.values()) / 1e6,
    }
    for name, (part, whole, _) in RATIOS.items():
        row[name] = row['seconds'][part] / row['seconds'][whole]
    return row


def run(images: int, sets: Sequence[str], rounds: int) -> dict[str, Any]:
    """Measure all that was asked for.

    Args:
        images (int): Images in each annotation file.
        sets (Sequence[str]): Names of the sets.
        rounds (int): Turns of each contender.

    Returns:
        dict: What was measured, by set.
    """
    report: dict[str, Any] = dict(
        machine=dict(
            python=platform.python_version(),
            mmengine=mmengine.__version__,
            numpy=np.__version__,
            cpus=os.cpu_count(),
            load_before=os.getloadavg()[0],
        ),
        images=images,
    )
    MMLogger.get_instance('benchmark', log_level='ERROR')  # no other progress
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory() as folder, Progress(
        console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task('', total=len(sets) * (rounds + 2))
        for kind in sets:
            path = Path(folder, f'{kind}.json')

            def step(what: str, kind: str = kind) -> None:
                progress.update(task, description=f'{kind}: {what}', advance=1)

            step('writing the file')
            write_file(path, images, kind)
            report[kind] = measure(path, rounds, step)
            path.unlink()
    report['machine']['load_after'] = os.getloadavg()[0]
    return report


def limit(name: str, kind: str) -> float | None:
    """The most that a figure may be."""
    return MEMORY_LIMIT if name == MEMORY else RATIOS[name][2].get(kind)


def missed(report: dict[str, Any]) -> list[str]:
    """Name the figures that are above what they may be.

    Args:
        report (dict): What ``run`` returned.

    Returns:
        list[str]: Set and figure of each.
    """
    return [
        f'{kind}: {name}'
        for kind in SETS
        for name in (*RATIOS, MEMORY)
        if kind in report and report[kind][name] > (limit(name, kind) or np.inf)
    ]


def show(report: dict[str, Any], console: Console) -> None:
    """Print what was measured.

    Args:
        report (dict): What ``run`` returned.
        console (Console): Where to.
    """
    kinds = [kind for kind in SETS if kind in report]
    title = f'Finding the defects at every start, {report["images"]:,} images'
    table = Table(box=box.SIMPLE, title=title, title_justify='left')
    for name in ('', *kinds, 'at most'):
        table.add_column(name, justify='right' if name else 'left')
    for name in (LOADING, SCAN, WRAPPED, SAMPLER):
        seconds = [f'{report[kind]["seconds"][name]:.3f} s' for kind in kinds]
        table.add_row(name, *seconds, '')
    table.add_section()
    for name in (*RATIOS, MEMORY):
        limits = [limit(name, kind) for kind in kinds]
        allowed = ', '.join('-' if most is None else f'{most:g}' for most in limits)
        table.add_row(name, *[f'{report[k][name]:.3f}' for k in kinds], allowed)
    console.print(table)
    console.print(LEGEND)
    machine = report['machine']
    console.print(
        f'{machine["cpus"]} CPUs, load {machine["load_before"]:.1f} before and '
        f'{machine["load_after"]:.1f} after'
    )


def write_json(path: Path, report: dict[str, Any]) -> None:
    """Write the report, whole or not at all.

    Args:
        path (Path): The file.
        report (dict): What ``run`` returned.
    """
    part = path.with_name(path.name + '.part')
    part.write_text(json.dumps(report, indent=1) + '\n')
    part.replace(path)


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line."""

    def error(self, message: str) -> Any:
        """Print ``message`` and exit with 2."""
        self.exit(2, f'{self.prog}: error: {message}\n')


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        description=__doc__,
        epilog=f'{LEGEND}\n\n{EXAMPLE}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        '--images',
        type=int,
        default=200_000,
        metavar='N',
        help='images in the annotation file (default: %(default)s)',
    )
    add(
        '--sets',
        nargs='+',
        choices=SETS,
        default=list(SETS),
        metavar='NAME',
        help=f'annotation files to measure, of {", ".join(SETS)}',
    )
    add('--rounds', type=int, default=5, metavar='N', help='default: %(default)s')
    add('--json', type=Path, metavar='FILE', help='write all figures to this file')
    add('--strict', action='store_true', help='exit with 1 where a limit is passed')
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, show, and write what the command line asks for."""
    parser = make_parser()
    args = parser.parse_args(argv)
    for name, least in (('images', 1000), ('rounds', 1)):
        if getattr(args, name) < least:
            parser.error(f'--{name} {getattr(args, name)}: expected {least} or more')
    if args.json and not args.json.parent.is_dir():
        parser.error(f'--json {args.json}: {args.json.parent} is no directory')
    try:
        report = run(args.images, args.sets, args.rounds)
        show(report, Console(highlight=False))
        if args.json:
            write_json(args.json, report)
    except ImportError as error:
        parser.error(f'MMDetection is needed beside mmdefect: {error}')
    except OSError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print('interrupted: nothing was written', file=sys.stderr)
        return 130
    return 1 if args.strict and missed(report) else 0


if __name__ == '__main__':
    sys.exit(main())
