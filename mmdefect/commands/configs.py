"""Copy the ready configs into a directory, to be edited there.

Writes DIR/configs. A file that is there already is never written over: then nothing
is copied.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Sequence

import mmdefect
from mmdefect.analysis.errors import UnusableError
from mmdefect.commands.command_line import Parser


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        prog='mmdefect configs',
        description=__doc__,
        epilog='example:\n  mmdefect configs .',
    )
    parser.add_argument('dir', type=Path, metavar='DIR', help='where configs/ goes')
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Copy them."""
    package = Path(mmdefect.__path__[0])
    source = package / '.mim/configs'
    if not source.is_dir():  # a checkout, which has them at its top
        source = package.parent / 'configs'
    files = sorted(path.relative_to(source) for path in source.rglob('*.py'))
    target = args.dir / 'configs'
    there = [str(target / file) for file in files if (target / file).exists()]
    if there:
        more = f' and {len(there) - 1} more' if len(there) > 1 else ''
        raise UnusableError(
            f'{there[0]}{more} would be written over: move it away, or name another DIR'
        )
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, target / file)
    print(f'{target}: {len(files)} configs. Edit the top of one, then check it:')
    print(f'  mmdefect check {target / "defect_yolox.py"}')
    return 0
