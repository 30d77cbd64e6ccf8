"""Installing and importing: light, and clear about what is missing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import mmdefect

ROOT = Path(__file__).parents[1]


def python(code):
    return subprocess.run(
        [sys.executable, '-c', code],
        cwd=ROOT,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_importing_it_imports_neither_mmdet_nor_mmcv():
    code = (
        'import sys; before = set(sys.modules); import mmdefect;'
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    result = python(code)
    assert result.returncode == 0, result.stderr
    imported = result.stdout.splitlines()[-1].split()
    assert {'mmdefect', 'mmengine', 'numpy', 'torch'} <= set(imported)
    assert not {'mmdet', 'mmcv', 'pycocotools'} & set(imported)


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'mmengine':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Blocked())
try:
    import mmdefect
except ImportError as error:
    print(error)
    assert error.__cause__ is None and error.__suppress_context__
assert 'torch' not in sys.modules
"""


def test_without_mmengine_one_line_says_what_to_install():
    result = python(BLOCKED)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert 'mmdefect needs MMEngine: pip install' in line
    for extra in ('openmmlab', 'onedl'):
        assert f"'mmdefect[{extra}]'" in line
        assert re.search(rf'^{extra} = ', (ROOT / 'pyproject.toml').read_text(), re.M)


def test_a_config_finds_the_samplers_by_name():
    from mmengine.registry import DATA_SAMPLERS

    for name in ('DefectPoolSampler', 'QuotaBatchSampler'):
        assert DATA_SAMPLERS.get(name) is getattr(mmdefect, name)


@pytest.mark.parametrize('name', mmdefect.__all__)
def test_all_that_it_offers_is_there(name):
    assert getattr(mmdefect, name) is not None


def test_the_changelog_knows_the_version():
    assert re.fullmatch(r'\d+\.\d+\.\d+', mmdefect.__version__)
    changelog = (ROOT / 'CHANGELOG.md').read_text()
    assert f'## {mmdefect.__version__}' in changelog


def test_the_citation_names_this_version():
    cff = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors', 'license'} <= set(cff)
    assert cff['version'] == mmdefect.__version__


def test_a_checkout_on_windows_has_no_symbolic_link_to_break():
    rooms = ('configs', 'mmdefect', 'tests', 'tools')
    paths = [path for room in rooms for path in ROOT.glob(f'{room}/**/*')]
    assert [path for path in paths if path.is_symlink()] == []


def test_nobody_is_sent_to_tools_that_only_a_clone_has():
    paths = [*ROOT.glob('mmdefect/**/*.py'), *ROOT.glob('configs/**/*.py')]
    tool = re.compile(r'\btools/\w+\.(py|sh)')
    assert [path for path in paths if tool.search(path.read_text())] == []
    assert len(paths) > 50


def test_hooks_before_a_commit_run_what_the_tests_run():
    """With other commands or files, a commit would pass here and fail there."""
    config = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())
    (repo,) = config['repos']
    test = (ROOT / 'tools/test.sh').read_text()
    commands = re.findall(r'^  "\$bin/(\w+)"(?: (check|format))?', test, re.M)
    entries = {tuple(hook['entry'].split()[:2]) for hook in repo['hooks']}
    assert entries == {tuple(word for word in c if word) for c in commands}
    for hook in repo['hooks']:
        assert hook['language'] == 'system'  # the environment's own versions
        assert {'id', 'name', 'types'} <= set(hook)


def test_type_checkers_are_told_that_it_is_typed():
    assert (Path(mmdefect.__file__).parent / 'py.typed').is_file()


FILES = sorted(path.stem for path in (ROOT / 'mmdefect/plan').glob('*.py'))


@pytest.mark.parametrize('name', FILES)
def test_who_reads_the_plan_needs_nothing_else_open(name):
    text = (ROOT / f'mmdefect/plan/{name}.py').read_text()
    rooms = set(re.findall(r'^(?:from|import) mmdefect\.(\w+)', text, re.M))
    assert rooms <= {'plan', 'arguments'}  # what they refuse reads like prose
    assert not re.search(r'^ *(from|import) (torch|mmengine)', text, re.M)


FILES = sorted(path.stem for path in (ROOT / 'mmdefect/pools').glob('*.py'))


@pytest.mark.parametrize('name', FILES)
def test_pools_are_the_same_whatever_the_ranks(name):
    text = (ROOT / f'mmdefect/pools/{name}.py').read_text()
    assert 'dist' not in re.findall(r'mmengine\.(\w+)', text)
