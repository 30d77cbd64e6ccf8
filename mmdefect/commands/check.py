"""Find what breaks a quota of defect images in a config, before training.

First it looks for what silently breaks a quota: where it stands, why, and the fix.
Then it runs real batches through the real dataloader and counts which of the drawn
defect images still show their defect when they reach the model.

Exit status: 0 nothing found, 1 something found, 2 the config cannot be run.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Iterator, Sequence

from mmdefect.commands.command_line import Parser, add_cfg_options, percent_of, progress
from mmdefect.commands.screen import screen, table

if TYPE_CHECKING:
    from rich.console import Console

    from mmdefect.delivery.delivered import Delivery


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        prog='mmdefect check',
        description=__doc__,
        epilog='example:\n  mmdefect check configs/defect_yolox.py',
    )
    parser.add_argument('config', metavar='CONFIG', help='the config file')
    parser.add_argument(
        '--batches',
        type=int,
        default=200,
        metavar='N',
        help='batches to run, 0 for none (default: %(default)s)',
    )
    add_cfg_options(parser)
    parser.add_argument('--json', action='store_true', help='print JSON')
    args = parser.parse_args(argv)
    if args.batches < 0:
        parser.error(f'--batches {args.batches}: expected 0 or more')
    return args


def show(config: str, findings: list, delivery: Delivery | None) -> None:
    """Print everything for a reader."""
    from rich.table import Table
    from rich.text import Text

    console = screen()
    for finding in findings:
        kind = '[bold red]finding[/]' if finding.breaks else '[bold yellow]note[/]'
        console.print(f'{kind} [bold]{finding.where}[/]')
        parts = Table.grid(padding=(0, 1))
        parts.add_row('  what', Text(finding.what))
        parts.add_row('  why', Text(finding.why))
        console.print(parts)
        fix = finding.line if '...' in finding.fix else finding.fix
        if fix:  # in one piece, so that it can be copied
            console.print(f'  fix  {fix}', markup=False, soft_wrap=True)
        console.print()
    if delivery:
        show_delivery(console, delivery)
    for line in advice(findings, delivery):
        console.print(line, markup=False)
    mended = mend(config, findings)
    if mended:
        console.print(f'\n{mended}', markup=False, soft_wrap=True, end='')


def advice(findings: list, delivery: Delivery | None) -> Iterator[str]:
    """What to do next."""
    broken = [finding for finding in findings if finding.breaks]
    if not broken:
        yield 'Nothing found that breaks the quota.'
        if any(finding.line for finding in to_mend(findings)):
            yield 'What the notes advise, as a new config beside this one:'
        return
    yield '1 thing to mend.' if len(broken) == 1 else f'{len(broken)} things to mend.'
    if delivery is None:
        yield 'No batch was run, so there may be more to find.'
    if any(finding.line for finding in broken):
        yield (
            'Apply each `fix`, or save these lines as a new config beside this one. '
            'Then check again.'
        )
    else:
        yield 'Then check again.'


def to_mend(findings: list) -> list:
    """The findings that a new config mends: what breaks a quota, and what is added."""
    return [f for f in findings if f.breaks or f.fix.startswith('custom_hooks=')]


def mend(config: str, findings: list) -> str:
    """The text of a config that mends what was found in another one."""
    from mmdefect.analysis.config import is_pure_python
    from mmdefect.analysis.fixes import new_config

    lines = [finding.line for finding in to_mend(findings)]
    lines = list(dict.fromkeys(filter(None, lines)))
    return new_config(config, lines, is_pure_python(config)) if lines else ''


def show_delivery(console: Console, delivery: Delivery) -> None:
    """Print drawn against delivered."""
    from mmdefect.pools.forms import COUNTEREXAMPLE, PASTED

    title = f'{delivery.batches:,} batches, images of each pool'
    counts = table(title, 'pool', 'quota', 'drawn', 'delivered', 'share')
    for pool, quota, drawn, delivered in delivery.counts:
        quoted = str(quota) if quota else ''
        counts.add_row(
            pool, quoted, f'{drawn:,}', f'{delivered:,}', percent_of(delivered / drawn)
        )
    console.print(counts)
    if delivery.over:
        console.print(
            f'The quota is of every {delivery.over} images. On one GPU '
            f'{delivery.optimizer_step}.'
        )
    console.print(
        'Delivered: a defect image that still shows a defect (in the row of a class: '
        'that class), and a normal image without one.'
    )
    for name, arrives in (
        (PASTED, 'a normal image that shows the defect pasted into it'),
        (COUNTEREXAMPLE, 'a defect image that shows none'),
    ):
        if any(count.pool.startswith(name) for count in delivery.counts):
            console.print(f'{name.capitalize()}: {arrives}.')
    if delivery.replaced:
        console.print(f'{delivery.replaced:,} images were replaced by another image.')
    console.print()


def as_json(config: str, findings: list, delivery: Delivery | None) -> str:
    """Everything for a program."""
    said = {
        'config': config,
        'mended': mend(config, findings),
        'findings': [finding._asdict() for finding in findings],
        'delivery': delivery
        and {
            **delivery._asdict(),
            'counts': [count._asdict() for count in delivery.counts],
        },
    }
    return json.dumps(said, indent=2)


def run(args: argparse.Namespace) -> int:
    """Check the config that the command line names."""
    from mmdefect.analysis.check import check

    findings, delivery = check(args.config, args.cfg_options, args.batches, progress)
    findings = sorted(findings, key=lambda finding: not finding.breaks)
    if args.json:
        print(as_json(args.config, findings, delivery))
    else:
        show(args.config, findings, delivery)
    return int(any(finding.breaks for finding in findings))
