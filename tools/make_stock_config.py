"""Write a config that differs from another in its sampling only: stock, no quota.

The batches are plain shuffles of all images, as MMEngine's DefaultSampler makes
them, and the dataset is not wrapped in DefectPreservingDataset. An epoch keeps
its number of iterations, so that learning rates, validations and the switch of
the pipeline come at the same iterations, and both detectors train equally long.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from cfg_options import add_cfg_options
from check_config import UnusableConfigError, running
from command_line import Parser, whole
from inspect_dataset import has_quota, load_config
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner


def main(argv: list[str] | None = None) -> int:
    """Run the tool.

    Returns:
        int: 0, or 2 on wrong use.
    """
    parser = Parser(
        description=__doc__,
        epilog='example:\n'
        '  python tools/make_stock_config.py configs/defect_yolox.py \\\n'
        '      work_dirs/stock.py',
    )
    parser.add_argument('config', type=Path, metavar='CONFIG', help='config with quota')
    parser.add_argument('out', type=Path, metavar='OUT', help='config to write')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    try:
        cfg = stock(load_config(str(args.config), args.cfg_options))
        args.out.parent.mkdir(parents=True, exist_ok=True)
        with whole(args.out) as part:
            cfg.dump(str(part))
    except (UnusableConfigError, OSError) as error:
        print(f'make_stock_config.py: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    print(f'{args.out}: stock sampling, {steps(cfg):,} iterations an epoch')
    return 0


def steps(cfg: Config) -> int:
    """Tell the number of iterations that a stock config has in an epoch."""
    return cfg.train_dataloader.batch_sampler.num_batches


def stock(cfg: Config) -> Config:
    """Take the quota out of a config.

    Args:
        cfg (Config): A config whose batches ``QuotaBatchSampler`` makes.

    Returns:
        Config: The same with stock sampling and as many iterations.

    Raises:
        UnusableConfigError: If the config has no quota, or cannot be used.
    """
    loader = cfg.train_dataloader
    if not has_quota(cfg):
        raise UnusableConfigError(
            f'{cfg.filename} has no quota to compare with: train_dataloader needs '
            "batch_sampler=dict(type='QuotaBatchSampler', quota=3)"
        )
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    small = dict(loader, num_workers=0, persistent_workers=False)
    with running('the training dataloader cannot be built'):
        num_batches = len(Runner.build_dataloader(small).batch_sampler)
    loader.batch_sampler.update(quota=None, num_batches=num_batches)
    if 'DefectPreservingDataset' in str(loader.dataset.type):
        loader.dataset = loader.dataset.dataset
    watching = re.compile('Quota(Monitor|Schedule)Hook')
    hooks = cfg.get('custom_hooks') or []
    cfg.custom_hooks = [h for h in hooks if not watching.search(str(h['type']))]
    return cfg


if __name__ == '__main__':
    sys.exit(main())
