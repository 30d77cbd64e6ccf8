"""What ``pip install .`` and a built wheel put on a user's machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser

import pytest
from runner_configs import ROOT

import mmdefect
from mmdefect.commands.env import registered
from mmdefect.commands.main import COMMANDS

PIP = [sys.executable, '-m', 'pip', '--disable-pip-version-check', '-q']
# What a user's shell has, who has no checkout on his path.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
ROOMS = ('configs', 'mmdefect', 'tools')
CONFIGS = {path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/**/*.py')}

ASK = """
import json, mmdefect, sys
from importlib.metadata import version
from pathlib import Path
from mmengine.config import Config
from mmdefect.commands.env import registered

package = Path(mmdefect.__file__).parent
config = Config.fromfile(package / '.mim/configs/defect_yolox.py')
print(json.dumps(dict(
    package=str(package),
    environment=sys.prefix,
    versions=[mmdefect.__version__, version('mmdefect')],
    registered=registered(),
    typed=(package / 'py.typed').is_file(),
    sampler=config.train_dataloader.batch_sampler.type,
)))
"""


def run(*command, cwd, **environment):
    result = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """What a user has after cloning: building writes beside the sources."""
    folder = tmp_path_factory.mktemp('source') / 'mmdefect'
    folder.mkdir()
    ignored = shutil.ignore_patterns('__pycache__')
    for path in ROOT.iterdir():
        if path.name in ('mmdefect', 'configs', 'tools', 'tests', '.github'):
            shutil.copytree(path, folder / path.name, symlinks=True, ignore=ignored)
        elif path.is_file():
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope='module')
def sdist(source):
    """The source distribution."""
    code = 'from setuptools.build_meta import *; build_sdist("dist")'
    run(sys.executable, '-c', code, cwd=source)
    (path,) = source.glob('dist/*.tar.gz')
    return path


@pytest.fixture(scope='module')
def wheel(sdist):
    """A wheel built from the source distribution, as a package index would get it."""
    options = ['--no-deps', '--no-build-isolation', '-w', '.']
    run(*PIP, 'wheel', *options, sdist, cwd=sdist.parent)
    (path,) = sdist.parent.glob('*.whl')
    return path


def environment(folder):
    """Make an environment of its own, which borrows nothing but the stack.

    Args:
        folder (Path): Where it goes.

    Returns:
        Path: Its Python.
    """
    run(sys.executable, '-m', 'venv', '--without-pip', 'venv', cwd=folder)
    (site,) = folder.glob('venv/lib/python3*/site-packages')
    # A path in a .pth file: the .pth file of the checkout itself is not followed there.
    (site / 'stack.pth').write_text(sysconfig.get_paths()['purelib'] + '\n')
    return folder / 'venv/bin/python'


def install(python, what, folder):
    """Install a wheel, or sources, as ``pip install`` does."""
    options = ['--no-deps', '--no-build-isolation', '--no-index', what]
    run(*PIP, '--python', python, 'install', *options, cwd=folder)


@pytest.fixture
def clean(tmp_path):
    """The Python of an environment without mmdefect."""
    return environment(tmp_path)


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    """The Python of an environment with mmdefect, installed from the wheel."""
    folder = tmp_path_factory.mktemp('user')
    python = environment(folder)
    install(python, wheel, folder)
    return python


@pytest.mark.parametrize('what', ['source', 'wheel'])
def test_what_pip_installs_works_in_a_clean_environment(request, what, clean, tmp_path):
    path = request.getfixturevalue(what)
    missing = subprocess.run(
        [clean, '-c', 'import mmdefect'],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert "No module named 'mmdefect'" in missing.stderr  # clean it was
    install(clean, path, tmp_path)
    said = json.loads(run(clean, '-c', ASK, cwd=tmp_path).splitlines()[-1])
    assert said['package'].startswith(f'{said["environment"]}/')
    assert said['environment'] == str(tmp_path / 'venv')
    report = run(clean, '-m', 'mmdefect', 'env', cwd=tmp_path)
    assert f'{mmdefect.__version__} in {said["package"]}\n' in report
    assert 'QuotaBatchSampler' in report
    assert said['versions'] == [mmdefect.__version__] * 2
    assert said['registered'] == registered()
    assert said['typed']
    assert said['sampler'] == 'QuotaBatchSampler'


def put_data(synthetic, folder):
    """Let the ready configs find a data set where they look for the quickstart's."""
    (folder / 'data').mkdir()
    (folder / 'data/synthetic').symlink_to(synthetic)


@pytest.mark.parametrize('way', ['mmdefect', 'python -m mmdefect'])
def test_every_command_works_from_an_empty_directory_without_a_clone(
    way, installed, synthetic, tmp_path
):
    command = [installed.parent / 'mmdefect']
    if way != 'mmdefect':
        command = [installed, '-m', 'mmdefect']
    put_data(synthetic, tmp_path)
    # Two processes less to be started.
    data = [
        '--cfg-options',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
    ]

    def say(*typed):
        return run(*command, *typed, cwd=tmp_path)

    assert 'mmdefect check configs/defect_yolox.py' in say('configs', '.')
    config = 'configs/defect_yolox.py'
    assert {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob('*.py')
    } == CONFIGS
    said = say('check', config, '--batches', '2', *data)
    assert 'Nothing found that breaks the quota.' in said
    assert 'Recommended: quota=' in say('inspect', config, *data)
    say('browse', config, '--num', '1', *data)
    assert (tmp_path / 'work_dirs/defect_yolox/batches/batch_001.png').is_file()
    assert f'{mmdefect.__version__} in {installed.parents[1]}/' in say('env')


