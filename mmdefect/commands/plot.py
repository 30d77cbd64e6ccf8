"""Draw loss, AP, recall and escape of training runs, in one figure.

What stays the same throughout, as a kept quota does, is told and not drawn. A
band is the 95 % interval that DefectImageMetric logs.

Reads what MMEngine logged under each WORK_DIR. A run that was resumed has
several logs there: they are joined by iteration, and from where a newer log
begins, that one counts.
"""

from __future__ import annotations

import argparse
import os
import re
import textwrap
from pathlib import Path
from typing import Any, Iterable, NamedTuple, Sequence

from mmdefect.analysis.colours import COLOURS, DASHES, colours_of
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.logs import Curves, read_curves
from mmdefect.analysis.pictures import plain_axis, plotting, write_figure
from mmdefect.commands.command_line import Parser


class Panel(NamedTuple):
    """One chart."""

    title: str
    patterns: tuple  # names of scalars: the first that a run has is drawn
    scale: str = ''  # panels of the same are drawn to the same; '': to its own
    chance: float | None = None  # what guessing reaches


# Drawn where at least one run has the scalar.
PANELS = [
    Panel('training loss', (r'loss',)),
    Panel(
        'AP at IoU 0.50', (r'.*bbox_mAP_50', r'.*segm_mAP_50', r'.*AP50'), scale='boxes'
    ),
    Panel('AP', (r'.*bbox_mAP', r'.*segm_mAP', r'.*mAP'), scale='boxes'),
    Panel(
        'recall of boxes',
        (r'defect/recall', r'.*AR@\d+', r'.*recall.*'),
        scale='boxes',
    ),
    Panel('AUROC of images', (r'.*auroc',), scale='images', chance=0.5),
    Panel(
        'escape rate',
        (r'.*/escape_at_5', r'.*/escape_at_[\d.]+', r'.*/escape'),
        scale='images',
    ),
    Panel('overkill rate', (r'.*/overkill',), scale='overkill'),
    Panel('defect images delivered a batch', (r'quota/delivered',)),
]

# Where the axis of a share may end, so that it can be read across panels and pictures.
TOPS = (0.1, 0.25, 0.5, 1)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        prog='mmdefect plot',
        description=__doc__,
        epilog='examples:\n'
        '  mmdefect plot work_dirs/defect_yolox\n'
        '  mmdefect plot work_dirs/stock work_dirs/quota3 \\\n'
        "      --labels stock 'quota 3' --smooth 5 --out compared.png",
    )
    add = parser.add_argument
    add('work_dirs', nargs='+', type=Path, metavar='WORK_DIR', help='where a run wrote')
    add(
        '--labels',
        nargs='+',
        metavar='NAME',
        help='what the runs are called (default: names of their directories)',
    )
    add(
        '--smooth',
        type=int,
        default=1,
        metavar='N',
        help='draw the mean of the last N logged values of the training curves as well',
    )
    add(
        '--out',
        type=Path,
        metavar='PNG',
        help='picture to write (default: training.png in the first WORK_DIR)',
    )
    args = parser.parse_args(argv)
    if args.smooth < 1:
        parser.error(f'--smooth {args.smooth}: expected 1 or more')
    if args.labels and len(args.labels) != len(args.work_dirs):
        parser.error(
            f'--labels has {len(args.labels)} names for {len(args.work_dirs)} runs'
        )
    paths = [path.resolve() for path in args.work_dirs]
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        names = [os.path.relpath(path, os.path.commonpath(paths)) for path in paths]
    args.labels = args.labels or names
    if len(names) > len(COLOURS):
        parser.error(f'{len(names)} runs: expected at most {len(COLOURS)}')
    args.out = args.out or args.work_dirs[0] / 'training.png'
    if args.out.suffix != '.png':
        parser.error(f'--out {args.out}: expected a name that ends in .png')
    return args


def scalar_of(curves: Curves, panel: Panel) -> str | None:
    """Name of the scalar that a panel shows of a run."""
    for pattern in panel.patterns:
        for name in curves:
            if re.fullmatch(pattern, name):
                return name
    return None


def constant(runs: Iterable[Curves], panel: Panel) -> float | None:
    """The one value that a panel would show of all runs, where it never changes."""
    found = [run[name] for run in runs for name in [scalar_of(run, panel)] if name]
    values = {value for curve in found for _, value in curve}
    long_enough = all(len(curve) > 1 for curve in found)
    return values.pop() if len(values) == 1 and long_enough else None


def means(values: list, count: int) -> list:
    """The mean of each value and up to ``count - 1`` before it."""
    windows = [values[max(0, end - count) : end] for end in range(1, len(values) + 1)]
    return [sum(window) / len(window) for window in windows]


