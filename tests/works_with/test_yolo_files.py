"""Labels in YOLO's text files, converted as the README says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from runner_configs import ROOT
from wheels import fetched

from mmdefect import DefectPoolSampler

RECIPE = re.compile(r'```sh\npip install globox\n(.*?)```', re.DOTALL)


@pytest.mark.slow
def test_images_without_boxes_survive_the_conversion_of_yolo_files(tmp_path):
    folder = fetched(tmp_path / 'packages', 'globox==2.9.0')
    for name in ('images', 'labels', 'bin'):
        (tmp_path / name).mkdir()
    # Of two normal images one has an empty file, and one has none.
    labels = ['0 0.5 0.5 0.2 0.3', '1 0.2 0.5 0.1 0.1', '', None]
    for n, text in enumerate(labels):
        cv2.imwrite(f'{tmp_path}/images/{n}.png', np.zeros((60, 80, 3), np.uint8))
        if text is not None:
            (tmp_path / f'labels/{n}.txt').write_text(text)
    (tmp_path / 'classes.txt').write_text('crack\ndent\n')
    script = tmp_path / 'bin/globox'
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m globox "$@"\n')
    script.chmod(0o755)
    environment = {
        **os.environ,
        'PYTHONPATH': str(folder),
        'PATH': f'{script.parent}:{os.environ["PATH"]}',
    }
    (commands,) = RECIPE.findall((ROOT / 'configs/README.md').read_text())
    subprocess.run(['bash', '-ec', commands], cwd=tmp_path, env=environment, check=True)
    content = json.loads((tmp_path / 'train.json').read_text())
    names = [image['file_name'] for image in content['images']]
    dataset = CocoDataset(
        ann_file=str(tmp_path / 'train.json'),
        data_prefix=dict(img=f'{tmp_path}/images/'),
        metainfo=dict(classes=('crack', 'dent')),
    )
    pools = DefectPoolSampler(dataset).pools
    found = {key: {names[n] for n in pools[key]} for key in pools}
    assert found['normal'] == {'2.png', '3.png'}
    assert (found['crack'], found['dent']) == ({'0.png'}, {'1.png'})
