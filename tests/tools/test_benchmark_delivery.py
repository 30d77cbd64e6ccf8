from __future__ import annotations

import json
import subprocess
import sys

import pytest
from runner_configs import ROOT

TOOL = [sys.executable, 'tools/benchmark_delivery.py']
TILES = ROOT / '../shared/data/magnetic_tile'
# Else MMDetection spends the time on other images: it refuses every normal one.
NEGATIVE = 'train_dataloader.dataset.pipeline.4.allow_negative_crop=True'


def run(*arguments):
    return subprocess.run(
        [*TOOL, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        encoding='utf-8',
    )


def test_it_measures_the_users_config_on_the_users_data(synthetic):
    said = run(
        *('yolox_tiny', '--data', synthetic, '--size', 96, '--draws', 40),
        *('--rounds', 2, '--quota', 2, '--batch-size', 4, '--json'),
    )
    assert said.returncode == 0, said.stderr
    (result,) = json.loads(said.stdout)
    assert (result['draws'], result['size']) == (40, 96)
    assert result['class_without'] < result['class_with'] == result['itself_with'] == 1
    assert result['counts']['retries'] > 0
    assert 0.3 < result['time'] < 3


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (['--draws', 0, 'yolox_s'], '--draws 0: expected 1 or more'),
        (['nowhere.py'], 'nowhere.py'),
        (['yolox_s', '--data', 'nowhere'], 'nowhere/annotations/train.json'),
    ],
)
def test_wrong_use_is_told_in_one_line(arguments, reason):
    said = run(*arguments)
    assert said.returncode == 2
    assert said.stdout == ''
    assert reason in said.stderr.splitlines()[-1]
    assert 'Traceback' not in said.stderr


@pytest.mark.slow
@pytest.mark.skipif(not TILES.is_dir(), reason='the photographs are not here')
@pytest.mark.parametrize(
    ('name', 'options', 'without', 'time'),
    [
        ('yolox_s', ['--size', 320], (0.67, 0.73), 1.25),
        ('yolox_s', ['--size', 640], (0.67, 0.73), 1.25),
        ('rtmdet_tiny', ['--size', 320, '--cfg-options', NEGATIVE], (0.5, 0.9), 1.45),
        ('faster_rcnn', ['--size', 320, '--crop'], (0.6, 0.9), 1.45),
    ],
)
def test_defects_on_photographs_arrive_for_little_more_time(
    name, options, without, time
):
    said = run(
        *(name, '--data', TILES, '--ann', 'annotations/train_3pct.json'),
        *('--images', 'images/', '--json', *options),
    )
    assert said.returncode == 0, said.stderr
    (result,) = json.loads(said.stdout)
    assert result['draws'] == 3000
    # With RTMDet's mosaic nearly every image shows some box: the classes tell.
    low, high = without
    arrived = 'class_without' if name == 'rtmdet_tiny' else 'box_without'
    assert low <= result[arrived] <= high
    for figure in ('box_with', 'class_with', 'itself_with'):
        assert result[figure] >= 0.999
    assert result['time'] <= time
