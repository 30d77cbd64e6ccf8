"""Print what a finished training run reached, and draw its detections.

Over each image stands whether it was found and with which score, or missed, or
that a normal image gave a false alarm: as in `mmdefect review`, an image is found
or an alarm where its surest detection reaches --score.

With --against, another run looks at the same validation images. Both are drawn
side by side, and one sentence says what the difference is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.pictures import plotting, write_figure
from mmdefect.commands.command_line import Parser, progress
from mmdefect.commands.drawing import add_box, file_title, settle_names

if TYPE_CHECKING:
    import numpy as np

    from mmdefect.metrics.image_score import Found
    from mmdefect.review.finished import Finished
    from mmdefect.review.photographs import Photograph

PER_ROW = 6
NAMED = 4  # detections of an image that have their names and scores beside them


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        prog='mmdefect show',
        description=__doc__,
        epilog='examples:\n'
        '  mmdefect show work_dirs/defect_yolox\n'
        '  mmdefect show work_dirs/defect_yolox \\\n'
        '      --against work_dirs/defect_yolox_stock',
    )
    add = parser.add_argument
    add('work_dir', type=Path, metavar='WORK_DIR', help='where the training run wrote')
    add('--against', type=Path, metavar='WORK_DIR', help='where another run wrote')
    add(
        '--num',
        type=int,
        default=18,
        metavar='N',
        help='validation images drawn (default: %(default)s)',
    )
    add(
        '--score',
        type=float,
        default=0.3,
        help='lowest score drawn, and counted (default: %(default)s)',
    )
    add(
        '--out',
        type=Path,
        metavar='PNG',
        help='picture to write; default: detections.png in WORK_DIR, or comparison.png',
    )
    args = parser.parse_args(argv)
    if args.num < 1:
        parser.error(f'--num {args.num}: expected 1 or more')
    if not 0 <= args.score <= 1:
        parser.error(f'--score {args.score}: expected 0 to 1')
    name = 'comparison.png' if args.against else 'detections.png'
    args.out = args.out or args.work_dir / name
    if args.out.suffix != '.png':
        parser.error(f'--out {args.out}: expected a name that ends in .png')
    return args


def run(args: argparse.Namespace) -> int:
    """Draw one run or two, and print what they reached."""
    from mmdefect.review.finished import (
        difference,
        figures_of,
        first_validation,
        look_at_runs,
        titles_of,
    )

    if args.work_dir.is_dir() and not args.out.parent.is_dir():
        raise UnusableError(f'--out {args.out}: there is no {args.out.parent}')
    work_dirs = [path for path in (args.against, args.work_dir) if path]
    seen = look_at_runs(work_dirs, progress)
    runs = [one.run for one in seen]
    titles = titles_of([one.cfg for one in seen], runs)
    draw_runs(seen, titles if args.against else [''], args.num, args.score, args.out)
    if args.against:
        print(f'{" and ".join(titles)}, on the same validation images: {args.out}')
        print(difference(titles, seen, args.score))
        return 0
    for name, value in figures_of(runs[0]).items():
        print(f'{name}: {value:.3f}')
    if not runs[0].validation:
        when = first_validation(seen[0].cfg)
        print(f'not validated yet: the first validation comes {when}')
    print(f'checkpoint: {runs[0].checkpoint}')
    print(f'detections on validation images: {args.out}')
    return 0


def draw_runs(
    seen: Sequence[Finished], titles: Sequence[str], num: int, score: float, out: Path
) -> None:
    """Draw detections and annotations on validation images, the same for each run."""
    from mmdefect.review.pixels import Pixels

    images = seen[0].photographs.images
    defect = [n for n, image in enumerate(images) if image.is_defect]
    normal = [n for n, image in enumerate(images) if not image.is_defect]
    defect = defect[: max(num * 2 // 3, num - len(normal))]
    chosen = defect + normal[: num - len(defect)]

    columns = PER_ROW // len(seen)
    rows = -(-len(chosen) // columns)
    figure = plotting().figure(
        figsize=(2.2 * PER_ROW, 2.4 * rows + 0.7), layout='constrained'
    )
    panels = figure.subfigures(1, len(seen), squeeze=False, wspace=0.04)[0]
    for panel, one, name in zip(panels, seen, titles):
        panel.suptitle(name, fontsize=14)
        axes = panel.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes:
            axis.set(xticks=[], yticks=[], anchor='N')
            axis.spines[:].set_visible(False)
        images, classes = one.photographs.images, one.photographs.classes
        read = Pixels(one.photographs.pipeline)
        shown = list(zip(axes, chosen))
        for axis, n in progress(shown, f'drawing {name or "detections"}'):
            pixels = read(images[n].info)
            draw_photograph(axis, images[n], pixels, one.found[n], classes, score)
    figure.supxlabel(
        f'red: detections with a score of at least {score}; green, dashed: annotations',
        fontsize=11,
    )
    settle_names(figure)
    write_figure(figure, out, dpi=110)


def draw_photograph(
    axis: Any,
    image: Photograph,
    pixels: np.ndarray,
    found: Found,
    names: Sequence[str],
    score: float,
) -> None:
    """Draw what a detector finds on one photograph, the surest first."""
    axis.imshow(pixels[..., ::-1])
    axis.autoscale(False)
    for box in (*image.boxes, *image.others):
        add_box(axis, box, 'lime', 'dashed')
    height, width = pixels.shape[:2]
    # A detector that has hardly trained puts boxes anywhere.
    boxes = found.boxes.clip(0, (width, height, width, height))
    drawn = [one for one in zip(boxes, found.labels, found.scores) if one[2] >= score]
    for number, (box, label, value) in enumerate(drawn):
        name = f'{names[label]} {value:.2f}' if number < NAMED else ''
        add_box(axis, box, 'red', 'solid', name)
    said, colour = caption(image.is_defect, found.score, score)
    axis.set_title(said, fontsize=9, color=colour)
    axis.set_xlabel(file_title(image.path, 38), fontsize=7, color='0.35')


def caption(is_defect: bool, surest: float, score: float) -> tuple[str, str]:
    """Say what a detector made of an image, and in which colour."""
    if surest > 0 and surest >= score:
        said = 'found' if is_defect else 'false alarm'
        return f'{said} {surest:.2f}', '#007a3d' if is_defect else '#d55e00'
    return ('missed', '#c00000') if is_defect else ('normal, and passed', '0.35')
