"""Print what a finished training run reached, and draw its detections.

Example:
    python tools/show_detections.py work_dirs/defect_yolox
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

COLUMNS = 6


def main() -> int:
    """Run the tool.

    Returns:
        int: 0, or 2 where there is nothing to show.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('work_dir', type=Path, help='where the training run wrote')
    parser.add_argument('--num', type=int, default=18, help='validation images drawn')
    parser.add_argument('--score', type=float, default=0.3, help='lowest score drawn')
    parser.add_argument(
        '--out', type=Path, help='picture to write; default WORK_DIR/detections.png'
    )
    args = parser.parse_args()
    if args.num < 1 or not 0 <= args.score <= 1:
        parser.error('--num must be at least 1 and --score between 0 and 1')
    try:
        config, checkpoint, metrics = find_run(args.work_dir)
        out = args.out or args.work_dir / 'detections.png'
        draw(config, checkpoint, args.num, args.score, out)
    except FileNotFoundError as error:
        print(f'show_detections.py: {error}', file=sys.stderr)
        return 2
    for name, value in metrics.items():
        print(f'{name}: {value:.3f}')
    print(f'checkpoint: {checkpoint}')
    print(f'detections on validation images: {out}')
    return 0


def find_run(work_dir: Path) -> tuple[Path, Path, dict[str, float]]:
    """Find what a training run left behind.

    Args:
        work_dir (Path): Where it wrote.

    Returns:
        tuple[Path, Path, dict[str, float]]: The config, the best checkpoint and the
        metrics of the validation that chose it.

    Raises:
        FileNotFoundError: If something is missing.
    """

    def newest(pattern: str, what: str) -> Path:
        found = sorted(work_dir.glob(pattern), key=lambda path: path.stat().st_mtime)
        if not found:
            raise FileNotFoundError(f'no {what} in {work_dir}: expected {pattern}')
        return found[-1]

    config = newest('*.py', 'config')
    checkpoint = newest('best_*.pth', 'best checkpoint')
    log = newest('*/vis_data/scalars.json', 'log')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    rows = [row for row in rows if 'coco/bbox_mAP_50' in row]
    if not rows:
        raise FileNotFoundError(f'no validation in {log}')
    best = max(rows, key=lambda row: row['coco/bbox_mAP_50'])
    metrics = {
        'AP50': best['coco/bbox_mAP_50'],
        'recall (AR@100, IoU 0.50:0.95)': best['coco/bbox_AR@100'],
    }
    return config, checkpoint, metrics


def draw(config: Path, checkpoint: Path, num: int, score: float, out: Path) -> None:
    """Draw detections beside the annotations of validation images.

    Args:
        config (Path): Config of the run.
        checkpoint (Path): Weights.
        num (int): Number of images, two thirds of them with a defect if there are.
        score (float): Lowest score drawn.
        out (Path): Picture to write.
    """
    import cv2
    import matplotlib
    import numpy as np
    from mmdet.apis import inference_detector, init_detector
    from mmengine.registry import DATASETS, init_default_scope

    from mmdefect.checkpoints import allow_checkpoint_types

    matplotlib.use('Agg')
    from matplotlib import pyplot

    allow_checkpoint_types()
    model = init_detector(str(config), str(checkpoint), device='cpu')
    init_default_scope('mmdet')
    dataset = DATASETS.build(model.cfg.val_dataloader.dataset)
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    defect = [info for info in infos if info['instances']]
    normal = [info for info in infos if not info['instances']]
    defect = defect[: max(num * 2 // 3, num - len(normal))]
    chosen = defect + normal[: num - len(defect)]

    names = dataset.metainfo['classes']
    rows = -(-len(chosen) // COLUMNS)
    figure, axes = pyplot.subplots(
        rows, COLUMNS, figsize=(2.2 * COLUMNS, 2.4 * rows + 0.5), squeeze=False
    )
    for axis in axes.ravel():
        axis.axis('off')
    for axis, info in zip(axes.ravel(), chosen):
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
    figure.suptitle(
        f'red: detections with a score of at least {score}; green, dashed: annotations',
        fontsize=11,
    )
    figure.tight_layout()
    part = out.with_name(f'.{out.stem}.part.png')
    figure.savefig(part, dpi=110)
    part.replace(out)


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
