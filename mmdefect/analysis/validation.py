"""A config's validation: whether its files are there, and what it can judge."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Iterator, Sequence

import numpy as np

from mmdefect.analysis.config import running
from mmdefect.analysis.dataloader import build_split
from mmdefect.analysis.errors import UnusableError
from mmdefect.checks.config import defect_classes_of
from mmdefect.checks.evaluation import judge_split
from mmdefect.checks.finding import Finding
from mmdefect.checks.look_alikes import ALIKE, Pair, look_alikes
from mmdefect.checks.split import photographs
from mmdefect.pools.source import source_of

WHERE = 'val_dataloader.dataset'


def check_validation(cfg: Any, training: Any = None) -> list[Finding]:
    """Check that a config can validate, on what it does not train on."""
    val, test = (
        (cfg.get(f'{split}_dataloader') or {}).get('dataset')
        for split in ('val', 'test')
    )
    findings = _check_val(cfg, training) if val else []
    if test and test != val and training is not None:
        # What is wrong with its files ends no training.
        with suppress(UnusableError), running('the test dataset cannot be built'):
            dataset = build_split(cfg, 'test')
            findings += judge_split(cfg, training, dataset, 'test')
    return findings


def wrongly_judging(cfg: Any, dataset: Any, split: str) -> list[Finding]:
    """What of a split would judge a detector wrongly, told where one is judged."""
    training = None
    with suppress(UnusableError), running('the training dataset cannot be built'):
        training = build_split(cfg, 'train')  # it may be on another machine
    found = judge_split(cfg, training, dataset, split, pixels=False)
    return [finding for finding in found if finding.breaks]


def _check_val(cfg: Any, training: Any) -> list[Finding]:
    begins = 'training will crash at the first validation'
    try:
        with running('the validation dataset cannot be built'):
            dataset = build_split(cfg, 'val')
    except UnusableError as error:
        return [Finding(WHERE, str(error.__cause__ or error), begins, '')]
    findings = [
        Finding('val_evaluator.ann_file', f'{path} does not exist', begins, '')
        for path in _evaluated_files(cfg)
        if not os.path.exists(path)
    ]
    judged = [] if training is None else judge_split(cfg, training, dataset, 'val')
    # Where no defect is seen for a fault in the files, that is the cure.
    if not any(finding.refused for finding in judged):
        findings += _check_best(cfg, dataset)
    return findings + judged


def _evaluators(cfg: Any) -> list:
    found = cfg.get('val_evaluator') or []
    return list(found) if isinstance(found, (list, tuple)) else [found]


def _evaluated_files(cfg: Any) -> Iterator[str]:
    for evaluator in _evaluators(cfg):
        path = evaluator.get('ann_file') if isinstance(evaluator, dict) else None
        if path and '://' not in path:
            yield path


def _check_best(cfg: Any, dataset: Any) -> list[Finding]:
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    best = checkpoint.get('save_best') or []
    told = [key for key in np.atleast_1d(best) if str(key).startswith('defect/')]
    if not told:
        return []
    with running('the validation images cannot be counted'):
        images = count_images(dataset, defect_classes_of(cfg))
    if images['defect']:
        lacking, instead = 'no defect', "save_best='defect/recall'"
        told = [key for key in told if not key.startswith('defect/recall')]
    else:
        lacking, instead = 'a defect', 'save_best=None'
    if not told or (images['defect'] and images['normal']):
        return []
    return [
        Finding(
            'default_hooks.checkpoint.save_best',
            f'save_best={best!r}, and none of {len(dataset):,} validation images shows '
            f'{lacking}',
            f'without both kinds there is no {told[0]}, and no checkpoint is the best; '
            'the quota holds',
            instead,
            breaks=False,
        )
    ]


def count_images(
    dataset: Any, defect_classes: Sequence[str] | None = None
) -> dict[str, int]:
    """Count the images of a dataset by what they show."""
    source = source_of(dataset)
    defects = len(source.defect_images(defect_classes))
    number = {name: len(images) for name, images in source.classes.items()}
    return {**number, 'normal': len(source) - defects, 'defect': defects}


def look_at_validation(
    cfg: Any, training: Any = None
) -> tuple[dict[str, int] | None, list[Pair]]:
    """Count the validation images by what they show; and those that training has alike.

    The most alike come first. Without ``training`` none is looked for.
    """
    if not (cfg.get('val_dataloader') or {}).get('dataset'):
        return None, []
    try:
        with running('the validation dataset cannot be built'):
            dataset = build_split(cfg, 'val')
            counted = count_images(dataset, defect_classes_of(cfg))
            if training is None:
                return counted, []
            ours, theirs = photographs(dataset, None), photographs(training, None)
    except UnusableError:  # `mmdefect check` says why
        return None, []
    pairs = look_alikes([path for path in ours if path not in theirs], theirs)
    alike = [pair for pair in pairs if pair.likeness >= ALIKE]
    return counted, sorted(alike, key=lambda pair: -pair.likeness)
