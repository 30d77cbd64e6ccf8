"""Merge the classes of COCO annotation files into one: is there a defect or not?

Writes each FILE into the folder DIR, under its own name: the same images and boxes, one
category. Ignored and crowd boxes stay what they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Sequence

from mmdefect.commands.command_line import Parser


def merged(coco: dict, name: str) -> dict:
    """The content of an annotation file, with one category."""
    boxes = [dict(box, category_id=1) for box in coco['annotations']]
    return dict(coco, annotations=boxes, categories=[dict(id=1, name=name)])


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__,
        epilog='example:\n'
        '  python tools/merge_classes.py one_class annotations/train.json \\\n'
        '      annotations/val.json',
    )
    parser.add_argument('dir', type=Path, metavar='DIR', help='where the result goes')
    parser.add_argument('files', type=Path, nargs='+', metavar='FILE')
    parser.add_argument(
        '--name', default='defect', help='of the one class (default: %(default)s)'
    )
    args = parser.parse_args(argv)
    for file in args.files:
        if (args.dir / file.name).exists():
            parser.error(f'{args.dir / file.name} exists; name another DIR')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool."""
    args = parse_args(argv)
    results = {}
    for file in args.files:
        try:
            results[file.name] = merged(json.loads(file.read_text('utf-8')), args.name)
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = f'{type(error).__name__}: {error}'
            print(f'{file} is no COCO annotation file: {said}', file=sys.stderr)
            return 2
    args.dir.mkdir(parents=True, exist_ok=True)
    for name, coco in results.items():
        (args.dir / name).write_text(json.dumps(coco), 'utf-8')
        boxes = len(coco['annotations'])
        print(f'{args.dir / name}: {boxes:,} boxes of one class')
    return 0


if __name__ == '__main__':
    sys.exit(main())
