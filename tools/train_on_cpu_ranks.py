r"""Train a config on several ranks without a GPU.

MMEngine's own launcher wants a GPU for each rank. This one trains on the CPU, so that
what happens on several ranks can be tried on any machine.

Example:
    OMP_NUM_THREADS=1 torchrun --nproc_per_node=2 tools/train_on_cpu_ranks.py \
        configs/defect_yolox.py --cfg-options train_cfg.max_epochs=1
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch.distributed
from mmengine.config import Config
from mmengine.runner import Runner

from mmdefect.commands.command_line import add_cfg_options


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        usage=argparse.SUPPRESS,  # so that an error is one line
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('config', metavar='CONFIG', help='the config file')
    parser.add_argument(
        '--work-dir', help='where to write; default work_dirs/ and the name of CONFIG'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='go on from a checkpoint; without a name, from the last in the work dir',
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if 'RANK' not in os.environ:
        parser.error(f'start it with `torchrun --nproc_per_node=2 {sys.argv[0]} ...`')
    if not Path(args.config).is_file():
        parser.error(f'{args.config} does not exist')
    return args


def main(argv: list[str] | None = None) -> None:
    """Run the tool."""
    args = parse_args(argv)
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    if args.work_dir or 'work_dir' not in cfg:
        cfg.work_dir = args.work_dir or f'work_dirs/{Path(args.config).stem}'
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    # MMEngine takes a group that is there already in place of its own.
    torch.distributed.init_process_group('gloo')
    cfg.launcher = 'pytorch'
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None
    )
    Runner.from_cfg(cfg).train()
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main()
