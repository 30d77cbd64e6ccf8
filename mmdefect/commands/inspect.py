"""Show the pools of a config's training data, and what each quota would mean.

How many images show which class, how many stock batches would hold no defect,
and for each quota how long an epoch is and how often a defect image is drawn;
then which quota to begin with, and why. A config without a quota will do.

Numbers are for one GPU. With N of them an epoch has N times fewer batches and
draws each image as often; a run of as many iterations draws it N times more.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Sequence

from mmdefect.commands.command_line import Parser, add_cfg_options, percent_of
from mmdefect.commands.plan_picture import draw_pairs, draw_plan
from mmdefect.commands.screen import screen, table

if TYPE_CHECKING:
    from rich.console import Console

    from mmdefect.analysis.balance import Balance
    from mmdefect.analysis.box_sizes import BoxSizes
    from mmdefect.analysis.inspection import Inspection

LINES = 20  # rows of a table
SOURCES = """What it recommends has these sources.

A quota: quotas of 1 to 4 of 8 as measured, see "Choosing a quota" in
configs/README.md; not more draws of an image than the longest stock schedules
of MMDetection show it (YOLOX and RTMDet, 300).

Weights: Gupta et al., "LVIS: a dataset for large vocabulary instance
segmentation", CVPR 2019, where classes 10 times as rare are detected worse."""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        prog='mmdefect inspect',
        description=__doc__,
        epilog=f'{SOURCES}\n\nexamples:\n'
        '  mmdefect inspect configs/defect_yolox.py\n'
        '  mmdefect inspect configs/defect_yolox.py --save plan.png \\\n'
        '      --cfg-options train_cfg.max_epochs=50',
    )
    parser.add_argument('config', metavar='CONFIG', help='the config file')
    parser.add_argument(
        '--save',
        type=Path,
        metavar='PNG',
        help='draw the plan into this file, and into another beside it, named '
        '..._look_alikes.png, the validation photographs that look like some of '
        'training',
    )
    parser.add_argument('--json', action='store_true', help='print JSON')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.save and args.save.suffix != '.png':
        parser.error(f'--save {args.save}: expected a name that ends in .png')
    if args.save and not args.save.parent.is_dir():
        parser.error(f'--save {args.save}: there is no directory {args.save.parent}')
    return args


def show(found: Inspection) -> None:
    """Print everything for a reader."""
    console = screen()
    sampler, images = found.batches.sampler, found.images
    normals = f'{images["normal"]:,} normal'
    for what, number in sampler.annotated_normals.items():
        normals += f' ({number:,} of them with {what})'
    console.print(f'[bold]{found.config}[/]')
    console.print(
        f'{images["all"]:,} images: {normals}, {images["defect"]:,} with a defect '
        f'({percent_of(images["defect"] / images["all"])})'
        + f', repeated to {len(sampler.dataset):,}'
        * (images['all'] < len(sampler.dataset))
        + '\n'
    )
    show_pools(console, found)
    show_boxes(console, found.boxes)
    console.print(
        f'With stock sampling [bold]{percent_of(found.empty_share())}[/] of the '
        f'{found.unit} would hold no defect\n(exact: hypergeometric, as they are drawn '
        'without replacement).\n'
    )
    show_quotas(console, found)
    for name, number in found.draws.items():
        # The table tells it of one number for all defects, kept to the end.
        told = found.own_quota() and len(found.batches.plans) == 1
        if number and not told:
            console.print(
                f'This config draws each {name} image about {number:,.0f} times in '
                'the run.'
            )
    if found.has_quota and found.batches.never_drawn():
        missing = found.batches.never_drawn().items()
        console.print(
            '[bold]Never drawn, because no quota reaches them[/]: '
            + ', '.join(f'{number:,} {name}' for name, number in missing)
            + ' images.'
        )
    if found.balance:
        show_balance(console, found.balance, found.images)
    show_advice(console, found)


def show_advice(console: Console, found: Inspection) -> None:
    """Print what to begin with."""
    if found.boxes and found.boxes.advised:
        width, height = found.boxes.advised
        what = found.boxes.windows or f'img_scale=({width}, {height})'
        console.print(
            f'[bold]Recommended: {what}[/]: '
            f'{found.boxes.too_small:,} of {len(found.boxes.all):,} boxes are smaller '
            f'than {found.boxes.stride} pixels, the smallest stride of the model.'
        )
    advice = found.advice
    over = f', over={found.size}' if found.batches.over else ''
    console.print(f'[bold]Recommended: quota={advice.quota}{over}[/]: {advice.reason}.')
    if found.balance:
        console.print(
            f'[bold]Recommended: weights={found.balance.advice}[/]: '
            f'{found.balance.reason}.'
        )


def show_balance(console: Console, found: Balance, images: dict) -> None:
    """Print how often each class is drawn with each choice of weights."""
    title = 'Draws of each class in the whole run, with weights='
    draws_of = table(title, 'class', 'images', *found.draws)
    names = list(found.draws['None'])
    for name in names[:LINES]:
        draws = [f'{drawn[name]:,.0f}' for drawn in found.draws.values()]
        draws_of.add_row(name, f'{images[name]:,}', *draws)
    draws_of.add_section()
    most = [f'{number:,.0f}' for number in found.most.values()]
    draws_of.add_row('of the image drawn most', '', *most)
    console.print(draws_of)
    if len(names) > LINES:
        console.print(f'and {len(names) - LINES:,} more: --json has them all')
    console.print()


