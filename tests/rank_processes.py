"""Several real processes on the CPU, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys

from runner_configs import ROOT


def torchrun(ranks, *command):
    """Run a script on so many ranks, with the tests' modules on its path.

    Args:
        ranks (int): Number of processes.
        *command: The script and its arguments.

    Returns:
        subprocess.CompletedProcess: With all that was printed in ``stdout``.
    """
    env = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '-1',
        'PYTHONPATH': os.pathsep.join([str(ROOT / 'tests'), str(ROOT)]),
    }
    launch = (sys.executable, '-m', 'torch.distributed.run', '--standalone')
    return subprocess.run(
        [*launch, f'--nproc_per_node={ranks}', *map(str, command)],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
