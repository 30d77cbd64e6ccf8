"""Measure which drawn defects reach the model, with DefectPreservingDataset or not.

Draws defect images from a config's training set through the config's own pipelines and
counts those that still show a defect of a class of theirs. Then takes turns in loading
batches with and without the wrapper, in one process, and compares the processor time.

With --data the config's pipelines run on another data set; --size scales their images.
"""

from __future__ import annotations

import os

# NumPy and OpenCV read it when they are imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import contextlib
import json
import sys
import warnings
from statistics import median
from time import process_time
from typing import Any, Iterable, NamedTuple

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import set_random_seed
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mmdefect.commands.command_line import Parser, add_cfg_options

# Short names for configs of MMDetection.
STOCK = {
    'yolox_s': 'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
    'yolox_tiny': 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
    'rtmdet_tiny': 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'rtmdet_l': 'mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py',
    'faster_rcnn': 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
}
ROUND = 5  # batches of one turn


class UnusableError(Exception):
    """Says why there is nothing to measure."""


class Result(NamedTuple):
    """What a measurement came to.

    Args:
        config (str): The config.
        size (int | None): Width and height in pixels to which it was scaled.
        draws (int): Draws of defect images.
        box_without (float): Share that shows any box, without the wrapper.
        box_with (float): The same with the wrapper.
        class_without (float): Share that shows a box of a class of the image drawn.
        class_with (float): The same with the wrapper.
        itself_without (float): Share that is the image drawn and no other.
        itself_with (float): The same with the wrapper.
        time (float): Time of a batch with the wrapper over that without, median.
        ms_without (float): Milliseconds of a batch without, median.
        counts (dict): What the wrapper counted.
    """

    config: str
    size: int | None
    draws: int
    box_without: float
    box_with: float
    class_without: float
    class_with: float
    itself_without: float
    itself_with: float
    time: float
    ms_without: float
    counts: dict


def parse_args(argv: list | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__,
        epilog='examples:\n'
        '  python tools/benchmark_delivery.py configs/defect_yolox.py\n'
        '  python tools/benchmark_delivery.py yolox_s --data data/synthetic \\\n'
        '      --size 320\n'
        f'MMDetection configs by short name: {", ".join(STOCK)}',
    )
    add = parser.add_argument
    add('config', nargs='+', metavar='CONFIG', help='config file or short name')
    add('--data', metavar='DIR', help='data set to put in place of the config')
    add('--ann', default='annotations/train.json', metavar='FILE', help='COCO file')
    add('--images', default='train/', metavar='DIR', help='image directory in --data')
    add('--size', type=int, metavar='PIXELS', help='scale images of 640 to this size')
    add('--crop', action='store_true', help='add RandomCrop, to 0.5 … 1 of each side')
    add('--draws', type=int, default=3000, metavar='N', help='default: %(default)s')
    add('--rounds', type=int, default=15, metavar='N', help='of timing: %(default)s')
    add('--batch-size', type=int, default=8, metavar='N', help='default: %(default)s')
    add('--quota', type=int, default=3, metavar='N', help='default: %(default)s')
    add('--max-retries', type=int, metavar='N', help="default: the wrapper's")
    add('--min-area-ratio', type=float, metavar='X', help="default: the wrapper's")
    add('--seed', type=int, default=0, metavar='N', help='default: %(default)s')
    add('--json', action='store_true', help='print JSON')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    for name in ('draws', 'rounds', 'batch_size', 'quota', 'size'):
        value = getattr(args, name)
        if value is not None and value < 1:
            flag = '--' + name.replace('_', '-')
            parser.error(f'{flag} {value}: expected 1 or more')
    return args


# --- The dataset ---------------------------------------------------------------------


def dataset_config(name: str, args: argparse.Namespace) -> dict:
    """The config of the training dataset, without the wrapper that is measured."""
    if name in STOCK:
        from mmengine.hub import get_config

        cfg = get_config(STOCK[name])
    else:
        cfg = Config.fromfile(name)
    cfg.merge_from_dict(args.cfg_options or {})
    if 'train_dataloader' not in cfg:
        raise UnusableError(f'{name} has no train_dataloader')
    dataset = cfg.train_dataloader.dataset.to_dict()
    if dataset['type'].endswith('DefectPreservingDataset'):
        dataset = dataset['dataset']
    if args.size:
        dataset = scaled(dataset, args.size / 640)
    leaf = dataset
    while 'dataset' in leaf:
        leaf = leaf['dataset']
    if args.data:
        with open(os.path.join(args.data, args.ann), encoding='utf-8') as file:
            categories = json.load(file)['categories']
        leaf.update(
            type='CocoDataset',
            data_root=args.data,
            ann_file=args.ann,
            data_prefix=dict(img=args.images),
            metainfo=dict(classes=tuple(c['name'] for c in categories)),
            filter_cfg=None,
        )
    if args.crop:
        crop = dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.5, 0.5))
        dataset['pipeline'].insert(-1, dict(crop, allow_negative_crop=True))
    return dataset