def show_pools(console: Console, found: Inspection) -> None:
    """Print the pools, and which classes share images."""
    from rich.table import Table

    from mmdefect.analysis.inspection import FEW

    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column('pool')
    for name in ('images', 'share'):
        table.add_column(name, justify='right')
    if found.validation:
        table.add_column('to validate', justify='right')
    table.add_column('also showing')
    overlap = found.overlap()
    names = list(found.shown)
    for name, count in list(found.shown.items())[:LINES]:
        row = overlap.get(name, {})
        others = sorted((-n, other) for other, n in row.items() if n and other != name)
        shared = ', '.join(f'{other} {-n:,}' for n, other in others[:4])
        if len(others) > 4:
            shared += f', {len(others) - 4} more'
        cells = [name, f'{count:,}', percent_of(count / found.images['all'])]
        if found.validation:
            cells.append(f'{found.validation.get(name, 0):,}')
        table.add_row(*cells, shared)
    console.print(table)
    if len(names) > LINES:
        console.print(f'and {len(names) - LINES:,} more: --json has them all')
    few = [('images to learn from', found.too_few(found.shown))]
    if found.validation:
        few.append(('images to validate with', found.too_few(found.validation)))
    for what, classes in few:
        if classes:
            told = ', '.join(f'{name} {number}' for name, number in classes.items())
            console.print(f'[bold]Too few {what}[/], {FEW} or less: {told}.')
    if found.validation and not found.validation['normal']:
        console.print(
            '[bold]No normal image to validate with[/]: nothing tells how many good '
            'parts are flagged.'
        )
    console.print()


def show_boxes(console: Console, found: BoxSizes | None) -> None:
    """Print how large the model sees the defects."""
    import numpy as np

    if found is None:
        return
    width, height = found.scale
    what = 'resized' if found.split == 'training' else 'validation resizes'
    title = f'Short sides of boxes in pixels, {what} to {width} x {height}'
    columns = ('boxes', '25 %', 'median', '75 %', 'under 8', 'under 16')
    sides_of = table(title, 'class', *columns)
    rows = [*list(found.sides.items())[:LINES], ('all', found.all)]
    for name, sides in rows if len(found.sides) > 1 else rows[:1]:
        quartiles = [f'{q:.1f}' for q in np.quantile(sides, (0.25, 0.5, 0.75))]
        shares = [percent_of(float((sides < limit).mean())) for limit in (8, 16)]
        sides_of.add_row(name, f'{len(sides):,}', *quartiles, *shares)
    console.print(sides_of)
    console.print()


def show_quotas(console: Console, found: Inspection) -> None:
    """Print what each quota means."""
    from rich.table import Table

    length, unit = found.run
    what = found.unit[0].upper() + found.unit[1:]
    table = Table(title=f'{what}, {length:,} {unit}, one GPU')
    for name in (
        'quota',
        'batches\nan epoch',
        'normals\nan epoch',
        'draws of a defect\nimage an epoch',
        'in the\nwhole run',
    ):
        table.add_column(name, justify='right')
    table.add_column()
    every = -(-len(found.rows) // LINES)
    own = found.own_quota()
    for row in found.rows:
        marks = []
        if row.quota == own:
            marks.append('this config')
        if row.quota == found.advice.quota:
            marks.append('recommended')
        if marks or (row.quota - 1) % every == 0:
            table.add_row(
                str(row.quota),
                f'{row.batches:,}',
                f'{row.normals:,}',
                f'{row.draws_epoch:,.1f}',
                f'{row.draws_run:,.0f}',
                ', '.join(marks),
                style='bold' if row.quota == found.advice.quota else '',
            )
    console.print(table)


def as_json(found: Inspection) -> str:
    """Everything for a program."""
    length, unit = found.run
    said = {
        'config': found.config,
        'images': found.images['all'],
        'pools': {name: found.images[name] for name in found.pools},
        'shown': found.shown,
        'overlap': found.overlap(),
        'defect_share': found.images['defect'] / found.images['all'],
        'batch_size': found.batches.batch_size,
        'over': found.batches.over,
        'stock_batches_without_defect': found.empty_share(),
        unit: length,
        'quota': found.batches.quota if found.has_quota else None,
        'draws_run': {name: number for name, number in found.draws.items() if number},
        'quotas': [row._asdict() for row in found.rows],
        'recommended': found.advice._asdict(),
        'weights': found.balance and found.balance._asdict(),
        'validation': found.validation,
        'never_drawn': found.batches.never_drawn() if found.has_quota else {},
        'box_sides': found.boxes
        and {
            **found.boxes._asdict(),
            'sides': {name: s.tolist() for name, s in found.boxes.sides.items()},
        },
    }
    return json.dumps(said, indent=2)


def run(args: argparse.Namespace) -> int:
    """Inspect the config that the command line names."""
    from mmdefect.analysis.inspection import inspect

    with screen(stderr=True).status('reading the annotations'):
        found = inspect(args.config, args.cfg_options, bool(args.save))
    if args.save:
        draw_plan(found, args.save)
        beside = args.save.with_name(f'{args.save.stem}_look_alikes.png')
        if found.look_alikes:
            draw_pairs(found.look_alikes, beside)
    if args.json:
        print(as_json(found))
    else:
        if args.save:
            print(f'{args.save}: the plan as a picture')
            if found.look_alikes:
                print(
                    f'{beside}: photographs to validate with, beside those trained on'
                )
            print()
        show(found)
    return 0
