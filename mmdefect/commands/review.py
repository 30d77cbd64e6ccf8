"""Judge a trained detector: may we ship it?

Runs the detector over the validation set and writes a page that a colleague can open:
which score to set, how many defects escape there and how many good parts are stopped,
how sure that is, which images they are, and which labels look wrong. The scores are
kept: what was interrupted goes on, and a second look takes seconds.

With --split train it lists training images for the sampler: suspects.txt to be looked
through (normal images in which the detector sees a defect, or that look like no other),
hard.txt of what was struck out of it, missed.txt with weights.

Exit status: 0 all went well, 1 something that --require names is not met, 2 it cannot
be judged.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from mmdefect.commands.command_line import Parser, add_cfg_options, progress
from mmdefect.commands.screen import screen

if TYPE_CHECKING:
    from mmdefect.review.judging import Outcome
    from mmdefect.review.review import Review


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(
        prog='mmdefect review',
        usage='%(prog)s CONFIG CHECKPOINT [options]\n'
        '       %(prog)s CONFIG --predictions JSON [options]\n'
        '       %(prog)s WORK_DIR [options]',
        description=__doc__,
        epilog='examples:\n'
        '  mmdefect review work_dirs/defect_yolox\n'
        '  mmdefect review configs/defect_yolox.py best.pth \\\n'
        "      --require 'escape<=0.05@overkill<=0.01'\n"
        '  mmdefect review work_dirs/defect_yolox --split train\n'
        '  mmdefect review configs/defect_yolox.py --predictions int8.json \\\n'
        '      --against best.pth',
    )
    add = parser.add_argument
    add(
        'detector',
        nargs='+',
        type=Path,
        metavar='CONFIG CHECKPOINT',
        help='a config and a checkpoint; or where a training run wrote, whose best '
        'checkpoint is taken',
    )
    add(
        '--predictions',
        type=Path,
        metavar='JSON',
        help="what another engine found on the images, in COCO's format of results, "
        'in the place of CHECKPOINT',
    )
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='val',
        help='which images of the config (default: %(default)s)',
    )
    images.add_argument(
        '--images', type=Path, metavar='DIR', help='images without annotations instead'
    )
    at = parser.add_mutually_exclusive_group()
    at.add_argument(
        '--overkill',
        type=float,
        default=0.01,
        metavar='RATE',
        help='share of good parts that may be stopped (default: %(default)s)',
    )
    at.add_argument(
        '--threshold', type=float, metavar='SCORE', help='judge the score that is set'
    )
    add(
        '--by-class',
        action='store_true',
        help='choose a score for each class, under the --overkill of all together',
    )
    add(
        '--require',
        nargs='+',
        default=[],
        metavar='WHAT',
        help="such as 'escape<=0.05@overkill<=0.01'; exit status 1 where it is not met",
    )
    add(
        '--confident',
        action='store_true',
        help='require it of the upper 95 %% bounds, and not of the rates seen',
    )
    add(
        '--against',
        type=Path,
        metavar='OTHER',
        help='another checkpoint, or where another run wrote',
    )
    add('--against-config', type=Path, metavar='CONFIG', help='its config, if another')
    add('--out', type=Path, metavar='DIR', help='default: review_val by the checkpoint')
    add(
        '--num',
        type=int,
        default=12,
        metavar='N',
        help='pictures of each kind (default: %(default)s)',
    )
    add(
        '--suspects',
        type=int,
        default=60,
        metavar='N',
        help='normal training images listed (default: %(default)s)',
    )
    add('--device', help='such as cuda:1 or cpu (default: a GPU if there is one)')
    add('--json', action='store_true', help='print JSON')
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if args.predictions:
        if len(args.detector) > 1 or args.images or args.split == 'train':
            parser.error(
                '--predictions: expected CONFIG alone, and --split val or test'
            )
    elif len(args.detector) > 2 or (
        len(args.detector) == 1 and not args.detector[0].is_dir()
    ):
        parser.error('expected CONFIG CHECKPOINT, or the directory of a training run')
    if not 0 < args.overkill < 1:
        parser.error(f'--overkill {args.overkill}: expected a number between 0 and 1')
    if args.threshold is not None and not 0 < args.threshold <= 1:
        parser.error(f'--threshold {args.threshold}: expected above 0, up to 1')
    for name in ('num', 'suspects'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} {getattr(args, name)}: expected 1 or more')
    if args.images and (args.require or args.against):
        parser.error('--images have no annotations: leave out --require and --against')
    if args.split == 'train' and (args.require or args.against):
        parser.error(
            '--split train shows what the detector was trained on, which judges '
            'nothing: leave out --require and --against'
        )
    if args.images and not args.images.is_dir():
        parser.error(f'--images {args.images}: expected a directory')
    if args.by_class and (args.threshold or args.images or args.split == 'train'):
        parser.error(
            '--by-class chooses scores on annotated images that trained nothing: leave '
            'out --threshold, --images and --split train'
        )
    if args.confident and not args.require:
        parser.error('--confident says how --require is judged: give both')
    return args


def show(outcome: Outcome, folder: Path) -> None:
    """Print what a review says."""
    from mmdefect.review.page import sentence

    review = outcome.review
    console = screen()
    if review.split != 'train':
        console.print(rates(review))
    for text in review.caveats:
        console.print(text, markup=False, soft_wrap=True)
    if review.by_class:
        for name, score in review.by_class.scores[review.by_class.overkill].items():
            console.print(f'{name}: a score of {score:g}', markup=False)
        console.print(str(review.by_class), markup=False, soft_wrap=True)
    for verdict in review.verdicts:
        console.print(str(verdict), markup=False, soft_wrap=True)
    if outcome.against:
        console.print(sentence(review, outcome.against), markup=False)
    for file, lines in outcome.lists.items():
        if lines:
            print(f'{folder / file}: {len(lines):,} images')


def rates(review: Review) -> Any:
    """A table of what each score costs."""
    from rich.table import Table

    from mmdefect.metrics.rates import percent, percent_range

    table = Table(title=f'{review.name} on {review.split}')
    for name in ('good parts\nstopped', 'score\nto set'):
        table.add_column(name, justify='right')
    for name in ('defects that escape', 'of new parts'):
        table.add_column(name)
    least = review.point.overkill.provable
    for rate, one in review.points.items():
        table.add_row(
            f'<= {percent(rate)}' + ('\nnot provable' if rate < least else ''),
            f'{one.threshold}',
            '{} ({:,} of {:,})'.format(percent(one.escape.share), *one.escape[:2]),
            percent_range(one.escape.interval()),
        )
    return table


def find(paths: Sequence[Path]) -> tuple[Path, Path]:
    """The config and the checkpoint that paths name."""
    from mmdefect.analysis.run import find_run

    if paths[-1].is_dir():
        return find_run(paths[-1])[:2]
    return paths[0], paths[-1]


def run(args: argparse.Namespace) -> int:
    """Judge a detector."""
    from mmdefect.review.judging import (
        Detector,
        Settings,
        review_images,
        review_split,
    )
    from mmdefect.review.page import PAGE
    from mmdefect.review.predictions import Predictions
    from mmdefect.review.requirement import parse

    requirements = [parse(text) for text in args.require]
    where = f'images_{args.images.resolve().name}' if args.images else args.split
    options = (args.cfg_options, args.device)
    detector: Any
    if args.predictions:
        (config,) = args.detector
        config = find([config])[0] if config.is_dir() else config
        checkpoint, where = args.predictions, f'{where}_{args.predictions.stem}'
        detector = Predictions(config, checkpoint, args.cfg_options)
    else:
        config, checkpoint = find(args.detector)
        detector = Detector(config, checkpoint, *options)
    out = args.out or checkpoint.parent / f'review_{where}'
    settings = Settings(
        args.overkill,
        args.threshold,
        requirements,
        args.confident,
        args.by_class,
        args.num,
        args.suspects,
    )
    if args.images:
        figures = review_images(detector, args.images, out, settings, progress)
        said = '{flagged:,} of {images:,} images reach a score of {threshold}, {why}'
        print(json.dumps(figures) if args.json else said.format(**figures))
        met = True
    else:
        other = None
        if args.against:
            found = find([args.against_config or config, args.against])
            other = Detector(*found, *options)
        if args.split == 'train':
            print(
                'Scores the training images, then compares the normal ones with each '
                'other, which takes about as long again. Both are kept.',
                file=sys.stderr,
            )
        outcome = review_split(detector, args.split, out, settings, other, progress)
        if args.json:
            print(json.dumps(outcome.figures, indent=1))
        else:
            show(outcome, out)
        met = all(verdict.met for verdict in outcome.review.verdicts)
    if not args.json:
        print(out / PAGE)
    return 0 if met else 1
