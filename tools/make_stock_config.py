"""Write a config that differs from another in its sampling only: stock, no quota.

The batches are plain shuffles of all images, as MMEngine's DefaultSampler makes them,
and the dataset is not wrapped in DefectPreservingDataset. An epoch keeps its number of
iterations, so that learning rates, validations and the switch of the pipeline come at
the same iterations, and both detectors train equally long.

Example:
    python tools/make_stock_config.py configs/defect_yolox.py work_dirs/stock.py
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from pathlib import Path

from cfg_options import add_cfg_options
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner


def main(argv: list[str] | None = None) -> int:
    """Run the tool.

    Returns:
        int: 0, or 2 on wrong use.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, metavar='CONFIG', help='config with quota')
    parser.add_argument('out', type=Path, metavar='OUT', help='config to write')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    try:
        if not args.config.is_file():
            raise FileNotFoundError(f'{args.config} does not exist')
        cfg = Config.fromfile(str(args.config))
        cfg.merge_from_dict(args.cfg_options or {})
        cfg = stock(cfg)
    except (FileNotFoundError, TypeError, ValueError) as error:
        print(f'make_stock_config.py: {error}', file=sys.stderr)
        return 2
    args.out.parent.mkdir(parents=True, exist_ok=True)
    part = args.out.with_name(f'{args.out.stem}.part.py')
    cfg.dump(str(part))
    part.replace(args.out)
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
        ValueError: If the config has no quota.
    """
    loader = cfg.train_dataloader
    if loader.get('batch_sampler', {}).get('type') != 'QuotaBatchSampler':
        raise ValueError(
            f'{cfg.filename} has no quota to compare with: train_dataloader needs '
            "batch_sampler=dict(type='QuotaBatchSampler', quota=3)"
        )
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    small = dict(loader, num_workers=0, persistent_workers=False)
    with contextlib.redirect_stdout(io.StringIO()):
        num_batches = len(Runner.build_dataloader(small).batch_sampler)
    loader.batch_sampler.update(quota=None, num_batches=num_batches)
    if loader.dataset.type == 'DefectPreservingDataset':
        loader.dataset = loader.dataset.dataset
    watching = ('QuotaMonitorHook', 'QuotaScheduleHook')
    hooks = cfg.get('custom_hooks') or []
    cfg.custom_hooks = [hook for hook in hooks if hook['type'] not in watching]
    return cfg


if __name__ == '__main__':
    sys.exit(main())
