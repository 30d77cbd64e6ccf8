"""Print what a finished training run reached, and draw its detections.

With --against, it measures another run on the same validation images, draws
both side by side, and says in one sentence what the difference is.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from command_line import Parser, progress, whole

COLUMNS = 6
PAD, GAP = 0.8, 1.6  # points around the name of a box, and between two
# Where a name may move, in its own widths and heights: rather up than down, onto a box.
SHIFTS = sorted(
    itertools.product(range(-3, 4), repeat=2),
    key=lambda shift: abs(shift[0]) + abs(shift[1]) * (0.4 if shift[1] > 0 else 1.2),
)
# What is told of a validation, and how metrics call it.
FIGURES = {
    'AP50': r'.*(bbox_mAP_50|AP50)',
    'recall (AR@100, IoU 0.50:0.95)': r'.*bbox_AR@100',
}


class Run(NamedTuple):
    """What a training run left behind, and what its best checkpoint finds.

    Args:
        config (Path): Its config.
        checkpoint (Path): Its best checkpoint; the last where none is best.
        metrics (dict[str, float]): Figures of the validation of that checkpoint.
        iterations (int): How long it trained.
    """

    config: Path
    checkpoint: Path
    metrics: dict[str, float]
    iterations: int


class UnusableRunError(Exception):
    """Says why a run cannot be shown."""


def parse_args(argv: list | None) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        description=__doc__,
        epilog='examples:\n'
        '  python tools/show_detections.py work_dirs/defect_yolox\n'
        '  python tools/show_detections.py work_dirs/defect_yolox \\\n'
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


def main(argv: list[str] | None = None) -> int:
    """Show the runs that the command line names.

    Returns:
        int: 0, or 2 where there is nothing to show.
    """
    args = parse_args(argv)
    try:
        show(args)
    except (UnusableRunError, OSError) as error:
        print(f'show_detections.py: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def show(args: argparse.Namespace) -> None:
    """Draw one run or two, and print what they reached.

    Args:
        args (argparse.Namespace): The command line.

    Raises:
        UnusableRunError: If a run cannot be shown.
    """
    runs = [find_run(path) for path in (args.against, args.work_dir) if path]
    if not args.out.parent.is_dir():
        raise UnusableRunError(f'--out {args.out}: there is no {args.out.parent}')
    from check_config import UnusableConfigError, running

    try:
        with running('the detectors cannot be run'):
            models = [load(run) for run in runs]
            titles = [title(model.cfg) for model in models]
            shown = titles if args.against else ['']
            draw(models, shown, args.num, args.score, args.out)
            found = [measure(m, args.score) for m in models] if args.against else []
    except UnusableConfigError as error:
        raise UnusableRunError(error) from error
    if args.against:
        print(f'{" and ".join(titles)}, on the same validation images: {args.out}')
        print(sentence(titles, found, runs))
        return
    for name, value in runs[0].metrics.items():
        print(f'{name}: {value:.3f}')
    print(f'checkpoint: {runs[0].checkpoint}')
    print(f'detections on validation images: {args.out}')


def find_run(work_dir: Path) -> Run:
    """Find what a training run left behind.

    Args:
        work_dir (Path): Where it wrote.

    Returns:
        Run: The config, the best checkpoint and its metrics.

    Raises:
        UnusableRunError: If something is missing.
    """

    def newest(pattern: str, what: str) -> Path:
        found = sorted(work_dir.glob(pattern), key=lambda path: path.stat().st_mtime)
        if not found:
            raise UnusableRunError(f'no {what} in {work_dir}: expected {pattern}')
        return found[-1]

    config = newest('*.py', 'config')
    last = newest('[!b]*_*.pth', 'checkpoint')
    validations = []
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        validations += [row for row in rows if 'loss' not in row]
    if not validations:
        raise UnusableRunError(f'no validation in {work_dir}/*/vis_data/scalars.json')
    # MMDetection logs no AP, and keeps no best checkpoint, where a detector has not a
    # single box on all validation images.
    best = any(work_dir.glob('best_*.pth'))
    checkpoint = newest('best_*.pth', 'best checkpoint') if best else last
    made = int(re.search(r'(\d+)\.pth$', checkpoint.name)[1])
    # The newest that counts as that checkpoint does, in epochs or in iterations.
    row = next((r for r in validations[::-1] if r['step'] == made), validations[-1])
    metrics = {
        name: row[key]
        for name, pattern in FIGURES.items()
        for key in row
        if re.fullmatch(pattern, key)
    }
    metrics = metrics or dict.fromkeys(FIGURES, 0.0)
    return Run(config, checkpoint, metrics, trained_iterations(last))


def trained_iterations(checkpoint: Path) -> int:
    """Tell how long a model was trained.

    Args:
        checkpoint (Path): The last checkpoint of the run.

    Returns:
        int: The number of iterations.
    """
    import torch

    from mmdefect.hooks.checkpoints import allow_checkpoint_types

    allow_checkpoint_types()
    try:
        return torch.load(checkpoint, map_location='cpu')['meta']['iter']
    except Exception as error:  # whatever torch raises for a file that was cut off
        said = f'{type(error).__name__}: {str(error).splitlines()[0]}'
        raise UnusableRunError(f'{checkpoint} cannot be read: {said}') from error


def load(run: Run) -> Any:
    """Build the detector of a run, with the weights of its best checkpoint."""
    from mmdet.apis import init_detector

    return init_detector(str(run.config), str(run.checkpoint), device='cpu')


def title(cfg: Any) -> str:
    """Say how the batches of a config are sampled."""
    quota = (cfg.train_dataloader.get('batch_sampler') or {}).get('quota')
    if isinstance(quota, dict):
        quota = ' + '.join(f'{images} {pool}' for pool, images in quota.items())
    return 'stock sampling' if quota is None else f'a quota of {quota}'


def measure(model: Any, score: float) -> dict[str, float]:
    """Measure a detector on all images of the validation set.

    Args:
        model (nn.Module): The detector.
        score (float): Lowest score that counts.

    Returns:
        dict[str, float]: What ``DefectImageMetric`` gives.
    """
    import torch
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    from mmdefect import DefectImageMetric

    init_default_scope('mmdet')
    loader = Runner.build_dataloader(
        dict(model.cfg.val_dataloader, num_workers=0, persistent_workers=False)
    )
    metric = DefectImageMetric(score_thr=score, iou_thrs=[0.5], num_bootstrap=0)
    metric.dataset_meta = loader.dataset.metainfo
    with torch.no_grad():
        for batch in progress(loader, f'measuring {title(model.cfg)}'):
            samples = [sample.to_dict() for sample in model.val_step(batch)]
            metric.process(batch, samples)
    return metric.evaluate(len(loader.dataset))


def sentence(titles: list[str], found: list[dict[str, float]], runs: list[Run]) -> str:
    """Tell the difference between two runs.

    Args:
        titles (list[str]): How each sampled.
        found (list[dict[str, float]]): What each detector finds.
        runs (list[Run]): The runs.

    Returns:
        str: One sentence.
    """
    said = [
        f'{name} found {figures["defect/recall_50"]:.0%} of the defects, with false '
        f'alarms on {figures["defect/overkill"]:.0%} of the normal images'
        for name, figures in zip(titles, found)
    ]
    if all('AP50' in run.metrics for run in runs):
        said = [f'{s} (AP50 {run.metrics["AP50"]:.2f})' for s, run in zip(said, runs)]
    lengths = [f'{run.iterations:,}' for run in runs]
    after = f'the same {lengths[0]}'
    if lengths[0] != lengths[1]:
        after = ' and '.join(lengths)
    text = f'{"; ".join(said)}; after {after} iterations.'
    return text[0].upper() + text[1:].replace('%', ' %')


def draw(
    models: list[Any], titles: list[str], num: int, score: float, out: Path
) -> None:
    """Draw detections and annotations on validation images, the same for each model.

    Args:
        models (list[nn.Module]): One detector, or two to be drawn side by side.
        titles (list[str]): What stands over each.
        num (int): Number of images, two thirds of them with a defect if there are.
        score (float): Lowest score drawn.
        out (Path): Picture to write.
    """
    import matplotlib
    from mmengine.registry import DATASETS, init_default_scope

    matplotlib.use('Agg')
    from matplotlib import pyplot

    init_default_scope('mmdet')
    dataset = DATASETS.build(models[0].cfg.val_dataloader.dataset)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    defect = [info for info in infos if shows_defect(info)]
    normal = [info for info in infos if not shows_defect(info)]
    defect = defect[: max(num * 2 // 3, num - len(normal))]
    chosen = defect + normal[: num - len(defect)]

    columns = COLUMNS // len(models)
    rows = -(-len(chosen) // columns)
    figure = pyplot.figure(
        figsize=(2.2 * COLUMNS, 2.4 * rows + 0.7), layout='constrained'
    )
    panels = figure.subfigures(1, len(models), squeeze=False, wspace=0.04)[0]
    for panel, model, name in zip(panels, models, titles):
        panel.suptitle(name, fontsize=14)
        axes = panel.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes:
            axis.axis('off')
        shown = list(zip(axes, chosen))
        for axis, info in progress(shown, f'drawing {name or "detections"}'):
            draw_image(axis, info, model, dataset.metainfo['classes'], score)
    figure.supxlabel(
        f'red: detections with a score of at least {score}; green, dashed: annotations',
        fontsize=11,
    )
    settle_names(figure)
    with whole(out) as part:
        figure.savefig(part, dpi=110)
    pyplot.close(figure)


def shows_defect(info: dict) -> bool:
    """Whether an image has an annotation that counts."""
    return any(not instance['ignore_flag'] for instance in info['instances'])


def draw_image(axis, info, model, names, score) -> None:
    """Draw what a detector finds on one image.

    Args:
        axis (matplotlib.axes.Axes): Where.
        info (dict): The dataset's information on the image.
        model (nn.Module): The detector.
        names (Sequence[str]): Class names.
        score (float): Lowest score drawn.
    """
    import cv2
    import numpy as np
    from mmdet.apis import inference_detector

    image = cv2.imread(info['img_path'])
    if image is None:
        raise OSError(f'{info["img_path"]} cannot be read')
    axis.imshow(image[..., ::-1])
    axis.autoscale(False)
    for instance in info['instances']:
        add_box(axis, instance['bbox'], 'lime', 'dashed')
    found = inference_detector(model, info['img_path']).pred_instances.numpy()
    found = found[found.scores >= score]
    height, width = image.shape[:2]
    # A detector that has hardly trained puts boxes anywhere.
    boxes = np.nan_to_num(found.bboxes).clip(0, (width, height, width, height))
    for box, label, value in zip(boxes, found.labels, found.scores):
        add_box(axis, box, 'red', 'solid', f'{names[label]} {value:.2f}')
    axis.set_title('defect' if shows_defect(info) else 'normal', fontsize=9)


def add_box(axis, box, colour, style, text='') -> None:
    """Draw one box.

    Args:
        axis (matplotlib.axes.Axes): Where.
        box (Sequence[float]): Left, top, right, bottom in pixels.
        colour (str): Colour of the frame.
        style (str): Line style of the frame.
        text (str): What to write above it.
    """
    left, top, right, bottom = box
    corners = [left, right, right, left, left], [top, top, bottom, bottom, top]
    axis.plot(*corners, color=colour, linestyle=style, linewidth=1.2)
    if text:
        name = axis.text(
            left,
            top,
            text,
            fontsize=7,
            color='white',
            verticalalignment='bottom',
            bbox=dict(facecolor=colour, edgecolor='none', pad=PAD),
        )
        name.set_in_layout(False)


def settle_names(figure) -> None:
    """Move the names of boxes, so that they stay on their image, none on another.

    Args:
        figure (matplotlib.figure.Figure): The figure, with all that stands in it.
    """
    figure.draw_without_rendering()  # before, nothing has its place
    for axis in figure.axes:
        taken: list = []
        for name in axis.texts:
            box = name.get_window_extent().padded(GAP * figure.dpi / 72)
            taken.append(find_spot(box, axis.get_window_extent(), taken))
            place = axis.transData.transform(name.get_position())
            place += taken[-1].min - box.min
            name.set_position(axis.transData.inverted().transform(place))


def find_spot(box, image, taken) -> Any:
    """Find a place for the name of a box.

    Args:
        box (Bbox): The place that it would have.
        image (Bbox): What it has to stay on.
        taken (list[Bbox]): Places of other names.

    Returns:
        Bbox: The place nearest to its own that is free; if there is none, its own.
    """
    left = min(max(box.x0, image.x0), max(image.x1 - box.width, image.x0))
    low = min(max(box.y0, image.y0), max(image.y1 - box.height, image.y0))
    spot = box.translated(left - box.x0, low - box.y0)
    image = image.padded(0.1)  # what touches its edge is inside, however it is rounded
    for right, up in SHIFTS:
        moved = spot.translated(right * box.width, up * box.height)
        inside = image.contains(*moved.min) and image.contains(*moved.max)
        if inside and not any(map(moved.fully_overlaps, taken)):
            return moved
    return spot


if __name__ == '__main__':
    sys.exit(main())
