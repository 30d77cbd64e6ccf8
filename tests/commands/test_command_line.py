"""What all commands promise: one line on wrong use, progress, whole files."""

from __future__ import annotations

import importlib
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest
from runner_configs import ROOT

from mmdefect.commands import command_line
from mmdefect.commands.main import COMMANDS, main

TOOLS = [
    path.stem
    for path in sorted(ROOT.glob('tools/*.py'))
    if 'import Parser' in path.read_text()
]
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(ROOT)}
QUIET = 'from mmdefect.commands import command_line; command_line.quiet_interruptions()'


def python(code, **options):
    return subprocess.Popen(
        [sys.executable, '-c', code],
        **{'env': ENVIRONMENT, 'text': True, 'stderr': subprocess.PIPE, **options},
    )


def call(kind, name, *arguments):
    if kind == 'command':
        return main([name, *arguments])
    return importlib.import_module(name).main([*arguments])


EVERY = [('tool', name) for name in TOOLS] + [('command', name) for name in COMMANDS]


@pytest.mark.parametrize(('kind', 'name'), EVERY)
def test_every_help_has_an_example_and_fits_80_columns(kind, name, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    with pytest.raises(SystemExit, match='0'):
        call(kind, name, '--help')
    out = capsys.readouterr().out
    typed = f'mmdefect {name}' if kind == 'command' else f'python tools/{name}.py'
    assert re.search(rf'^ *examples?:\s+{re.escape(typed)}', out, re.M | re.I)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(('kind', 'name'), EVERY)
def test_a_wrong_option_is_told_in_one_line(kind, name, capsys):
    with pytest.raises(SystemExit, match='2'):
        call(kind, name, '--no-such-option')
    out, err = capsys.readouterr()
    assert out == ''
    assert err.count('\n') == 1
    assert 'error: ' in err


def test_the_tools_are_found():
    assert len(TOOLS) > 3


def options(*typed):
    parser = command_line.Parser()
    command_line.add_cfg_options(parser)
    return parser.parse_args(['--cfg-options', *typed]).cfg_options


def test_settings_are_read_as_mmengine_reads_them():
    assert options('a.b=2', 'c=[1,2]') == {'a.b': 2, 'c': [1, 2]}


@pytest.mark.parametrize('typed', ['quota', 'q={pit:[1,dent:2}', "p={'h':[1,2]}"])
def test_a_typing_error_in_settings_costs_a_line_and_no_traceback(typed, capsys):
    with pytest.raises(SystemExit, match='2'):
        options(typed)
    assert 'expected KEY=VALUE' in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_while_modules_are_imported_is_quiet(number):
    code = f'{QUIET}; import time; print("ready", flush=True); time.sleep(60)'
    process = python(code, stdout=subprocess.PIPE)
    assert process.stdout.readline() == 'ready\n'
    process.send_signal(number)
    assert process.communicate(timeout=30)[1] == ''
    assert process.returncode == -signal.SIGINT  # 130, as a shell says it


def test_any_other_error_is_still_told():
    process = python(f'{QUIET}; 1 / 0')
    assert 'ZeroDivisionError' in process.communicate(timeout=30)[1]
    assert process.returncode == 1


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 1000, 4))  # an item every four seconds
    monkeypatch.setattr(time, 'monotonic', lambda: next(clock))
    assert list(command_line.progress('abcdefgh', 'reading')) == [*'abcdefgh']
    out, err = capsys.readouterr()
    assert out == ''
    assert err == (
        'reading: 2 of 8, about 36 s left\nreading: 5 of 8, about 14 s left\n'
    )


PROGRESS = """
import sys, time
from mmdefect.commands.command_line import progress
for item in progress(range(6), 'reading'):
    time.sleep(0.3)
    print('item', item)
"""


def test_on_a_terminal_progress_has_the_time_left_and_output_its_file(tmp_path):
    ours, theirs = pty.openpty()
    with open(tmp_path / 'out.txt', 'w') as file:
        process = python(
            PROGRESS,
            stdout=file,
            stderr=theirs,
            env={**ENVIRONMENT, 'TERM': 'xterm', 'COLUMNS': '80'},
        )
        os.close(theirs)
        shown = b''
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            shown += part
    assert process.wait(timeout=30) == 0
    assert re.search(rb'reading.*%.*0:00:0\d', shown)
    assert b'item' not in shown
    assert (tmp_path / 'out.txt').read_text().splitlines() == [
        f'item {n}' for n in range(6)
    ]
