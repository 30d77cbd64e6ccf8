"""Watches the quota on two ranks: ``monitor_ranks.py DATA_ROOT WORK_DIR``."""

import sys

import torch.distributed
from mmengine.runner import Runner
from test_hooks import CROP, FULL_SIZE, MONITOR, RecordShown, tiny_config

if __name__ == '__main__':
    data_root, work_dir = sys.argv[1:]
    # MMEngine's own launcher wants a GPU; a group that is there already is taken.
    torch.distributed.init_process_group('gloo')
    cfg = tiny_config(data_root, work_dir, [MONITOR], CROP + FULL_SIZE)
    cfg.default_hooks.logger.interval = 3
    cfg.launcher = 'pytorch'
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None
    )
    runner = Runner.from_cfg(cfg)
    shown = RecordShown()
    runner.register_hook(shown)
    runner.train()
    torch.save(shown.batches, f'{work_dir}/shown{runner.rank}.pt')
    torch.distributed.destroy_process_group()
