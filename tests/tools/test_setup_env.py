"""The set-up, with everything real but the packages, which are tiny stand-ins.

They carry the pinned names and versions, so that a whole set-up takes seconds
and needs no network. The real packages are installed by every run of test.sh.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = (ROOT / 'tools' / 'setup_env.sh').read_text(encoding='utf-8')
VERSION = '{}.{}'.format(*sys.version_info)

pytestmark = pytest.mark.skipif(
    not (3, 10) <= sys.version_info < (3, 13) or sys.platform != 'linux',
    reason='the set-up is for Python 3.10 to 3.12 on Linux',
)


# --- a machine and a clone to run in ------------------------------------------


@pytest.fixture
def clone(tmp_path):
    """A clone whose path holds a space, as a user's may."""
    clone = tmp_path / 'my project'
    (clone / 'tools').mkdir(parents=True)
    for name in ('setup_env.sh', 'join_units.py', 'test.sh'):
        shutil.copy(ROOT / 'tools' / name, clone / 'tools')
    (clone / '.ci').mkdir()
    shutil.copy(ROOT / '.ci' / 'run', clone / '.ci')
    (clone / 'mmdefect').mkdir()
    (clone / 'mmdefect' / '__init__.py').write_text('"""Stands in."""\n')
    (clone / 'pyproject.toml').write_text(
        '[project]\nname = "mmdefect"\nversion = "0"\n'
        '[build-system]\nrequires = ["setuptools"]\n'
        'build-backend = "setuptools.build_meta"\n'
        '[tool.setuptools]\npackages = ["mmdefect"]\n'
        '[tool.mypy]\nfiles = ["mmdefect"]\n'
        '[tool.ruff.format]\nquote-style = "single"\n'
        '[tool.importlinter]\nroot_package = "mmdefect"\n'
        '[[tool.importlinter.contracts]]\nname = "Any"\ntype = "independence"\n'
        'modules = ["mmdefect"]\n'
    )
    return clone


class Machine:
    """A PATH, a home and a package source of its own."""

    def __init__(self, folder: Path):
        self.bin = folder / 'bin'
        self.bin.mkdir()
        for tool in Path('/usr/bin').iterdir():
            if not re.match(r'python|c\+\+', tool.name):
                (self.bin / tool.name).symlink_to(tool)
        self.packages = folder / 'packages'
        self.packages.mkdir()
        self.pip_log = folder / 'pip.log'
        self.environment = {
            'PATH': str(self.bin),
            'HOME': str(folder / 'home'),
            'PIP_CONFIG_FILE': os.devnull,
            'PIP_NO_INDEX': '1',
            'PIP_FIND_LINKS': self.packages.as_uri(),
            'PIP_CACHE_DIR': str(folder / 'cache'),
            'PIP_LOG': str(self.pip_log),
        }

    def add_python(self, name: str = 'python3', **modules: str):
        """An interpreter in which ``modules`` stand before the library's own."""
        library = self.bin.parent / f'{name}-modules'
        library.mkdir()
        for module, source in modules.items():
            (library / f'{module}.py').write_text(source)
        wrapper = self.bin / name
        wrapper.write_text(
            f'#!/bin/sh\nPYTHONPATH={library} exec {sys._base_executable} "$@"\n'
        )
        wrapper.chmod(0o755)

    def add_compiler(self):
        """One that is never called: the stand-ins have nothing to compile."""
        (self.bin / 'c++').symlink_to('/bin/false')

    def start(self, clone: Path, *arguments: str, **environment: str):
        return subprocess.Popen(
            ['bash', str(clone / 'tools' / 'setup_env.sh'), *arguments],
            cwd=clone.parent,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding='utf-8',
            start_new_session=True,
        )

    def run(self, clone: Path, *arguments: str, **environment: str):
        process = self.start(clone, *arguments, **environment)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def complete_machine(machine):
    """One on which the whole set-up succeeds."""
    machine.add_python()
    machine.add_compiler()
    for name in ('packaging', 'setuptools', 'wheel'):
        repack(machine.packages, name)
    nms = 'def nms(boxes, scores, iou_threshold):\n    return boxes, Tensor([0])\n'
    tensor = (
        'class Tensor(list):\n'
        '    def to(self, device): return self\n'
        '    def tolist(self): return self\n'
        'tensor = Tensor\n'
        'class cuda:\n    is_available = staticmethod(lambda: False)\n'
    )
    contents = {
        'torch': {
            'torch/__init__.py': tensor,
            'torch/utils/cpp_extension.py': 'CUDA_HOME = None\n',
        },
        'mmengine': {'cv2.py': '', 'mmengine.py': ''},
        'mmdet': {'mmdet.py': ''},
        'openmim': {'mim/cli.py': ''},
    }
    for name, version in pins():
        if name == 'mmcv':
            write_sdist(machine.packages, 'from torch import Tensor\n' + nms)
        elif name not in ('setuptools', 'wheel'):
            write_wheel(machine.packages, name, version, contents.get(name, {}))
    return machine


