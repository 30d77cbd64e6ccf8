"""``mmdefect env``, which people are asked for when they report a bug."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import mmdet
import mmengine
import numpy
import torch
from runner_configs import ROOT

import mmdefect
from mmdefect.commands import env as report
from mmdefect.commands.main import main


def values(text):
    """What is printed, by name."""
    return dict(re.findall(r'^ *(\S+): +(.*)$', text, re.M))


def test_it_tells_the_versions_that_really_run(capsys):
    main(['env'])
    said = values(capsys.readouterr().out)
    for module in (mmdefect, mmdet, mmengine, numpy, torch):
        assert module.__version__ in said[module.__name__]
    assert said['mmcv.ops'].startswith('loaded')
    assert 'not installed' not in said.values()
    assert str(Path(mmdefect.__file__).parent) in said['mmdefect']


def copy_or_link(source, target):
    (shutil.copy2 if source.endswith('.py') else os.symlink)(source, target)


def test_every_class_that_a_user_can_import_can_be_named_in_a_config():
    named = [name for names in report.registered().values() for name in names]
    classes = [n for n in mmdefect.__all__ if isinstance(getattr(mmdefect, n), type)]
    assert sorted(named) == sorted(classes)


def test_a_stack_without_mmcv_and_mmdet_is_reported_as_such(tmp_path):
    # All that is installed is linked, without them.
    for path in Path(sysconfig.get_paths()['purelib']).iterdir():
        if path.name == 'cv2':  # looks for itself where its files really are
            shutil.copytree(path, tmp_path / 'cv2', copy_function=copy_or_link)
        elif not re.match(r'(onedl_)?mm(cv|det)', path.name):
            (tmp_path / path.name).symlink_to(path)
    result = subprocess.run(
        [sys.executable, '-S', '-m', 'mmdefect', 'env'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    said = values(result.stdout)
    assert said['mmcv'] == said['mmdet'] == 'not installed'
    assert said['mmcv.ops'] == "not loaded: No module named 'mmcv'"
    assert mmengine.__version__ in said['mmengine']
    assert said['DATA_SAMPLERS'] == 'DefectPoolSampler, QuotaBatchSampler'


def test_what_fails_to_load_is_reported_and_no_end_of_the_report():
    def broken():
        raise OSError('libcudart.so.12: cannot open\nand more')

    assert report.answer(broken) == 'broken: OSError: libcudart.so.12: cannot open'


def test_packages_that_overwrite_each_other_are_both_named():
    assert report.installed(['numpy', 'nothing-of-this-name', 'torch']) == (
        f'numpy {numpy.__version__} and torch {torch.__version__}'
    )
