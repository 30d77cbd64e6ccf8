"""Draw the batches that training sees, after augmentation: one picture a batch.

The colour of a frame is the pool that an image was drawn from. Over each batch
stands how many images with a defect were drawn, and how many of these still
show one; an image that shows none, or no more than a sliver of one at its edge,
says so. With --against stock, what stock training sees stands beside it: plain
shuffles of all images, from the dataset without DefectPreservingDataset.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from mmdefect.analysis.colours import COLOURS
from mmdefect.analysis.pictures import plotting, write_figure
from mmdefect.commands.command_line import Parser, add_cfg_options, progress
from mmdefect.commands.drawing import add_box, file_title, pool_title, settle_names
from mmdefect.commands.screen import screen

if TYPE_CHECKING:
    import numpy as np

COLUMNS = 4  # images side by side in a batch


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        prog='mmdefect browse',
        description=__doc__,
        epilog='examples:\n'
        '  mmdefect browse configs/defect_yolox.py --num 3\n'
        '  mmdefect browse configs/defect_yolox.py --against stock \\\n'
        '      --output-dir batches',
    )
    add = parser.add_argument
    add('config', metavar='CONFIG', help='the config file')
    add(
        '--output-dir',
        type=Path,
        metavar='DIR',
        help='where the pictures go (default: work_dirs/CONFIG/batches)',
    )
    add(
        '--num', type=int, default=4, metavar='N', help='batches (default: %(default)s)'
    )
    add('--against', choices=['stock'], help='draw stock sampling beside it')
    add(
        '--not-show',
        action='store_true',
        help="as in MMDetection's browse_dataset.py; there never is a window here",
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.num < 1:
        parser.error(f'--num {args.num}: expected 1 or more')
    if args.output_dir is None:
        args.output_dir = Path('work_dirs', Path(args.config).stem, 'batches')
    return args


def draw(sides: list, pools: list, path: Path) -> None:
    """Draw a batch, or two side by side."""
    from matplotlib.patches import Patch

    colours = ['0.6', *(COLOURS[n % len(COLOURS)] for n in range(len(pools) - 1))]
    size = max(len(batch.images) for batch in sides)
    columns = min(size, COLUMNS if size <= 16 else 2 * COLUMNS)
    rows = -(-size // columns)
    used = sorted({pool for batch in sides for pool in batch.pools})
    labels = [f'drawn from {pool_title(pools, n)}' for n in used]
    in_row = 4 if max(map(len, labels)) <= 20 else 2
    legend = 0.15 + 0.25 * -(-len(labels) // in_row)  # inches
    width, heights = max(1.9 * columns, 4.5), (1.9 * rows + 0.6, legend)
    figure = plotting().figure(
        figsize=(width * len(sides), sum(heights)), layout='constrained'
    )
    large = 11 if columns <= COLUMNS else 16
    panels, below = figure.subfigures(
        2, len(sides), squeeze=False, wspace=0.05, height_ratios=heights
    )
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    for panel, batch in zip(panels, sides):
        title = textwrap.fill(batch.title, max(16 * columns, 40))
        panel.suptitle(f'{title}\n{batch.place}', fontsize=large)
        axes = panel.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(batch.images) :]:
            axis.axis('off')
        images = zip(
            *(axes, batch.images, batch.samples, batch.names, batch.pools, batch.marks)
        )
        for axis, image, sample, names, pool, mark in images:
            draw_image(axis, image, sample, names, colours[pool], mark)
    below[0].legend(
        [Patch(facecolor=colours[n]) for n in used],
        labels,
        loc='center left',
        ncol=in_row,
        frameon=False,
        fontsize=large - 1,
    )
    settle_names(figure)
    write_figure(figure, path, dpi=120)


def draw_image(
    axis: Any, image: Any, sample: Any, names: dict, colour: str, mark: str
) -> None:
    """Draw one image of a batch."""
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=4)
    instances = sample.gt_instances
    if 'masks' in instances:
        image = tint(image, instances.masks.to_ndarray())
    axis.imshow(image)
    axis.autoscale(False)
    for box in _rows(sample.get('ignored_instances', {})):
        add_box(axis, box, '0.5', 'dashed')
    for box, label in zip(_rows(instances), instances.labels.tolist()):
        add_box(axis, box, '#00b050', 'solid', names[label])
    under = file_title(sample.get('img_path', ''), 34 - len(mark))
    axis.set_xlabel(f'{under} {mark}', fontsize=7, color='#c00000' if mark else '0.35')


def _rows(instances: Any) -> list:
    from mmdefect.images.samples import upright

    boxes = upright(instances)
    return [] if boxes is None else boxes.tolist()


def tint(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Lay masks over an image."""
    import numpy as np

    where = masks.astype(bool).any(0)
    tinted = image.copy()
    tinted[where] = tinted[where] // 2 + np.array([0, 88, 40], np.uint8)
    return tinted


def run(args: argparse.Namespace) -> int:
    """Draw batches, and say which is where."""
    from mmdefect.analysis.batches import build_loaders, load, pool_numbers
    from mmdefect.analysis.config import running

    with screen(stderr=True).status('reading the annotations'):
        loaders = build_loaders(args.config, args.cfg_options, bool(args.against))
    pools, numbers = pool_numbers(loaders[-1].batch_sampler)
    streams = [load(loader, numbers) for loader in loaders]
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for number in progress(range(args.num), 'drawing'):
        with running('the batches cannot be loaded'):
            sides = [next(stream) for stream in streams]
        path = args.output_dir / f'batch_{number + 1:03d}.png'
        draw(sides, pools, path)
        print(f'{path}: {sides[0].place}')
        for batch in sides:
            print(f'  {batch.title}')
    return 0
