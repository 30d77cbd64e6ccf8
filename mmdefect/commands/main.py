"""The command ``mmdefect``: lists its commands, finds the one that is typed, runs it.

Nothing that takes seconds to import is imported before a command has work to do.
"""

from __future__ import annotations

import os
import sys
import traceback
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple, Sequence

from mmdefect.analysis.errors import UnusableError
from mmdefect.commands.command_line import quiet_interruptions
from mmdefect.commands.screen import print_anywhere
from mmdefect.version import __version__


class Command(NamedTuple):
    """What a command does, in one line, and the modules that it cannot do without."""

    summary: str
    needs: tuple = ()


HELP = ('-h', '--help')
STACK = ('mmengine', 'mmcv', 'mmdet')
COMMANDS = {
    'check': Command('find what breaks the quota, before training', (*STACK, 'rich')),
    'inspect': Command(
        'show the pools, and what each quota means', (*STACK, 'rich', 'matplotlib')
    ),
    'browse': Command(
        'draw the batches that training sees', (*STACK, 'rich', 'matplotlib')
    ),
    'compare': Command(
        'train with several samplers, and compare them',
        (*STACK, 'rich', 'matplotlib', 'scipy'),
    ),
    'plot': Command('draw what the logs of training runs say', ('matplotlib',)),
    'review': Command(
        'judge a trained detector: may we ship it?',
        (*STACK, 'rich', 'matplotlib', 'scipy', 'jinja2'),
    ),
    'show': Command(
        'draw the detections of a trained run', (*STACK, 'rich', 'matplotlib')
    ),
    'stock': Command('write a config without its quota, to compare with', STACK),
    'configs': Command('copy the ready configs into a directory'),
    'env': Command('print what a bug report needs'),
}


def usage() -> str:
    """The commands, a line each."""
    width = max(map(len, COMMANDS))
    return '\n'.join(
        [
            'usage: mmdefect COMMAND ...',
            '',
            'A fixed number of defect images in every batch, for MMDetection.',
            '',
            *(f'  {name:{width}}  {c.summary}' for name, c in COMMANDS.items()),
            '',
            'mmdefect COMMAND --help tells the options, and has an example.',
            'mmdefect --version tells the version.',
            'Exit status: 0 done, 1 something found or not met, 2 it cannot be run.',
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    print_anywhere()
    try:
        try:
            return _main(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever reads has seen enough. Python flushes once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _main(argv: Sequence[str]) -> int:
    name, *rest = argv or ['--help']
    if name in HELP:
        print(usage())
        return 0
    if name == '--version':
        print(f'mmdefect {__version__}')
        return 0
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f'did you mean {near[0]}?' if near else 'mmdefect --help lists them'
        return _wrong_use('mmdefect', f'there is no command {name}; {hint}')
    quiet_interruptions()
    return run_command(name, rest)


def run_command(name: str, argv: Sequence[str]) -> int:
    """Run one command."""
    prog = f'mmdefect {name}'
    lacking = [need for need in COMMANDS[name].needs if find_spec(need) is None]
    if lacking and not set(HELP) & set(argv):
        return _wrong_use(prog, missing(lacking))
    module = import_module(f'mmdefect.commands.{name}')
    args = module.parse_args(argv)
    try:
        return module.run(args)
    except (UnusableError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _wrong_use(prog, str(error))
    except Exception:  # Python would end with 1, which says that something was found
        traceback.print_exc()
        return 2


def missing(modules: Sequence[str]) -> str:
    """Say what to install."""
    extras = dict.fromkeys('openmmlab' if m in STACK else 'tools' for m in modules)
    other = ', or onedl in place of openmmlab' if 'openmmlab' in extras else ''
    command = f"pip install 'mmdefect[{','.join(extras)}]'"
    return f'needs {", ".join(modules)}: {command}{other}'


def _wrong_use(prog: str, message: str) -> int:
    print(f'{prog}: error: {" ".join(message.split())}', file=sys.stderr)
    return 2
