"""Draw the batches that training sees, after augmentation: one picture a batch.

The colour of a frame is the pool that an image was drawn from. Over each batch
stands how many images with a defect were drawn, and how many of these still
show one. With --against stock, what stock training sees stands beside it: plain
shuffles of all images, from the dataset without DefectPreservingDataset.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path
from typing import Any, Iterator, NamedTuple

import numpy as np
from cfg_options import add_cfg_options
from check_config import (
    UnusableConfigError,
    build_hook,
    build_loader,
    running,
    schedules,
)
from command_line import Parser, progress, whole
from inspect_dataset import (
    COLOURS,
    has_quota,
    load_config,
    pool_numbers,
    pool_title,
    sampling,
)
from make_stock_config import stock
from rich.console import Console
from show_detections import add_box, settle_names

COLUMNS = 4  # images side by side in a batch


class Batch(NamedTuple):
    """One batch, as it reaches the model.

    Args:
        images (list[np.ndarray]): RGB images, uint8 of shape (height, width, 3).
        samples (list[DetDataSample]): Their annotations.
        pools (list[int]): Number of the pool that each was drawn from.
        place (str): Which batch of which epoch it is.
        title (str): How it was drawn, with how many defects, and how many arrived.
    """

    images: list
    samples: list
    pools: list
    place: str
    title: str


def parse_args(argv: list | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__,
        epilog='examples:\n'
        '  python tools/browse_batches.py configs/defect_yolox.py --num 3\n'
        '  python tools/browse_batches.py configs/defect_yolox.py --against stock \\\n'
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


# --- Batches -------------------------------------------------------------------------


def build_loaders(config: str, options: dict | None, against: bool) -> list:
    """Build the dataloader of a config, after that of stock sampling, if it is wanted.

    Args:
        config (str): The config file.
        options (dict, optional): Settings that override it.
        against (bool): Whether to build that of stock sampling too.

    Returns:
        list[DataLoader]: They draw what training would draw.

    Raises:
        UnusableConfigError: If the config cannot be used.
    """
    from mmengine.registry import DATASETS
    from mmengine.runner import set_random_seed

    cfg = load_config(config, options)
    if not has_quota(cfg):
        raise UnusableConfigError(
            f'{config} has no QuotaBatchSampler in train_dataloader; '
            '`python tools/check_config.py CONFIG` says what to write'
        )
    with Console(stderr=True).status('reading the annotations'):
        cfgs = [stock(copy.deepcopy(cfg)), cfg] if against else [cfg]
        with running('the training dataloader cannot be built'):
            loaders = [
                build_loader(c, DATASETS.build(c.train_dataloader.dataset))
                for c in cfgs
            ]
            for _, hook in schedules(cfg):
                build_hook(hook).apply(loaders[-1].batch_sampler)
    # Without worker processes, which have seeds of their own.
    set_random_seed((cfg.get('randomness') or {}).get('seed') or 0)
    return loaders


def load(loader: Any, pools: np.ndarray) -> Iterator[Batch]:
    """Load batches as training does, epoch by epoch.

    Args:
        loader (DataLoader): The training dataloader.
        pools (np.ndarray): Of each image, the number of the pool that it is drawn from.

    Yields:
        Batch: A batch.
    """
    sampler, number = loader.batch_sampler.sampler, 0
    while True:
        sampler.set_epoch(number // len(loader))
        # The plan is a pure function: iterated twice, it says what was drawn.
        for indices, batch in zip(loader.batch_sampler, loader):
            epoch, step = divmod(number, len(loader))
            plan = loader.batch_sampler.plan_at(epoch, step)
            drawn, delivered = count(loader, indices, batch['data_samples'])
            yield Batch(
                [as_image(tensor) for tensor in batch['inputs']],
                batch['data_samples'],
                pools[indices].tolist(),
                f'epoch {epoch + 1}, batch {step + 1}',
                f'{sampling(plan)}: {drawn} drawn with a defect, {delivered} delivered',
            )
            number += 1


def count(loader: Any, indices: list, samples: list) -> tuple[int, int]:
    """Count the defect images of a batch.

    Args:
        loader (DataLoader): The dataloader.
        indices (list[int]): What was drawn.
        samples (list[DetDataSample]): What arrived.

    Returns:
        tuple[int, int]: Images drawn with a defect, and those of them that show one.
    """
    from mmdefect.delivery.delivered import shown_labels
    from mmdefect.pools.wrappers import class_names, unwrap

    names = class_names(unwrap(loader.dataset)[0][0])
    sampler = loader.batch_sampler.sampler
    drawn = np.isin(indices, sampler.pools['defect'])
    shown = [
        any(names[label] in sampler.defect_classes for label in shown_labels(sample))
        for sample in samples
    ]
    return int(drawn.sum()), int((drawn & shown).sum())


def as_image(tensor: Any) -> np.ndarray:
    """Make an image of what a pipeline packs.

    Args:
        tensor (Tensor): Of shape (channels, height, width), BGR where there are three
            channels. Of any range, where it is no uint8: normalized images are
            stretched from black to white.

    Returns:
        np.ndarray: RGB, uint8 of shape (height, width, 3).
    """
    pixels = tensor.numpy()
    if pixels.dtype != np.uint8:
        pixels = np.nan_to_num(pixels.astype(np.float32))
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 255 or high <= 1:
            pixels = (pixels - low) * (255 / max(high - low, 1e-9))
        pixels = pixels.round().astype(np.uint8)
    if len(pixels) < 3:
        pixels = pixels[[0, 0, 0]]
    return np.ascontiguousarray(pixels[2::-1].transpose(1, 2, 0))


# --- Drawing -------------------------------------------------------------------------


def draw(sides: list, pools: list, classes: Any, path: Path) -> None:
    """Draw a batch, or two side by side.

    Args:
        sides (list[Batch]): What is drawn.
        pools (list[str]): Names of the pools.
        classes (Sequence[str]): Class names.
        path (Path): Picture to write.
    """
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    colours = ['0.6', *(COLOURS[n % len(COLOURS)] for n in range(len(pools) - 1))]
    size = max(len(batch.images) for batch in sides)
    columns = min(size, COLUMNS if size <= 16 else 2 * COLUMNS)
    rows = -(-size // columns)
    width, heights = max(1.9 * columns, 4.5), (1.9 * rows + 0.6, 0.4)
    figure = pyplot.figure(
        figsize=(width * len(sides), sum(heights)), layout='constrained'
    )
    large = 11 if columns <= COLUMNS else 16
    panels, below = figure.subfigures(
        2, len(sides), squeeze=False, wspace=0.05, height_ratios=heights
    )
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
    for panel, batch in zip(panels, sides):
        panel.suptitle(f'{batch.title}\n{batch.place}', fontsize=large)
        axes = panel.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(batch.images) :]:
            axis.axis('off')
        for axis, *shown, pool in zip(axes, batch.images, batch.samples, batch.pools):
            draw_image(axis, *shown, classes, colours[pool])
    used = sorted({pool for batch in sides for pool in batch.pools})
    below[0].legend(
        [Patch(facecolor=colours[n]) for n in used],
        [f'drawn from {pool_title(pools, n)}' for n in used],
        loc='center left',
        ncol=4,
        frameon=False,
        fontsize=large - 1,
    )
    settle_names(figure)
    with whole(path) as part:
        figure.savefig(part, dpi=120)
    pyplot.close(figure)


def draw_image(axis: Any, image: Any, sample: Any, classes: Any, colour: str) -> None:
    """Draw one image of a batch.

    Args:
        axis (matplotlib.axes.Axes): Where.
        image (np.ndarray): RGB image.
        sample (DetDataSample): Its annotations.
        classes (Sequence[str]): Class names.
        colour (str): Colour of the frame.
    """
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=4)
    instances = sample.gt_instances
    if 'masks' in instances:
        image = tint(image, instances.masks.to_ndarray())
    axis.imshow(image)
    axis.autoscale(False)
    for box in boxes_of(sample.get('ignored_instances')):
        add_box(axis, box, '0.5', 'dashed')
    for box, number in zip(boxes_of(instances), instances.labels.tolist()):
        add_box(axis, box, '#00b050', 'solid', classes[number])


def boxes_of(instances: Any) -> list:
    """Upright boxes of instances, of whatever kind theirs are: (x1, y1, x2, y2)."""
    if instances is None or 'bboxes' not in instances:
        return []
    boxes = instances.bboxes
    if hasattr(boxes, 'convert_to'):
        boxes = boxes.convert_to('hbox').tensor
    return boxes.tolist()


def tint(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Lay masks over an image.

    Args:
        image (np.ndarray): RGB, uint8 of shape (height, width, 3).
        masks (np.ndarray): Of shape (n, height, width).

    Returns:
        np.ndarray: The image, half green where a mask is.
    """
    where = masks.astype(bool).any(0)
    tinted = image.copy()
    tinted[where] = tinted[where] // 2 + np.array([0, 88, 40], np.uint8)
    return tinted


