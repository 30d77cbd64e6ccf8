"""mmcv's C++ files in a few units: each once, those with common names apart."""

from __future__ import annotations

import subprocess
import sys

import pytest
from join_units import LAST, UNITS, join


@pytest.fixture
def source(tmp_path):
    """A source package with files of different sizes, two folders, another device."""
    folder = tmp_path / 'mmcv/ops/csrc/pytorch'
    (folder / 'cpu').mkdir(parents=True)
    (folder / 'cuda').mkdir()
    (folder / 'cuda/cudabind.cpp').touch()
    for number in range(20):
        (folder / f'op_{number}.cpp').write_text('//' * 10 * number)
        (folder / 'cpu' / f'op_{number}.cpp').touch()
    for name in LAST:
        (folder / 'cpu' / name).write_text('//' * 100)
        (folder / name).touch()
    return tmp_path


def test_each_op_is_compiled_once_and_odd_ones_apart(source):
    units = join(source)
    assert len(units) == UNITS
    included = [unit.read_text().split('"')[1::2] for unit in units]
    parts = [part for files in included for part in files]
    folder = units[0].parent
    assert sorted(folder / part for part in parts) == sorted(folder.rglob('*.inc'))
    assert len(parts) == len(set(parts)) == 50
    odd = [[f'cpu/{name[:-4]}.inc' in files for name in LAST] for files in included]
    assert all(sum(row) <= 1 for row in odd)
    assert sum(files[-1][4:-4] + '.cpp' in LAST for files in included) == len(LAST)
    rest = {path.relative_to(folder).as_posix() for path in folder.rglob('*.cpp')}
    assert rest == {'cuda/cudabind.cpp', *(unit.name for unit in units)}


def test_another_version_fails_so_that_the_plain_build_follows(source):
    (source / 'mmcv/ops/csrc/pytorch/cpu' / LAST[0]).unlink()
    command = [sys.executable, join.__code__.co_filename, str(source)]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
