r"""Print what a finished training run reached, and draw its detections.

With --against, it measures another run on the same validation images, draws both side
by side, and says in one sentence what the difference is.

Example:
    python tools/show_detections.py work_dirs/defect_yolox
    python tools/show_detections.py work_dirs/defect_yolox \
        --against work_dirs/defect_yolox_stock
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

COLUMNS = 6


class Run(NamedTuple):
    """What a training run left behind, and what its best checkpoint finds.

    Args:
        config (Path): Its config.
        checkpoint (Path): Its best checkpoint; the last where none is best.
        metrics (dict[str, float]): Figures of the validation that chose it.
        iterations (int): How long it trained.
    """

    config: Path
    checkpoint: Path
    metrics: dict[str, float]
    iterations: int


def main(argv: list[str] | None = None) -> int:
    """Run the tool.

    Returns:
        int: 0, or 2 where there is nothing to show.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('work_dir', type=Path, help='where the training run wrote')
    parser.add_argument(
        '--against', type=Path, metavar='WORK_DIR', help='where another run wrote'
    )
    parser.add_argument('--num', type=int, default=18, help='validation images drawn')
    parser.add_argument('--score', type=float, default=0.3, help='lowest score drawn')
    parser.add_argument(
        '--out',
        type=Path,
        help='picture to write; default WORK_DIR/detections.png, or comparison.png',
    )
    args = parser.parse_args(argv)
    if args.num < 1 or not 0 <= args.score <= 1:
        parser.error('--num must be at least 1 and --score between 0 and 1')
    name = 'comparison.png' if args.against else 'detections.png'
    out = args.out or args.work_dir / name
    try:
        runs = [find_run(path) for path in (args.against, args.work_dir) if path]
    except FileNotFoundError as error:
        print(f'show_detections.py: {error}', file=sys.stderr)
        return 2
    models = [load(run) for run in runs]
    titles = [title(model.cfg) for model in models]
    draw(models, titles if args.against else [''], args.num, args.score, out)
    if args.against:
        found = [measure(model, args.score) for model in models]
        print(f'stock, then quota, on the same validation images: {out}')
        print(sentence(titles, found, runs))
        return 0
    for name, value in runs[0].metrics.items():
        print(f'{name}: {value:.3f}')
    print(f'checkpoint: {runs[0].checkpoint}')
    print(f'detections on validation images: {out}')
    return 0


def find_run(work_dir: Path) -> Run:
    """Find what a training run left behind.

    Args:
        work_dir (Path): Where it wrote.

    Returns:
        Run: The config, the best checkpoint and its metrics.

    Raises:
        FileNotFoundError: If something is missing.
    """

    def newest(pattern: str, what: str) -> Path:
        found = sorted(work_dir.glob(pattern), key=lambda path: path.stat().st_mtime)
        if not found:
            raise FileNotFoundError(f'no {what} in {work_dir}: expected {pattern}')
        return found[-1]

    config = newest('*.py', 'config')
    last = newest('[!b]*_*.pth', 'checkpoint')
    log = newest('*/vis_data/scalars.json', 'log')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    rows = [row for row in rows if 'loss' not in row]
    if not rows:
        raise FileNotFoundError(f'no validation in {log}')
    # MMDetection logs no AP, and keeps no best checkpoint, where a detector has not a
    # single box on all validation images.
    measured = [row for row in rows if 'coco/bbox_mAP_50' in row]
    checkpoint = newest('best_*.pth', 'best checkpoint') if measured else last
    best = max(measured, key=lambda row: row['coco/bbox_mAP_50'], default={})
    metrics = {
        'AP50': best.get('coco/bbox_mAP_50', 0.0),
        'recall (AR@100, IoU 0.50:0.95)': best.get('coco/bbox_AR@100', 0.0),
    }
    return Run(config, checkpoint, metrics, trained_iterations(last))


def trained_iterations(checkpoint: Path) -> int:
    """Tell how long a model was trained.

    Args:
        checkpoint (Path): The last checkpoint of the run.

    Returns:
        int: The number of iterations.
    """
    import torch

    from mmdefect.checkpoints import allow_checkpoint_types

    allow_checkpoint_types()
    return torch.load(checkpoint, map_location='cpu')['meta']['iter']


def load(run: Run) -> Any:
    """Build the detector of a run, with the weights of its best checkpoint."""
    from mmdet.apis import init_detector

    return init_detector(str(run.config), str(run.checkpoint), device='cpu')


def title(cfg: Any) -> str:
    """Say how the batches of a config are sampled."""
    quota = (cfg.train_dataloader.get('batch_sampler') or {}).get('quota')
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
    from rich.console import Console
    from rich.progress import track

    from mmdefect import DefectImageMetric

    init_default_scope('mmdet')
    loader = Runner.build_dataloader(
        dict(model.cfg.val_dataloader, num_workers=0, persistent_workers=False)
    )
    metric = DefectImageMetric(score_thr=score, iou_thrs=[0.5], num_bootstrap=0)
    metric.dataset_meta = loader.dataset.metainfo
    screen = Console(stderr=True)
    name = title(model.cfg)
    batches = track(loader, name, console=screen, disable=not screen.is_terminal)
    with torch.no_grad():
        for batch in batches:
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
        f'alarms on {figures["defect/overkill"]:.0%} of the normal images (AP50 '
        f'{run.metrics["AP50"]:.2f})'
        for name, figures, run in zip(titles, found, runs)
    ]
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
    defect = [info for info in infos if info['instances']]
    normal = [info for info in infos if not info['instances']]
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
        for axis, info in zip(axes, chosen):
            draw_image(axis, info, model, dataset.metainfo['classes'], score)
    figure.supxlabel(
        f'red: detections with a score of at least {score}; green, dashed: annotations',
        fontsize=11,
    )
    part = out.with_name(f'.{out.stem}.part.png')
    figure.savefig(part, dpi=110)
    pyplot.close(figure)
    part.replace(out)


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
    axis.set_title('defect' if info['instances'] else 'normal', fontsize=9)


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
        axis.text(
            left,
            max(top - 2, 8),
            text,
            fontsize=7,
            color='white',
            bbox=dict(facecolor=colour, edgecolor='none', pad=0.8),
        )


if __name__ == '__main__':
    sys.exit(main())
