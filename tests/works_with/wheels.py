"""Packages of the registry beside those that are installed, for slow tests only."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from runner_configs import ROOT


def fetched(folder, *requirements):
    """Install packages, without what they require, into a folder of their own.

    The test is skipped where pip cannot get them.

    Args:
        folder (Path): Where they go.
        *requirements (str): Such as ``mmdet==3.0.0``.

    Returns:
        Path: The folder.
    """
    pip = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q']
    done = subprocess.run(
        [*pip, 'install', '--no-deps', '--target', str(folder), *requirements],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        pytest.skip(f'pip cannot get {", ".join(requirements)}: {done.stderr[-300:]}')
    return folder


def run_pytest(folder, *tests, **environment):
    """Run tests in a process of its own, with the packages of a folder before others.

    Args:
        folder (Path): The packages.
        *tests (str): Files, or tests in them.
        **environment (str): Variables.

    Returns:
        str: What pytest says.
    """
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *tests],
        cwd=ROOT,
        env={**os.environ, **environment, 'PYTHONPATH': path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout
