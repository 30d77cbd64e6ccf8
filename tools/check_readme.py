"""Run the commands of the four READMEs, as written, on a small data set.

Works on a copy of the project in a temporary directory. What cannot run on one
machine without a GPU, and what has a placeholder such as CONFIG in it, is compared
with the help of its program instead: each option has to exist. CHECKS says which is
done with what; a command that it does not know fails.

Exit status: 0 all work, 1 some do not, 2 wrong use.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator, NamedTuple

from mmdefect.commands.command_line import Parser

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 1800  # seconds a command may take
MAKE_DATA = 'python tools/make_dataset.py data/synthetic'
SMALL = '--train 60 --val 20'
READMES = ('README.md', 'configs/README.md', 'mmdefect/README.md', 'tools/README.md')


class Command(NamedTuple):
    """A command of a README.

    Args:
        readme (str): In which it stands.
        line (int): Where.
        text (str): What a user copies, on one line.
    """

    readme: str
    line: int
    text: str


class Check(NamedTuple):
    r"""How the commands that match a pattern are checked.

    Args:
        pattern (str): Matches the whole command.
        helps (tuple[str, ...]): Commands whose help has to know each option of it; a
            ``\1`` is the first group of the pattern. Empty: the command is run.
        extra (str): What is appended to a command that is run.
        before (str): What is run before it, in the same shell.
    """

    pattern: str
    helps: tuple = ()
    extra: str = ''
    before: str = ''


MMDET_TRAIN = (
    "python \"$(python -c 'import mmdet, os; print(os.path.dirname(mmdet.__file__))')"
    '/.mim/tools/train.py" --help'
)
INSTALL = '--no-deps --no-build-isolation --no-index --target installed'
PLACEHOLDER = r'\b(CONFIG|DIR|OUT|WORK_DIR)\b'
# The first that matches is taken.
CHECKS = [
    # Neither can run inside itself.
    Check(r'bash tools/test\.sh.*', helps=('bash tools/test.sh --help',)),
    Check(
        r'python tools/check_readme\.py.*', helps=('python tools/check_readme.py -h',)
    ),
    Check(r'mim train mmdetection\b.*', helps=('mim train --help', MMDET_TRAIN)),
    # Several GPUs, or several machines.
    Check(r'mim train .*--launcher.*', helps=('mim train --help', MMDET_TRAIN)),
    Check(r'torchrun --nnodes=2 .*', helps=('torchrun --help', MMDET_TRAIN)),
    # It finds nothing in this environment, where mmdefect is not copied to its place.
    Check(r'mim run mmdefect', helps=('mim run --help',)),
    # Into a directory of its own: the environment stays as it is.
    Check(r"pip install '?\.(\[[\w,]+\])?'?", extra=INSTALL),
    Check(r'mmdefect env'),
    # A name, or something to fill in.
    Check(rf'mmdefect (\w+)( .*{PLACEHOLDER}.*)?', helps=(r'mmdefect \1 --help',)),
    # Everything else runs as it stands.
    Check(r'mim (train|test) .*'),
    # A directory of its own: one rank refuses to go on with what two ranks wrote.
    Check(
        r'(\w+=\S* )*torchrun --nproc_per_node=2 .*',
        extra='--work-dir work_dirs/two_ranks',
    ),
    # As written it measures for long.
    Check(
        r'python tools/benchmark_resume\.py configs/defect_yolox\.py',
        extra='--iterations 20 --repeats 1',
    ),
    Check(
        r'mmdefect compare .*--iters .*',
        extra='--iters 4 --val-interval 4 --seeds 1 --batches 20',
    ),
    Check(r'bash tools/quickstart\.sh.*'),
    # It never writes over a file that is there.
    Check(r'mmdefect configs \.', before='mkdir away && cd away'),
    Check(r'(python -m )?mmdefect( .*)?'),
    Check(r'python program\d+\.py'),  # a Python block, as this tool names it
    Check(r'python tools/\w+\.py( .*)?'),
]
STARTS = ('bash tools/', 'python ', 'mmdefect ', 'mim ', 'pip install ')


# --- Reading -------------------------------------------------------------------------


def blocks(text: str, language: str) -> Iterator[tuple[int, str]]:
    """The fenced blocks in a language, with the lines that they begin on."""
    for match in re.finditer(rf'^```{language}\n(.*?)^```$', text, re.M | re.S):
        yield text[: match.start(1)].count('\n') + 1, match.group(1)


def read(readme: str) -> str:
    """The text of a README."""
    return (ROOT / readme).read_text(encoding='utf-8')


def commands(readme: str, text: str) -> list[Command]:
    """What a user can copy into a shell: blocks, and commands within a sentence."""
    found: dict[str, int] = {}
    for first, block in blocks(text, 'bash'):
        joined = re.sub(r'\\\n *', '\0', block)
        line = first
        for words in joined.splitlines():
            command = re.sub(r'(^|\s+)#.*$', '', words.replace('\0', '')).strip()
            if command:
                found.setdefault(command, line)
            line += 1 + words.count('\0')
    prose = re.sub(
        r'^```.*?^```$', lambda m: '\n' * m[0].count('\n'), text, flags=re.M | re.S
    )
    for match in re.finditer(r'`([^`]+)`', prose):
        command = ' '.join(match[1].split())
        if command.startswith(STARTS):
            found.setdefault(command, prose[: match.start()].count('\n') + 1)
    return sorted(Command(readme, line, command) for command, line in found.items())


def find_check(command: str) -> Check | None:
    """How a command is checked, or None where nobody has said so."""
    return next((c for c in CHECKS if re.fullmatch(c.pattern, command)), None)


def programs() -> dict[Command, str]:
    """Python blocks that are programs, not parts of configs, by how they are run."""
    found = [
        (readme, line, code)
        for readme in READMES
        for line, code in blocks(read(readme), 'python')
        if re.search(r'^(from|import) ', code, re.M)
    ]
    return {
        Command(readme, line, f'python program{number}.py'): code
        for number, (readme, line, code) in enumerate(found, 1)
    }


def everything() -> list[Command]:
    """All that the READMEs say, each command once."""
    found: dict[str, Command] = {}
    for readme in READMES:
        for command in commands(readme, read(readme)):
            found.setdefault(command.text, command)
    return [*found.values(), *programs()]


# --- Checking ------------------------------------------------------------------------


def copy_project(folder: Path) -> None:
    """Copy the project, with its environment and a quickstart on a small data set."""
    for name in ('mmdefect', 'configs', 'tools'):
        ignored = shutil.ignore_patterns('__pycache__')
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    for name in ('pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(ROOT / name, folder)
    # The environment that this runs in is the one that would be made.
    (folder / '.venv').symlink_to(sys.prefix)
    (folder / 'tools/setup_env.sh').write_text('exit\n')
    quickstart = folder / 'tools/quickstart.sh'
    text = quickstart.read_text()
    assert text.count(MAKE_DATA) == 1
    quickstart.write_text(text.replace(MAKE_DATA, f'{MAKE_DATA} {SMALL}'))


def environment(folder: Path) -> dict[str, str]:
    """What the commands run with."""
    return {
        **os.environ,
        'PATH': f'{folder}/.venv/bin{os.pathsep}{os.environ["PATH"]}',
        'PYTHONPATH': str(folder),
        'PYTHONWARNINGS': 'ignore',
        'OMP_NUM_THREADS': '1',
    }


def run(command: str, folder: Path) -> str | None:
    """Run a command: None, or the last lines of what it said when it failed."""
    process: Any = subprocess.Popen(
        ['bash', '-c', command],
        cwd=folder,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=LIMIT)
    except BaseException as error:
        os.killpg(process.pid, 9)
        if isinstance(error, subprocess.TimeoutExpired):
            return f'not finished after {LIMIT} s'
        raise
    return '\n'.join(said.splitlines()[-40:]) if process.returncode else None


def unknown_options(command: str, helps: tuple, folder: Path) -> str | None:
    """Compare the options of a command with what programs say that they take."""
    said = ''
    for program in helps:
        done = subprocess.run(
            ['bash', '-c', program],
            cwd=folder,
            env=environment(folder),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            return f'{program}: {done.stderr.strip()}'
        said += done.stdout
    # What is in quotes or brackets is meant for another program.
    plain = re.sub(r'\$\(.*?\)|\'[^\']*\'', '', command)
    options = {word.replace('_', '-') for word in re.findall(r'--[a-z][\w-]*', plain)}
    known = {word.replace('_', '-') for word in re.findall(r'--[a-z][\w-]*', said)}
    lacking = ', '.join(sorted(options - known))
    return f'{lacking}: not in the help of {"; ".join(helps)}' if lacking else None


def check(command: Command, folder: Path) -> str | None:
    """Check one command: None, or what is wrong."""
    how = find_check(command.text)
    if how is None:
        return 'CHECKS of tools/check_readme.py has no entry for it'
    if how.helps:
        match = re.fullmatch(how.pattern, command.text)
        helps = tuple(match.expand(text) for text in how.helps)  # type: ignore[union-attr]
        return unknown_options(command.text, helps, folder)
    before = f'{how.before} && ' if how.before else ''
    return run(f'{before}{command.text} {how.extra}', folder)


def main(argv: list | None = None) -> int:
    """Check the commands that the command line asks for."""
    parser = Parser(
        description=__doc__,
        epilog='examples:\n'
        '  python tools/check_readme.py\n'
        "  python tools/check_readme.py --skip 'quickstart|benchmark'",
    )
    add = parser.add_argument
    add('--only', metavar='REGEX', default='', help='commands that it is found in')
    add('--skip', metavar='REGEX', default='(?!)', help='none that it is found in')
    add('--list', action='store_true', help='tell what would be done, and stop')
    args = parser.parse_args(argv)
    try:
        only, skip = re.compile(args.only), re.compile(args.skip)
    except re.error as error:
        parser.error(f'{error.pattern!r} is no regular expression: {error}')
    todo = [
        command
        for command in everything()
        if only.search(command.text) and not skip.search(command.text)
    ]
    if args.list:
        for command in todo:
            how = find_check(command.text)
            told = 'UNKNOWN' if how is None else 'options' if how.helps else 'run'
            print(f'{command.readme}:{command.line:<4} {told:8} {command.text}')
        return 0
    try:
        with tempfile.TemporaryDirectory() as name:
            failed = check_all(todo, programs(), Path(name))
    except KeyboardInterrupt:
        return 130
    for command in failed:
        print(f'{command.readme}:{command.line} does not work: {command.text}')
    return int(bool(failed))


def check_all(todo: list[Command], codes: dict, folder: Path) -> list[Command]:
    """Check commands, and print how it goes.

    Args:
        todo (list[Command]): The commands.
        codes (dict[Command, str]): Those that are programs.
        folder (Path): An empty directory to work in.

    Returns:
        list[Command]: Those that do not work.
    """
    copy_project(folder)
    for program, code in codes.items():
        (folder / program.text.split()[-1]).write_text(code)
    failed = []
    data = Command('here', 0, f'{MAKE_DATA} {SMALL}')
    for number, command in enumerate([data, *todo]):
        where = f'{command.readme}:{command.line}'
        print(f'{number}/{len(todo)} {where}: {command.text}', flush=True)
        since = time.monotonic()
        error = check(command, folder)
        seconds = time.monotonic() - since
        print(f'    {"FAILED" if error else "ok"} ({seconds:.0f} s)')
        if error:
            failed.append(command)
            print(re.sub('^', '    | ', error, flags=re.M))
    return failed


if __name__ == '__main__':
    sys.exit(main())
