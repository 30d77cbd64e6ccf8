"""Trains on the CPU under torchrun: ``train_ranks.py DATA_ROOT WORK_DIR``."""

import sys

import torch.distributed
from mmengine.runner import Runner
from runner_configs import small_config

if __name__ == '__main__':
    data_root, work_dir = sys.argv[1:]
    # MMEngine's own launcher wants a GPU; a group that is there already is taken.
    torch.distributed.init_process_group('gloo')
    cfg = small_config(data_root, work_dir)
    cfg.launcher = 'pytorch'
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None
    )
    cfg.custom_hooks = [dict(type='RecordBatches', path=f'{work_dir}/rank')]
    Runner.from_cfg(cfg).train()
    torch.distributed.destroy_process_group()