def main(argv: list | None = None) -> int:
    """Draw the batches of the config that the command line names.

    Returns:
        int: 0, or 2 where there is nothing to draw.
    """
    args = parse_args(argv)
    try:
        browse(args)
    except (UnusableConfigError, OSError) as error:
        print(f'browse_batches.py: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def browse(args: argparse.Namespace) -> None:
    """Draw batches, and say which is where.

    Args:
        args (argparse.Namespace): The command line.
    """
    loaders = build_loaders(args.config, args.cfg_options, bool(args.against))
    from mmdefect.pools.wrappers import class_names, unwrap

    classes = class_names(unwrap(loaders[-1].dataset)[0][0])
    pools, numbers = pool_numbers(loaders[-1].batch_sampler)
    streams = [load(loader, numbers) for loader in loaders]
    args.output_dir.mkdir(parents=True, exist_ok=True)
    for number in progress(range(args.num), 'drawing'):
        with running('the batches cannot be loaded'):
            sides = [next(stream) for stream in streams]
        path = args.output_dir / f'batch_{number + 1:03d}.png'
        draw(sides, pools, classes, path)
        print(f'{path}: {sides[0].place}')
        for batch in sides:
            print(f'  {batch.title}')


if __name__ == '__main__':
    sys.exit(main())