def pins():
    """Names and versions of what setup_env.sh installs for the default stack."""
    extras = re.search(r'EXTRAS=\((.*?)\)', SCRIPT, re.DOTALL).group(1).split()
    default = SCRIPT[: SCRIPT.index('  onedl)')]
    pinned = re.findall(r'([a-z]+)==([0-9.]+)', default)
    return pinned + [(name, '1.0') for name in ['ninja', 'psutil', *extras]]


def write_wheel(folder: Path, name: str, version: str, files: dict[str, str]):
    name = name.replace('-', '_')
    info = f'{name}-{version}.dist-info'
    requires = '' if name != 'torch' else 'Requires-Dist: packaging\n'
    files = {
        f'{info}/METADATA': f'Metadata-Version: 2.1\nName: {name}\n'
        f'Version: {version}\n{requires}',
        f'{info}/WHEEL': 'Wheel-Version: 1.0\nGenerator: test\n'
        'Root-Is-Purelib: true\nTag: py3-none-any\n',
        **files,
    }
    record = ''.join(f'{path},,\n' for path in [*files, f'{info}/RECORD'])
    wheel = folder / f'{name}-{version}-py3-none-any.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        for path, text in {**files, f'{info}/RECORD': record}.items():
            archive.writestr(path, text)


def repack(folder: Path, name: str):
    """Makes a wheel again of an installed pure Python package."""
    package = distribution(name)
    wheel = folder / f'{name}-{package.version}-py3-none-any.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        for file in package.files or ():
            if '..' not in file.parts and '__pycache__' not in file.parts:
                archive.write(file.locate(), str(file))


def write_sdist(folder: Path, ops: str):
    """An mmcv that, built while BREAK_OPS is set, is of no use to this torch."""
    setup = (
        'import os\nfrom pathlib import Path\nfrom setuptools import setup\n'
        f'ops = {ops!r}\n'
        'Path("mmcv").mkdir(exist_ok=True)\n'
        'Path("mmcv/__init__.py").touch()\n'
        'Path("mmcv/_ext.py").touch()\n'
        'broken = "BREAK_OPS" in os.environ\n'
        'Path("mmcv/ops.py").write_text("undefined_symbol" if broken else ops)\n'
        'setup(name="mmcv", version="2.1.0", packages=["mmcv"])\n'
    )
    metadata = 'Metadata-Version: 2.1\nName: mmcv\nVersion: 2.1.0\n'
    with tarfile.open(folder / 'mmcv-2.1.0.tar.gz', 'w:gz') as archive:
        for name, text in {'setup.py': setup, 'PKG-INFO': metadata}.items():
            member = tarfile.TarInfo(f'mmcv-2.1.0/{name}')
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


