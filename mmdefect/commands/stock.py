"""Write a config that differs from another in its sampling only: stock, no quota.

The batches are plain shuffles of all images, as MMEngine's DefaultSampler makes
them, and the dataset is not wrapped in DefectPreservingDataset. An epoch keeps
its number of iterations, so that learning rates, validations and the switch of
the pipeline come at the same iterations, and both detectors train equally long.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Sequence

from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.files import whole
from mmdefect.commands.command_line import Parser, add_cfg_options


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        prog='mmdefect stock',
        description=__doc__,
        epilog='example:\n  mmdefect stock configs/defect_yolox.py work_dirs/stock.py',
    )
    parser.add_argument('config', type=Path, metavar='CONFIG', help='config with quota')
    parser.add_argument('out', type=Path, metavar='OUT', help='config to write')
    add_cfg_options(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Write the stock config."""
    from mmdefect.analysis.config import load_config
    from mmdefect.analysis.stock import stock

    if args.out.exists():
        raise UnusableError(
            f'{args.out} would be written over: move it away, or name another OUT'
        )
    cfg = stock(load_config(str(args.config), args.cfg_options))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with whole(args.out) as part:
        cfg.dump(str(part))
    steps = cfg.train_dataloader.batch_sampler.num_batches
    print(f'{args.out}: stock sampling, {steps:,} iterations an epoch')
    return 0
