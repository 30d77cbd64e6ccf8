"""Chooses hard normal images on two ranks: ``hard_ranks.py DATA_ROOT WORK_DIR``."""

import sys

import torch.distributed
from mmengine.runner import Runner
from runner_configs import RecordBatches
from test_hard_normals import STEPS, hard_config, hook_of, ids_of

if __name__ == '__main__':
    data_root, work_dir = sys.argv[1:]
    # MMEngine's own launcher wants a GPU; a group that is there already is taken.
    torch.distributed.init_process_group('gloo')
    cfg = hard_config(data_root, work_dir)
    cfg.launcher = 'pytorch'
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None
    )
    runner = Runner.from_cfg(cfg)
    record = RecordBatches()
    runner.register_hook(record)
    runner.train()
    chosen = {
        group // STEPS: sorted(ids_of(runner, indices))
        for group, indices in hook_of(runner)._chosen
    }
    told = dict(chosen=chosen, batches=record.batches)
    torch.save(told, f'{work_dir}/rank{runner.rank}.pt')
    torch.distributed.destroy_process_group()
