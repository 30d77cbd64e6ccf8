"""The command ``mmdefect`` itself: quick to answer, and never a traceback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from runner_configs import ROOT

import mmdefect
from mmdefect.commands.main import COMMANDS, STACK, main

# What pip writes for an entry of [project.scripts].
SCRIPT = 'import sys\nfrom mmdefect.commands.main import main\nsys.exit(main())\n'
HEAVY = {*STACK, 'torch', 'numpy', 'cv2', 'rich', 'matplotlib', 'sklearn'}
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'}


@pytest.fixture(scope='session')
def script(tmp_path_factory):
    """The command as a file, as it lies on a user's path."""
    path = tmp_path_factory.mktemp('bin') / 'mmdefect'
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def config(synthetic, tmp_path):
    """A ready config on the synthetic set, as a user would edit it."""
    path = tmp_path / 'config.py'
    path.write_text(
        f'_base_ = {str(ROOT / "configs/defect_yolox.py")!r}\n'
        'train_dataloader = dict(num_workers=0, persistent_workers=False, '
        f'dataset=dict(dataset=dict(data_root={f"{synthetic}/"!r})))\n'
    )
    return path


def python(*arguments, **options):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        **{
            'env': ENVIRONMENT,
            'capture_output': True,
            'text': True,
            'timeout': 120,
            **options,
        },
    )


# --- Finding a command ---------------------------------------------------------------


@pytest.mark.parametrize('typed', [[], ['--help'], ['-h']])
def test_alone_it_lists_its_commands_a_line_each(typed, capsys):
    assert main(typed) == 0
    out = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert re.search(rf'^  {name} +{re.escape(command.summary)}$', out, re.M)
    assert max(map(len, out.splitlines())) <= 80


def test_every_command_that_is_there_is_listed_and_reached_by_mim_as_well():
    sys.path.insert(0, str(ROOT))
    try:
        from tools import package_configs
    finally:
        sys.path.remove(str(ROOT))
    modules = ROOT.glob('mmdefect/commands/*.py')
    named = {path.stem for path in modules if 'prog=' in path.read_text()}
    assert named == set(package_configs.commands()) == set(COMMANDS)
    assert "main(['show', *sys.argv[1:]])" in package_configs.SCRIPT.format(name='show')


@pytest.mark.parametrize(
    ('typed', 'said'),
    [
        ('chek', 'there is no command chek; did you mean check?'),
        ('train', 'there is no command train; mmdefect --help lists them'),
        ('--hepl', 'there is no command --hepl; mmdefect --help lists them'),
    ],
)
def test_a_mistyped_command_is_told_in_one_line_with_the_nearest(typed, said, capsys):
    assert main([typed]) == 2
    assert capsys.readouterr() == ('', f'mmdefect: error: {said}\n')


def test_it_tells_its_version(capsys):
    assert main(['--version']) == 0
    assert capsys.readouterr().out == f'mmdefect {mmdefect.__version__}\n'


# --- Start-up ------------------------------------------------------------------------


def imported(*arguments):
    """Top-level modules that Python imports when started so."""
    result = python('-X', 'importtime', *arguments)
    names = re.findall(r'^import time:.*\| *([\w.]+)$', result.stderr, re.M)
    assert 'mmdefect.commands.main' in names, result.stderr
    return {name.partition('.')[0] for name in names}


TYPED = ['--help', '--version', 'chek', *(f'{name} --help' for name in COMMANDS)]


@pytest.mark.parametrize('typed', TYPED)
def test_help_comes_before_anything_heavy_is_imported(typed, script):
    assert not HEAVY & imported(script, *typed.split())


def test_as_a_module_of_python_it_is_as_quick():
    assert not HEAVY & imported('-m', 'mmdefect', 'check', '--help')


def test_help_takes_a_fraction_of_the_import_of_mmdet(script):
    def seconds(*arguments):
        begin = time.monotonic()
        assert python(*arguments).returncode == 0
        return time.monotonic() - begin

    seconds(script, 'check', '--help')  # from the disk
    assert seconds(script, 'check', '--help') < seconds('-c', 'import mmdet') / 2


# --- Registering ---------------------------------------------------------------------

ASK = """
from mmengine.registry import DATA_SAMPLERS
print(DATA_SAMPLERS.get('QuotaBatchSampler'))
"""
PROGRAMS = {
    'mypkg/__init__.py': 'import mmdefect',
    'mypkg/train.py': ASK,
    'mypkg/mmdefect.py': ASK,
    'mmdefect_train.py': f'import mmdefect{ASK}',
    'embedded.py': f'import sys; del sys.argv; import mmdefect{ASK}',
}


