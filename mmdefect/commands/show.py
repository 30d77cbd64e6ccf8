"""Print what a finished training run reached, and draw its detections.

Over each image stands whether its defect was found and with which score, or
missed, or that a normal image gave a false alarm.

With --against, it measures another run on the same validation images, draws
both side by side, and says in one sentence what the difference is.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from mmdefect.analysis.config import running
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.files import whole
from mmdefect.analysis.runs import (
    check_same_validation,
    find_run,
    first_validation,
    load,
    measure,
    sentence,
    shows_defect,
    titles_of,
)
from mmdefect.commands.command_line import Parser, progress
from mmdefect.commands.drawing import add_box, file_title, settle_names

if TYPE_CHECKING:
    import numpy as np

COLUMNS = 6
NAMED = 4  # detections of an image that have their names and scores beside them
TOUCHES = 0.1  # IoU from which a detection is one of what is annotated


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
    runs = [find_run(path) for path in (args.against, args.work_dir) if path]
    if not args.out.parent.is_dir():
        raise UnusableError(f'--out {args.out}: there is no {args.out.parent}')
    with running('the detectors cannot be run'):
        models = [load(run) for run in runs]
        if args.against:
            check_same_validation(models, runs)
        titles = titles_of(models, runs)
        shown = titles if args.against else ['']
        draw(models, shown, args.num, args.score, args.out)
        found = [measure(m, args.score, progress) for m in models if args.against]
    if args.against:
        print(f'{" and ".join(titles)}, on the same validation images: {args.out}')
        print(sentence(titles, found, runs))
        return 0
    for name, value in runs[0].metrics.items():
        print(f'{name}: {value:.3f}')
    if not runs[0].metrics:
        when = first_validation(models[0].cfg)
        print(f'not validated yet: the first validation comes {when}')
    print(f'checkpoint: {runs[0].checkpoint}')
    print(f'detections on validation images: {args.out}')
    return 0


def draw(
    models: list[Any], titles: list[str], num: int, score: float, out: Path
) -> None:
    """Draw detections and annotations on validation images, the same for each model."""
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
            axis.set(xticks=[], yticks=[], anchor='N')
            axis.spines[:].set_visible(False)
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


def draw_image(
    axis: Any, info: dict, model: Any, names: Sequence[str], score: float
) -> None:
    """Draw what a detector finds on one image."""
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
    found = found[np.argsort(-found.scores, kind='stable')]
    height, width = image.shape[:2]
    # A detector that has hardly trained puts boxes anywhere.
    boxes = np.nan_to_num(found.bboxes).clip(0, (width, height, width, height))
    drawn = zip(boxes, found.labels, found.scores)
    for number, (box, label, value) in enumerate(drawn):
        name = f'{names[label]} {value:.2f}' if number < NAMED else ''
        add_box(axis, box, 'red', 'solid', name)
    said, colour = judge(info, boxes, found.scores)
    axis.set_title(said, fontsize=9, color=colour)
    axis.set_xlabel(file_title(info['img_path'], 38), fontsize=7, color='0.35')


def judge(info: dict, boxes: np.ndarray, scores: np.ndarray) -> tuple[str, str]:
    """Say what a detector made of an image."""
    import numpy as np

    from mmdefect.metrics.boxes import overlaps

    alarm = f'false alarm {scores[0]:.2f}' if len(scores) else ''
    if not shows_defect(info):
        return (alarm, '#d55e00') if alarm else ('normal, and passed', '0.35')
    truth = [i['bbox'] for i in info['instances'] if not i['ignore_flag']]
    right = (overlaps(boxes, np.array(truth)) >= TOUCHES).any(1)
    if right.any():
        return f'found {scores[right][0]:.2f}', '#007a3d'
    return f'missed, {alarm}' if alarm else 'missed', '#c00000'