def scaled(config: Any, factor: float) -> Any:
    """A config whose sizes are scaled: images, mosaics and the borders of both."""
    if isinstance(config, dict):
        return {key: scaled(value, factor) for key, value in config.items()}
    if isinstance(config, list):
        return [scaled(value, factor) for value in config]
    if isinstance(config, tuple) and any(abs(n) >= 300 for n in config):
        return tuple(round(n * factor) for n in config)
    return config


# --- Measuring -----------------------------------------------------------------------


def measure(name: str, args: argparse.Namespace) -> Result:
    """Measure one config."""
    from mmdefect import DefectPoolSampler, QuotaBatchSampler

    wrap = dict(type='DefectPreservingDataset')
    for key in ('max_retries', 'min_area_ratio'):
        if getattr(args, key) is not None:
            wrap[key] = getattr(args, key)
    # Built twice, so that neither fills the caches of the other's transforms.
    datasets = [
        DATASETS.build(dataset_config(name, args)),
        DATASETS.build(dict(wrap, dataset=dataset_config(name, args))),
    ]
    sampler = DefectPoolSampler(datasets[1], seed=args.seed)
    count = args.rounds * ROUND
    batches = QuotaBatchSampler(
        sampler, args.batch_size, args.quota, num_batches=count + ROUND
    )
    set_random_seed(args.seed)
    milliseconds = load_batches(datasets, list(batches), name)
    pool = sampler.pools['defect']
    drawn = np.random.default_rng(args.seed).choice(pool, args.draws).tolist()
    arrived = np.zeros((2, 3))
    for index in progress(drawn, f'{name}: drawing'):
        for number, dataset in enumerate(datasets):
            arrived[number] += arrival(dataset, index)
    shares = (arrived / args.draws).T.tolist()
    return Result(
        name,
        args.size,
        args.draws,
        *shares[0],
        *shares[1],
        *shares[2],
        median(with_ / without for without, with_ in milliseconds),
        median(without for without, _ in milliseconds) / ROUND,
        datasets[1].counts,
    )


def arrival(dataset: Any, index: int) -> tuple[bool, bool, bool]:
    """Whether an image arrives with any box, with one of its classes, and as itself."""
    info = dataset.get_data_info(index)
    sample = dataset[index]['data_samples']
    shown = set(sample.gt_instances.labels.tolist())
    counted = [i for i in info['instances'] if not i.get('ignore_flag', 0)]
    classes = {instance['bbox_label'] for instance in counted}
    return bool(shown), bool(shown & classes), sample.img_path == info['img_path']


def load_batches(datasets: list, batches: list, name: str) -> list[list[float]]:
    """Milliseconds of each round without and with, which take turns in going first."""
    rounds = [batches[i : i + ROUND] for i in range(0, len(batches), ROUND)]
    milliseconds = []
    for number, turn in enumerate(progress(rounds, f'{name}: timing')):
        spent = [0.0, 0.0]
        for which in (0, 1) if number % 2 else (1, 0):
            start = process_time()
            for batch in turn:
                for index in batch:
                    datasets[which][index]
            spent[which] = 1e3 * (process_time() - start)
        milliseconds.append(spent)
    return milliseconds[1:]  # the first one reads the files from disk


def progress(items: list, description: str) -> Iterable:
    """The items, with a progress bar on a terminal."""
    console = Console(stderr=True)
    hidden = not console.is_terminal
    yield from track(
        items, description, console=console, disable=hidden, transient=True
    )


# --- Telling -------------------------------------------------------------------------


def show(results: list[Result]) -> None:
    """Print everything for a reader."""
    console = Console(highlight=False)
    for result in results:
        size = f' at {result.size} pixels' if result.size else ''
        table = Table(title=f'{result.config}{size}: {result.draws:,} defect draws')
        for name in ('arrives', 'without', 'with'):
            table.add_column(name, justify='left' if name == 'arrives' else 'right')
        for name, *shares in (
            ('with a box', result.box_without, result.box_with),
            ('with a box of a class of its', result.class_without, result.class_with),
            ('as itself, not another image', result.itself_without, result.itself_with),
        ):
            table.add_row(name, *(f'{share:.4f}' for share in shares))
        console.print(table)
        console.print(
            f'Processor time of a batch: {result.ms_without:.0f} ms without, '
            f'{result.time:.2f} times that with. Counted: '
            + ', '.join(f'{count:,} {event}' for event, count in result.counts.items())
            + '.\n'
        )


def main(argv: list | None = None) -> int:
    """Run the command."""
    args = parse_args(argv)
    results = []
    try:
        with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            setup()
            for name in args.config:
                results.append(measure(name, args))
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        return 130
    except Exception as error:
        lines = str(error).strip().splitlines() or ['no reason given']
        said = '' if isinstance(error, UnusableError) else f'{type(error).__name__}: '
        print(f'benchmark_delivery.py: error: {said}{lines[-1]}', file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps([result._asdict() for result in results], indent=2))
    else:
        show(results)
    return 0


def setup() -> None:
    """One thread, and the classes of MMDetection at hand."""
    import cv2
    import torch
    from mmdet.utils import register_all_modules

    import mmdefect  # noqa: F401

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    register_all_modules()
    init_default_scope('mmdet')


if __name__ == '__main__':
    sys.exit(main())
