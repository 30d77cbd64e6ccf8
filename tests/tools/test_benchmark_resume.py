"""The benchmark of resuming runs, and refuses what it cannot measure."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from runner_configs import ROOT, small_config

TOOL = ROOT / 'tools/benchmark_resume.py'


def run(*arguments):
    return subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)],
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1'},
        capture_output=True,
        text=True,
        timeout=600,
    )


def measured(synthetic, tmp_path, *arguments):
    small_config(synthetic, tmp_path).dump(f'{tmp_path}/config.py')
    done = run(tmp_path / 'config.py', '--json', *arguments)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_both_samplers_are_measured(synthetic, tmp_path):
    told = measured(synthetic, tmp_path, '--iterations', 10, '--repeats', 1)
    assert told['iterations'] == 10
    assert set(told['ratios']) == {'mmdefect', 'stock'}
    for name, ratio in told['ratios'].items():
        anew, resumed = (told['seconds'][f'{name} {k}'] for k in ('anew', 'resumed'))
        assert ratio == pytest.approx(resumed / anew, rel=0.02)


@pytest.mark.slow
def test_the_start_takes_no_longer_for_a_late_iteration(synthetic, tmp_path):
    few = ('--repeats', 5, '--stock-repeats', 1)
    told = measured(synthetic, tmp_path, '--iterations', 500, *few)
    seconds = told['seconds']
    assert seconds['mmdefect resumed'] <= 1.1 * seconds['mmdefect at 1']
    if '0.10.7' in told['mmengine']:  # later ones no longer load what was trained on
        assert told['ratios']['stock'] > 2


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['no.py'], 'no.py does not exist'),
        (['no.py', '--iterations', '0'], '--iterations 0: expected 1 or more'),
    ],
)
def test_wrong_use_is_one_line_and_exit_status_2(arguments, said):
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr
