"""What a review's figures do not say, told beside them."""

from __future__ import annotations

import math
from typing import Any

from mmdefect.metrics.rates import CONFIDENCE, Rate, percent
from mmdefect.review import operating
from mmdefect.review.review import Review


def caveats(review: Review, cfg: Any, checkpoint: str, overkill: float) -> list[str]:
    """Sentences that belong beside the figures of a review."""
    said = []
    if not any(one.score for one in review.found):
        said.append(
            f'The detector puts no box on any of the {len(review.found):,} images, so '
            'there is nothing to choose from. It may need a longer training.'
        )
    if review.point == review.points.get(overkill, review.point):
        said += unproved(overkill, review.point.overkill, review.photographs.unit)
    if checkpoint.startswith('best_') and same_images(cfg, review.split):
        said += chosen(review, validations(cfg.get('train_cfg') or {}))
    return said


def unproved(overkill: float, stopped: Rate, unit: str = 'images') -> list[str]:
    """That an overkill rate is smaller than normal images can prove, if it is."""
    least = stopped.provable
    if overkill >= least:
        return []
    unit = unit if stopped.parts == stopped.total else 'parts'
    first = next((rate for rate in operating.RATES if rate >= least), None)
    step = (
        f'The first step that they can prove is {percent(first)}'
        if first
        else f'They prove no step of the table, only {percent(least)}'
    )
    needed = operating.images_to_prove(overkill)
    return [
        f'{stopped.parts:,} normal {unit} cannot prove that only {percent(overkill)} '
        f'of good parts are stopped. {step}; {percent(overkill)} needs {needed:,} '
        f'{unit}.'
    ]


def chosen(review: Review, checkpoints: int) -> list[str]:
    """That these images chose the checkpoint, and by how much it looks too good."""
    if checkpoints < 2:
        return []
    # Bonferroni: it holds for the best of them, whichever that is.
    bound = review.point.escape.upper(1 - (1 - CONFIDENCE) / 2 / checkpoints)
    high = percent(review.point.escape.interval()[1], math.ceil)
    most = percent(bound, math.ceil)
    return [
        f'This checkpoint is the best of {checkpoints} on these same images, so it '
        f'looks better here than it is: on new parts up to {most} of the '
        f'defects may escape, not {high}. Judge it on images that chose nothing: put '
        'them into test_dataloader, and add --split test.'
    ]


def same_images(cfg: Any, split: str) -> bool:
    """Whether a split shows the images that a training validates on."""
    if split == 'val':
        return True
    loaders = (cfg.get(f'{name}_dataloader') or {} for name in ('val', split))
    val, other = (loader.get('dataset') for loader in loaders)
    return split != 'train' and val is not None and val == other


def validations(train_cfg: Any) -> int:
    """How many checkpoints a whole training validates."""
    length = train_cfg.get('max_epochs') or train_cfg.get('max_iters') or 0
    interval, begin = train_cfg.get('val_interval', 1), train_cfg.get('val_begin', 1)
    return length // interval - (begin - 1) // interval
