"""The prepared comparison: its arms are what compare takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from runner_configs import ROOT, edit_configs


def test_whoever_rents_a_gpu_finds_every_arm_ready(synthetic, tmp_path):
    configs = edit_configs(tmp_path, data_dir=f'{synthetic}/', pretrained=None)
    folders = [str(Path(sys.executable).parent), os.environ['PATH']]
    done = subprocess.run(
        [
            *('bash', str(ROOT / 'tools/compare_on_gpu.sh')),
            *(str(configs / 'defect_yolox_s.py'), '--no-train', '--batches', '20'),
        ],
        env=dict(os.environ, PATH=os.pathsep.join(folders), COLUMNS='120'),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    held = {
        cells[1].strip(): float(cells[3])
        for cells in (line.split('│') for line in done.stdout.splitlines())
        if len(cells) > 3 and cells[3].strip().replace('.', '').isdigit()
    }
    assert held['quota=6'] == held['quota_unpreserved'] == 6
    assert held['quota=6,counterexample=2'] == 6
    assert held['quota=4,pasted=4'] == held['quota=4,pasted=4,counterexample=2'] == 8
    assert held['stock'] < 2
