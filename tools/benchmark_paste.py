"""Measure what pasted images cost: batches with and without, in turns, in one process.

Loads batches of a config's training set, through the config's own pipelines, once with
a quota of defect images and once with a quota of defect and pasted images, and compares
the processor time.
"""

from __future__ import annotations

import os

# NumPy and OpenCV read it when they are imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import argparse
import sys
import warnings
from statistics import median
from time import process_time

from benchmark_delivery import dataset_config, progress, setup
from mmengine.registry import DATASETS
from mmengine.runner import set_random_seed

from mmdefect.commands.command_line import Parser, add_cfg_options

ROUND = 5  # batches of one turn


def parse_args(argv: list | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__,
        epilog='example:\n  python tools/benchmark_paste.py configs/defect_lite.py',
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='config file or short name')
    add('--data', metavar='DIR', help='data set to put in place of the config')
    add('--ann', default='annotations/train.json', metavar='FILE', help='COCO file')
    add('--images', default='train/', metavar='DIR', help='image directory in --data')
    add('--batch-size', type=int, default=8, metavar='N', help='default: %(default)s')
    add('--quota', type=int, default=2, metavar='N', help='default: %(default)s')
    add('--pasted', type=int, default=2, metavar='N', help='default: %(default)s')
    add('--rounds', type=int, default=25, metavar='N', help='default: %(default)s')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    args.size, args.crop = None, False
    return args


def main(argv: list | None = None) -> int:
    """Run the command."""
    args = parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        setup()
        ratios, milliseconds = measure(args)
    print(
        f'{args.config}: a batch of {args.batch_size} with {args.pasted} pasted images '
        f'takes {median(ratios):.2f} times the {median(milliseconds):.1f} ms of one '
        f'without (processor time, median of {len(ratios)} rounds)'
    )
    return 0


def measure(args: argparse.Namespace) -> tuple[list, list]:
    """Ratios, and milliseconds of a batch without pasted images, by round."""
    from mmdefect import DefectPoolSampler, QuotaBatchSampler

    dataset = DATASETS.build(
        dict(
            type='DefectPreservingDataset',
            dataset=dataset_config(args.config, args),
        )
    )
    sampler, count = DefectPoolSampler(dataset, seed=0), (args.rounds + 2) * ROUND
    with_, without = (
        list(QuotaBatchSampler(sampler, args.batch_size, quota, num_batches=count))
        for quota in (dict(defect=args.quota, pasted=args.pasted), args.quota)
    )
    # What the last quota named is known to the dataset: here, no pasted images.
    dataset.know_quota(['defect', 'pasted'])
    set_random_seed(0)
    ratios, milliseconds = [], []
    for first in progress(range(0, count, ROUND), 'timing'):
        spent = []
        for batches in (without, with_) if first % 2 else (with_, without):
            start = process_time()
            for batch in batches[first : first + ROUND]:
                for index in batch:
                    dataset[index]
            spent.append((process_time() - start, batches is with_))
        (plain, _), (pasted, _) = sorted(spent, key=lambda entry: entry[1])
        ratios.append(pasted / plain)
        milliseconds.append(1e3 * plain / ROUND)
    return ratios[2:], milliseconds[2:]  # the first ones read the files from disk


if __name__ == '__main__':
    sys.exit(main())
