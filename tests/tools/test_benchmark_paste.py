"""The benchmark of pasted images compares batches that differ in nothing else."""

from __future__ import annotations

import re

import benchmark_paste
from runner_configs import ROOT

CONFIG = str(ROOT / 'configs/defect_yolox.py')


def test_it_tells_what_pasted_images_cost(synthetic, capsys):
    options = ['--data', str(synthetic), '--rounds', '1', '--batch-size', '4']
    options += ['--quota', '1', '--pasted', '1']
    assert benchmark_paste.main([CONFIG, *options]) == 0
    ratio, milliseconds = re.search(
        r'takes ([\d.]+) times the ([\d.]+) ms', capsys.readouterr().out
    ).groups()
    assert 0.5 < float(ratio) < 3
    assert float(milliseconds) > 0