def draw_logs(
    runs: dict[str, Curves], panels: Sequence[Panel], smooth: int, out: Path
) -> None:
    """Draw the runs."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    colours = list(colours_of(runs).values())
    columns = min(len(panels), 3 if len(panels) > 4 else 2)
    rows = -(-len(panels) // columns)
    figure: Any
    figure, axes = plotting().subplots(
        rows,
        columns,
        figsize=(4.4 * columns, 3 * rows + 0.5),
        sharex=True,
        squeeze=False,
    )
    for axis in axes.ravel()[len(panels) :]:
        axis.remove()
    tops = find_tops(runs.values(), panels)
    for axis, panel in zip(axes.ravel(), panels):
        shown = [scalar_of(run, panel) for run in runs.values()]
        for number, run in enumerate(runs.values()):
            name = shown[number]
            if name is None:
                continue
            steps, values = map(list, zip(*run[name]))
            colour = colours[number]
            trained = name == 'loss' or name.startswith('quota/')
            marker = 'o' if not trained or len(steps) == 1 else None
            style = dict(
                color=colour,
                linestyle=DASHES[number],
                linewidth=1.6,
                marker=marker,
                markersize=3.5,
                clip_on=False,  # nor is half a marker drawn at 0
            )
            if trained and smooth > 1:
                axis.plot(steps, values, color=colour, alpha=0.25, linewidth=1)
                values = means(values, smooth)
            axis.plot(steps, values, **style)
            draw_interval(axis, run, name, colour)
        names = ', '.join(sorted({name for name in shown if name}))
        axis.set_title(panel.title, fontsize=10, loc='left')
        lacking = ', '.join(label for label, name in zip(runs, shown) if not name)
        axis.set_ylabel(names, fontsize=8, color='0.35')
        # MMDetection logs no AP where a detector finds no box at all.
        lacking = f'; not logged: {lacking}' if lacking else ''
        axis.set_xlabel(textwrap.shorten(f'iteration{lacking}', 60), fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axis.tick_params(labelsize=8, labelbottom=True)
        axis.set_xlim(left=0)
        plain_axis(axis)
        if panel.chance is not None:
            axis.axhline(panel.chance, color='0.5', linewidth=1, linestyle='dotted')
            place = dict(xy=(1, panel.chance), xycoords=('axes fraction', 'data'))
            axis.annotate(
                'chance', **place, fontsize=8, color='0.35', ha='right', va='bottom'
            )
        # From zero, so that the height of a curve says how much it is.
        axis.set_ylim(0, tops.get(panel.scale) or axis.get_ylim()[1] * 1.05)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.35 / figure.get_figheight()))
    figure.legend(
        [
            Line2D([], [], color=colour, linestyle=dashes, linewidth=2)
            for _, colour, dashes in zip(runs, colours, DASHES)
        ],
        list(runs),
        loc='upper left',
        ncol=4,
        frameon=False,
        fontsize=10,
    )
    write_figure(figure, out, dpi=130)


def find_tops(runs: Iterable[Curves], panels: Sequence[Panel]) -> dict[str, float]:
    """Where the axis of each scale ends."""
    tops: dict[str, float] = {}
    for panel in panels:
        names = [(run, scalar_of(run, panel)) for run in runs if panel.scale]
        values = [value for run, name in names if name for _, value in run[name]]
        high = max([tops.get(panel.scale, 0), *values])
        if panel.scale:
            tops[panel.scale] = next((top for top in TOPS if high <= top), high)
    return tops


def draw_interval(axis: Any, run: Curves, name: str, colour: str) -> None:
    """Draw the interval of a figure as a band, where the run logged one."""
    ends = [dict(run.get(f'{name}_{end}', ())) for end in ('low', 'high')]
    steps = sorted(ends[0].keys() & ends[1].keys())
    if steps:
        low, high = ([end[step] for step in steps] for end in ends)
        axis.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)


def run(args: argparse.Namespace) -> int:
    """Draw the runs that the command line names."""
    if len(set(args.labels)) < len(args.labels):
        raise UnusableError(f'two runs are called the same: {args.labels}')
    runs = {
        label: read_curves(work_dir)
        for label, work_dir in zip(args.labels, args.work_dirs)
    }
    if not args.out.parent.is_dir():
        raise UnusableError(f'--out {args.out}: there is no {args.out.parent}')
    logged = [p for p in PANELS if any(scalar_of(run, p) for run in runs.values())]
    same = {p: constant(runs.values(), p) for p in logged}
    panels = [p for p in logged if same[p] is None] or logged
    draw_logs(runs, panels, args.smooth, args.out)
    print(f'{args.out}: {", ".join(panel.title for panel in panels)}')
    for panel in logged:
        if panel not in panels:
            print(f'constant, so not drawn: {panel.title}, {same[panel]:g}')
    return 0