@pytest.mark.skipif(
    os.environ.get('MMDEFECT_STACK') == 'onedl',
    reason="OneDL's mim looks for a package where its RECORD begins: in bin/",
)
@pytest.mark.parametrize(
    ('command', 'said'),
    [
        ('check', 'Nothing found that breaks the quota.'),
        # Its script must not stand in the place of Python's own module.
        ('inspect', 'Recommended: quota='),
    ],
)
def test_mim_runs_the_commands_as_those_of_other_packages(
    command, said, installed, synthetic, tmp_path
):
    put_data(synthetic, tmp_path)
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(ROOT / "configs/defect_yolox.py")!r}\n'
        'train_dataloader = dict(num_workers=0, persistent_workers=False)\n'
    )
    options = ['--batches', '2'] if command == 'check' else []
    typed = ['-m', 'mim', 'run', 'mmdefect', command, config, *options]
    out = run(installed, *typed, cwd=tmp_path)
    assert f'{installed.parents[1]}/' in out  # not the checkout's
    assert said in out


@pytest.mark.skipif(
    os.environ.get('MMDEFECT_STACK') == 'onedl',
    reason="OneDL's mim looks for a package where its RECORD begins: in bin/",
)
def test_mim_search_lists_the_ready_configs(installed, tmp_path):
    said = run(installed, '-m', 'mim', 'search', 'mmdefect', cwd=tmp_path)
    ready = {path.stem for path in ROOT.glob('configs/*.py')}
    assert set(re.findall(r'config id: (\w+)', said)) == ready


def page(wheel):
    """What the registry's page shows."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [n for n in archive.namelist() if n.endswith('/METADATA')]
        return Parser().parsestr(archive.read(path).decode())


def test_the_page_of_the_registry_is_the_readme_without_dead_links(wheel):
    # The page knows no files: only a picture, whose words stand in for it.
    shown = page(wheel).get_payload()
    links = re.findall(r'(?<!!)\[[^]]*\]\(([^)]*)\)', shown)
    assert links
    assert all(link.startswith('https:') for link in links)
    assert shown.strip() == (ROOT / 'README.md').read_text().strip()


def test_the_wheel_holds_the_package_and_real_configs_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            name = info.filename.replace('mmdefect/.mim/', '')
            if name in CONFIGS:  # no symbolic link, which would end in the checkout
                assert archive.read(info) == (ROOT / name).read_bytes()
        names = archive.namelist()
    sources = (ROOT / 'mmdefect').rglob('*.py')
    package = {path.relative_to(ROOT).as_posix() for path in sources}
    package |= {'mmdefect/py.typed', 'mmdefect/review/page.html'}
    package.add('mmdefect/.mim/model-index.yml')
    package |= {*(f'mmdefect/.mim/{name}' for name in CONFIGS)}
    package |= {*(f'mmdefect/.mim/tools/{name}.py' for name in COMMANDS)}
    assert {name for name in names if '.dist-info/' not in name} == package


def test_no_stack_is_forced_upon_the_user(wheel):
    metadata = page(wheel)
    requires = metadata.get_all('Requires-Dist')
    hard = {line for line in requires if 'extra ==' not in line}
    assert hard == {'numpy', 'torch'}
    extras = set(metadata.get_all('Provides-Extra'))
    assert {'openmmlab', 'onedl', 'tools', 'dev'} <= extras
    assert metadata['Requires-Python'] == '>=3.8'
    assert metadata['Description-Content-Type'] == 'text/markdown'


TYPED = """
from typing import Any
from mmdefect import {names}

def batches(dataset: Any) -> QuotaBatchSampler:
    sampler = DefectPoolSampler(dataset, seed=0)
    return QuotaBatchSampler(sampler, batch_size=8, quota=dict(crack=2))

print(len(batches([])), *batches([]), QuotaScheduleHook(milestones=[(0, 3), (9, None)]))
QuotaBatchSampler(batches([]).sampler, '8', quota=3)  # type: ignore[arg-type]
"""


def test_a_user_who_checks_types_has_those_of_the_public_api(wheel, tmp_path):
    run(sys.executable, '-m', 'venv', '--without-pip', 'venv', cwd=tmp_path)
    (site,) = tmp_path.glob('venv/lib/python3*/site-packages')
    zipfile.ZipFile(wheel).extractall(site)
    names = ', '.join(mmdefect.__all__)
    (tmp_path / 'user.py').write_text(TYPED.format(names=names))
    options = ['--strict', '--python-executable', tmp_path / 'venv/bin/python']
    said = run(sys.executable, '-m', 'mypy', *options, 'user.py', cwd=tmp_path)
    assert said.startswith('Success')


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / '.git').exists(), reason='no git checkout')
def test_a_fresh_clone_installs_into_an_empty_environment(tmp_path):
    run('git', 'clone', '-q', ROOT, 'clone', cwd=tmp_path)
    run(sys.executable, '-m', 'venv', 'venv', cwd=tmp_path)
    python = tmp_path / 'venv/bin/python'
    # Isolated: pip gets what builds it. torch itself would take minutes.
    run(python, '-m', 'pip', '-q', 'install', '--no-deps', './clone', cwd=tmp_path)
    shown = run(python, '-m', 'pip', 'show', '-f', 'mmdefect', cwd=tmp_path)
    for name in CONFIGS:
        assert f'mmdefect/.mim/{name}\n' in shown
    result = subprocess.run(
        [python, '-c', 'import mmdefect'], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.stderr.splitlines()[-1].startswith('ImportError: mmdefect needs MM')