@pytest.mark.parametrize(
    'typed', ['-m mypkg.train', '-m mypkg.mmdefect', 'mmdefect_train.py', 'embedded.py']
)
def test_a_program_of_the_users_registers_by_importing(typed, tmp_path):
    (tmp_path / 'mypkg').mkdir()
    for name, text in PROGRAMS.items():
        (tmp_path / name).write_text(text)
    result = python(*typed.split(), cwd=tmp_path)
    assert 'QuotaBatchSampler' in result.stdout, result.stderr


def test_a_module_of_the_users_finds_all_classes_within_the_command_too(tmp_path):
    code = (
        'import mmdefect\n'
        'for name in mmdefect.__all__: assert getattr(mmdefect, name)\n'
        'from mmdefect import *\n'
        'assert QuotaBatchSampler is mmdefect.QuotaBatchSampler\n'
        "assert not hasattr(mmdefect, 'nothing')\n"
    )
    (tmp_path / 'mmdefect').write_text(code)  # the name of the command
    result = python(tmp_path / 'mmdefect')
    assert result.returncode == 0, result.stderr


# --- Mistakes, interruptions, pipes --------------------------------------------------


@pytest.mark.parametrize(
    ('typed', 'said'),
    [
        ('check nope.py', 'nope.py does not exist'),
        ('check configs/mine.py', '`mmdefect configs .` copies the ready configs'),
        ('inspect nope.py', 'nope.py does not exist'),
        ('browse nope.py', 'nope.py does not exist'),
        ('compare nope.py', 'nope.py does not exist'),
        ('stock nope.py out.py', 'nope.py does not exist'),
        ('plot nowhere', 'nowhere is no directory'),
        ('show nowhere', 'nowhere is no directory'),
        ('show empty', 'no config in empty: training writes one there'),
        ('configs file/here', 'file'),
        ('check broken.py', 'broken.py cannot be read: SyntaxError'),
        ('check file', 'file cannot be read'),
        ('check', 'the following arguments are required: CONFIG'),
    ],
)
def test_a_mistake_costs_a_line_and_no_traceback(
    typed, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'file').write_text('')
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken.py').write_text('model = dict(')
    try:
        status = main(typed.split())
    except SystemExit as stop:  # argparse
        status = stop.code
    out, err = capsys.readouterr()
    assert (status, out, err.count('\n')) == (2, '', 1)
    assert err.startswith(f'mmdefect {typed.split()[0]}: error: ')
    assert said in err


SLOW = """
import time
from pathlib import Path
from mmdet.registry import TRANSFORMS

@TRANSFORMS.register_module()
class Slow:
    def __call__(self, results):
        stop()
        return results

def stop():
    Path({ready!r}).touch()
    time.sleep(60)

{now}
"""


@pytest.mark.parametrize('now', ['stop()', ''], ids=['config', 'workers'])
def test_ctrl_c_ends_it_without_a_traceback(now, config, script, tmp_path):
    ready = tmp_path / 'ready'
    (tmp_path / 'slow_module.py').write_text(SLOW.format(ready=str(ready), now=now))
    lines = [
        "custom_imports = dict(imports=['mmdefect', 'slow_module'])",
        'train_dataloader = dict(num_workers=2, dataset=dict(dataset=dict('
        "pipeline=[dict(type='Slow')])))",
    ]
    (tmp_path / 'slow.py').write_text('\n'.join(["_base_ = 'config.py'", *lines]))
    process = subprocess.Popen(
        [sys.executable, script, 'check', 'slow.py'],
        cwd=tmp_path,
        env={**ENVIRONMENT, 'PYTHONPATH': f'{ROOT}{os.pathsep}{tmp_path}'},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not ready.exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # a terminal tells the workers as well
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, '', '')


@pytest.mark.parametrize(
    ('typed', 'reader', 'unbuffered'),
    [
        ('inspect CONFIG --json', 'head -1', ''),
        ('inspect CONFIG --json', 'true', '1'),
        ('inspect CONFIG', 'true', ''),
        ('--help', 'true', ''),
        ('--help', 'true', '1'),
        ('check --help', 'true', ''),
        ('check --help', 'true', '1'),
    ],
)
def test_who_reads_may_stop_reading(typed, reader, unbuffered, config, script):
    command = f'{sys.executable} {script} {typed} | {reader}'
    result = subprocess.run(
        ['bash', '-c', command.replace('CONFIG', str(config))],
        env={**ENVIRONMENT, 'PYTHONUNBUFFERED': unbuffered},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stderr == ''
    assert result.stdout == ('{\n' if reader == 'head -1' else '')


def test_a_reader_who_stops_does_not_make_check_say_that_it_found_something(
    config, script
):
    command = f'set -o pipefail; {sys.executable} {script} check {config} | true'
    result = subprocess.run(
        ['bash', '-c', command], env=ENVIRONMENT, capture_output=True, timeout=120
    )
    assert (result.returncode, result.stderr) == (141, b'')


@pytest.mark.parametrize('encoding', ['ascii', 'cp1252'])
@pytest.mark.parametrize('typed', ['compare --help', 'inspect CONFIG', 'check CONFIG'])
def test_every_terminal_shows_what_it_says(typed, encoding, config, script):
    result = subprocess.run(
        [sys.executable, script, *typed.replace('CONFIG', str(config)).split()],
        env={**ENVIRONMENT, 'PYTHONIOENCODING': encoding, 'COLUMNS': '40'},
        capture_output=True,
        timeout=120,
    )
    assert result.returncode < 2  # check may find something
    assert result.stderr == b''
    result.stdout.decode(encoding)


# --- What is not installed -----------------------------------------------------------

WITHOUT = """
import sys
from importlib.machinery import PathFinder

find = PathFinder.find_spec

def find_others(name, *rest):
    return None if name.partition('.')[0] in {hidden!r} else find(name, *rest)

PathFinder.find_spec = find_others
"""


def without(hidden, folder, *typed):
    """Call the command where some modules are not installed."""
    path = folder / 'mmdefect'
    path.write_text(WITHOUT.format(hidden=hidden) + SCRIPT)
    return python(path, *typed, cwd=folder)


STACKS = "'mmdefect[openmmlab]', or onedl in place of openmmlab"


@pytest.mark.parametrize(
    ('hidden', 'typed', 'said'),
    [
        (['rich'], 'check c.py', "needs rich: pip install 'mmdefect[tools]'"),
        (['matplotlib'], 'plot run', "needs matplotlib: pip install 'mmdefect[tools]'"),
        (['mmdet'], 'check c.py', f'needs mmdet: pip install {STACKS}'),
        (
            [*STACK],
            'stock c.py out.py --cfg-options a=1',
            f'needs mmengine, mmcv, mmdet: pip install {STACKS}',
        ),
        (
            ['mmdet', 'rich'],
            'inspect c.py',
            "needs mmdet, rich: pip install 'mmdefect[openmmlab,tools]', or onedl in "
            'place of openmmlab',
        ),
    ],
)
def test_what_is_missing_is_told_in_one_line_with_what_to_install(
    hidden, typed, said, tmp_path
):
    result = without(hidden, tmp_path, *typed.split())
    prog = f'mmdefect {typed.split()[0]}'
    assert result.stderr == f'{prog}: error: {said}\n'
    assert (result.returncode, result.stdout) == (2, '')


@pytest.mark.parametrize('name', COMMANDS)
def test_help_needs_nothing_but_the_package(name, tmp_path):
    result = without([*HEAVY], tmp_path, name, '--help')
    assert result.returncode == 0, result.stderr
    assert f'usage: mmdefect {name}' in result.stdout


@pytest.mark.parametrize(
    ('typed', 'hidden'),
    [
        # MMEngine and MMDetection bring rich and matplotlib.
        ('browse CONFIG --num 1', ['sklearn']),
        ('configs .', [*HEAVY]),
        ('env', [*HEAVY]),
    ],
)
def test_a_command_works_without_what_only_others_need(typed, hidden, config, tmp_path):
    result = without(hidden, tmp_path, *typed.replace('CONFIG', str(config)).split())
    assert (result.returncode, result.stderr) == (0, '')


def test_the_extra_brings_all_that_the_commands_need():
    text = (ROOT / 'pyproject.toml').read_text()
    (line,) = re.findall(r'^tools = (.*)$', text, re.M)
    tools = set(line.strip('[]"').split('", "'))
    assert tools == {need for c in COMMANDS.values() for need in c.needs} - {*STACK}


def test_an_error_of_its_own_is_not_taken_for_something_found(monkeypatch, capsys):
    def run(args):
        raise KeyError('a fault')

    monkeypatch.setattr('mmdefect.commands.check.run', run)
    assert main(['check', 'config.py']) == 2
    assert "KeyError: 'a fault'" in capsys.readouterr().err