def kill(process):
    """What a power switch does: the script and all its children, at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


# --- what the user is told ----------------------------------------------------


@pytest.mark.parametrize('arguments', [['openmlab'], ['onedl', 'openmmlab']])
def test_wrong_use_is_one_line_and_exit_2(machine, clone, arguments):
    code, output = machine.run(clone, *arguments)
    assert code == 2
    assert output.count('\n') == 1
    assert 'setup_env.sh [openmmlab|onedl]' in output


def test_too_old_python_names_the_versions_needed(machine, clone):
    machine.add_python(sitecustomize='import sys; sys.version_info = (3, 9, 18)')
    code, output = machine.run(clone)
    assert code == 1
    assert '3.10 to 3.12' in output
    assert 'PYTHON=' in output


def test_first_usable_python_on_the_path_is_taken(machine, clone):
    machine.add_python(sitecustomize='import sys; sys.version_info = (3, 9, 18)')
    machine.add_python('python3.11')
    _, output = machine.run(clone)
    assert str(machine.bin / 'python3.11') in output


def test_everything_lacking_is_named_before_anything_long(machine, clone):
    machine.add_python(
        ensurepip='raise ImportError',
        sitecustomize='import sysconfig; sysconfig.get_path = lambda name: "/lacking"',
    )
    code, output = machine.run(clone)
    assert code == 1
    install = (
        f'apt-get install python{VERSION}-venv build-essential python{VERSION}-dev'
    )
    assert install in output
    assert not (clone / '.venv').exists()


def test_somebody_elses_environment_is_left_alone(machine, clone):
    machine.add_python()
    machine.add_compiler()
    (clone / '.venv').mkdir()
    (clone / '.venv' / 'precious').touch()
    code, output = machine.run(clone)
    assert code == 1
    assert 'pip install .' in output
    assert [path.name for path in (clone / '.venv').iterdir()] == ['precious']


def test_failed_step_shows_the_log_and_its_path(machine, clone):
    machine.add_python()
    machine.add_compiler()
    code, output = machine.run(clone)  # its package source is empty
    assert code == 1
    assert 'No matching distribution found for torch==2.13.0' in output
    log = re.search(r'log: (/.*)', output).group(1)
    assert 'torch==2.13.0' in Path(log).read_text()


def test_users_pip_settings_decide_where_packages_come_from():
    scripts = [*(ROOT / 'tools').glob('*.sh'), ROOT / '.ci' / 'run']
    for script in scripts:
        text = script.read_text(encoding='utf-8')
        assert not re.search(r'://|index.url|find.links|pypi', text, re.I), script


# --- a whole set-up -----------------------------------------------------------


def test_second_run_calls_no_pip(complete_machine, clone):
    code, output = complete_machine.run(clone)
    assert code == 0, output
    complete_machine.pip_log.unlink()
    started = time.monotonic()
    code, output = complete_machine.run(clone)
    assert time.monotonic() - started < 5
    assert code == 0, output
    assert not complete_machine.pip_log.exists()
    assert output.splitlines() == ['.venv is ready (torch==2.13.0, mmcv==2.1.0)']


@pytest.mark.slow
@pytest.mark.parametrize('built', [None, 'mmcv==2.1.0 -g0\n'])
def test_environment_with_slow_ops_is_noticed_and_gets_fast_ones(
    complete_machine, clone, built
):
    assert complete_machine.run(clone)[0] == 0
    shutil.rmtree(complete_machine.environment['PIP_CACHE_DIR'])
    note = clone / '.venv' / 'mmcv-build'
    note.unlink() if built is None else note.write_text(built)
    code, output = complete_machine.run(clone)
    assert code == 0, output
    assert 'mmcv is there, but nothing says that it was built with -O3' in output
    assert 'Building mmcv==2.1.0' in output
    assert 'Making .venv' not in output
    assert note.read_text().startswith('mmcv==2.1.0 -O3 -g0\n')


@pytest.mark.slow
def test_surroundings_of_another_environment_do_no_harm(complete_machine, clone):
    foreign = clone.parent / 'foreign'
    (foreign / 'torch').mkdir(parents=True)
    (foreign / 'torch' / '__init__.py').write_text('raise SystemExit(1)')
    surroundings = {
        'VIRTUAL_ENV': '/nowhere',
        'PYTHONPATH': str(foreign),
        'PYTHONHOME': '/nowhere',
        'PIP_USER': '1',
        'PIP_TARGET': str(foreign),
        'CDPATH': '/',
    }
    code, output = complete_machine.run(clone, **surroundings)
    assert code == 0, output
    assert [path.name for path in foreign.iterdir()] == ['torch']


@pytest.mark.slow
def test_ops_built_for_another_torch_are_built_again(complete_machine, clone):
    code, output = complete_machine.run(clone, BREAK_OPS='1')
    assert code == 1  # the second build is broken too
    assert "Failed: Calling mmcv's compiled ops" in output
    shutil.rmtree(clone / '.venv')
    shutil.rmtree(clone / '.venv-setup')
    code, output = complete_machine.run(clone)  # pip's cache holds the broken one
    assert code == 0, output
    assert 'building them again' in output


@pytest.mark.slow
def test_killed_at_any_moment_and_continued(complete_machine, clone):
    log = clone / '.venv-setup' / 'openmmlab' / 'log'

    def logged(text):
        return lambda: log.exists() and text in log.read_text()

    moments = [
        (clone / '.venv' / 'pyvenv.cfg').exists,
        logged('Making'),
        (clone / '.venv' / 'bin' / 'pip').exists,
        logged('Installing collected packages: '),
        logged('Building mmcv'),
        logged('Installing mmcv'),
        logged('Calling'),
        logged('Importing'),
    ]
    for moment in moments:
        log.unlink(missing_ok=True)
        process = complete_machine.start(clone)
        wait_for(moment, process)
        kill(process)
    code, output = complete_machine.run(clone)
    assert code == 0, output
    pip = [clone / '.venv' / 'bin' / 'python', '-m', 'pip']
    subprocess.run([*pip, 'check'], check=True)


@pytest.mark.slow
def test_half_written_package_is_not_taken_for_installed(complete_machine, clone):
    files = {f'mmdet/{number}.txt': '' for number in range(5000)}
    files['mmdet/__init__.py'] = ''
    write_wheel(complete_machine.packages, 'mmdet', '3.3.0', files)
    site = clone / '.venv' / 'lib' / f'python{VERSION}' / 'site-packages'
    process = complete_machine.start(clone)
    wait_for((site / 'mmdet-3.3.0.dist-info' / 'METADATA').exists, process)
    kill(process)
    assert not (site / 'mmdet' / '__init__.py').exists()
    code, output = complete_machine.run(clone)
    assert code == 0, output
    assert (site / 'mmdet' / '__init__.py').exists()


@pytest.mark.slow
def test_pip_that_outlives_its_script_is_waited_for(complete_machine, clone):
    process = complete_machine.start(clone)
    log = clone / '.venv-setup' / 'openmmlab' / 'log'
    wait_for(lambda: log.exists() and 'Looking in links' in log.read_text(), process)
    process.kill()  # this one process only
    code, output = complete_machine.run(clone)
    assert code == 0, output
    assert 'Waiting for another set-up' in output


@pytest.mark.slow
def test_failed_download_keeps_what_was_installed(complete_machine, clone):
    (mmdet,) = complete_machine.packages.glob('mmdet-*')
    hidden = mmdet.rename(mmdet.with_suffix('.hidden'))
    code, output = complete_machine.run(clone)
    assert code == 1
    assert 'Failed: Installing mmengine, mmdet and mim' in output
    hidden.rename(mmdet)
    code, output = complete_machine.run(clone)
    assert code == 0, output
    assert 'Installing torch' not in output


@pytest.mark.slow
def test_two_runs_at_once_share_one_environment(complete_machine, clone):
    both = [complete_machine.start(clone) for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum('Waiting for another' in output for output in outputs) == 1
    assert sum('Making .venv' in output for output in outputs) == 1


@pytest.mark.slow
def test_moved_project_is_set_up_anew(complete_machine, clone):
    assert complete_machine.run(clone)[0] == 0
    moved = clone.rename(clone.with_name('moved'))
    code, output = complete_machine.run(moved)
    assert code == 0, output
    activate = (moved / '.venv' / 'bin' / 'activate').read_text()
    assert str(moved) in activate


# --- mmcv, as it was built here -----------------------------------------------

BUILT = Path(sys.prefix) / 'mmcv-build'
here = pytest.mark.skipif(not BUILT.exists(), reason='not made by setup_env.sh')


@here
def test_ops_are_built_with_optimization():
    flags = [line for line in BUILT.read_text().splitlines() if 'cflags' in line]
    assert flags
    assert all(re.search(r' -O[23]\b', line) for line in flags), flags


@here
@pytest.mark.slow
def test_ops_take_no_longer_than_optimized_ones_do():
    """Without -O3 NMS takes 3.3 times as long, RoIAlign 2.8 times."""
    import torch
    from mmcv.ops import nms, roi_align

    torch.manual_seed(0)
    corners, scores = torch.rand(2000, 2) * 1000, torch.rand(2000)
    boxes = torch.cat([corners, corners + torch.rand(2000, 2) * 60 + 10], 1)
    starts = torch.rand(256, 2) * 30
    parts = [torch.zeros(256, 1), starts, starts + torch.rand(256, 2) * 40 + 5]
    rois, image = torch.cat(parts, 1), torch.rand(1, 64, 80, 80)
    ordered, wanted = torch.rand(100_000).sort().values, torch.rand(100_000)
    work = {
        'torch': lambda: torch.searchsorted(ordered, wanted),
        'nms': lambda: nms(boxes, scores, 0.5),
        'roi_align': lambda: roi_align(image, rois, (7, 7), 1.0, 2),
    }
    times = {name: [] for name in work}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for _ in range(21):
        for name, run in work.items():
            begin = time.process_time()
            run()
            times[name].append(time.process_time() - begin)
    torch.set_num_threads(threads)
    # A search in order is torch's own, and as these runs a number at a time. The least
    # of 12 runs with -O3: 0.84 to 0.86 and 2.27 to 2.33 of it.
    least = {name: min(spent[1:]) for name, spent in times.items()}
    assert least['nms'] / least['torch'] < 1.2 * 0.85, least
    assert least['roi_align'] / least['torch'] < 1.2 * 2.3, least


# --- the tests' own command ---------------------------------------------------


@pytest.mark.parametrize(
    ('source', 'closing', 'succeeds'),
    [
        ('def test_it():\n    pass\n', '4 passed', True),
        ('def test_it():\n    raise ValueError\n', '1 failed, 3 passed', False),
        ('raise ImportError\n', '1 error', False),
    ],
)
def test_ci_ends_with_the_closing_line_of_pytest(clone, source, closing, succeeds):
    (clone / 'tools' / 'setup_env.sh').write_text('')
    for folder in ('configs', 'tests'):
        (clone / folder).mkdir()
    for environment in ('.venv', '.venv-onedl'):
        (clone / environment).symlink_to(sys.prefix)
    (clone / 'tests' / 'samplers').mkdir()
    for name in ('package', 'samplers/samplers', 'runner'):
        folder, _, name = name.rpartition('/')
        path = clone / 'tests' / folder / f'test_{name}.py'
        path.write_text(f'def test_{name}():\n    pass\n')
    (clone / 'tests' / 'test_it.py').write_text(source)
    run = subprocess.run(
        ['bash', str(clone / '.ci' / 'run')],
        capture_output=True,
        encoding='utf-8',
        check=False,
    )
    assert (run.returncode == 0) is succeeds, run.stdout + run.stderr
    assert closing in run.stdout.splitlines()[-1]
