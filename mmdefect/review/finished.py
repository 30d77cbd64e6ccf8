"""Finished trainings, each with what its detector finds on its validation images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple, Sequence

from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.run import Run, find_run
from mmdefect.analysis.tracking import Track, untracked
from mmdefect.metrics.image_score import Found
from mmdefect.review import findings, operating
from mmdefect.review.judging import Detector
from mmdefect.review.photographs import Photograph, Photographs, read_split
from mmdefect.review.review import check_kinds

# What is told of a validation, and how metrics call it.
FIGURES = {
    'AP50': r'.*(bbox_mAP_50|AP50)',
    'recall (AR@100, IoU 0.50:0.95)': r'.*bbox_AR@100',
}


class Finished(NamedTuple):
    """A finished training, and what its detector finds, photographs by file name."""

    run: Run
    cfg: Any
    photographs: Photographs
    found: list[Found]


def look_at_runs(work_dirs: Sequence[Path], track: Track = untracked) -> list[Finished]:
    """Let the detector of each run look at the validation images, the same for all."""
    runs = [find_run(work_dir) for work_dir in work_dirs]
    detectors = [Detector(run.config, run.checkpoint) for run in runs]
    splits = [read_split(detector.cfg, 'val') for detector in detectors]
    check_same_images(splits, runs)
    seen = []
    for work_dir, run, detector, split in zip(work_dirs, runs, detectors, splits):
        # Where a review keeps its scores too.
        found = detector.score(split, work_dir / 'review_val', track)
        order = sorted(range(len(found)), key=lambda n: identity(split.images[n]))
        split = split._replace(images=[split.images[n] for n in order])
        seen.append(Finished(run, detector.cfg, split, [found[n] for n in order]))
    return seen


def identity(image: Photograph) -> tuple[str, list]:
    """What tells a photograph from others, on whatever disk it lies."""
    return Path(image.path).name, image.boxes.tolist()


def check_same_images(splits: Sequence[Photographs], runs: Sequence[Run]) -> None:
    """Check that runs validate on the same images with the same defects."""
    shown = [sorted(map(identity, split.images)) for split in splits]
    if any(other != shown[0] for other in shown):
        named = [
            f'{run.config} on {getattr(split.dataset, "ann_file", "another dataset")} '
            f'({len(split.images):,} images)'
            for run, split in zip(runs, splits)
        ]
        raise UnusableError(
            f'the runs validate on different images: {", ".join(named)}; only figures '
            'of the same images can be compared'
        )


def figures_of(run: Run) -> dict[str, float]:
    """What the validation of a run's checkpoint told; empty before the first."""
    if run.validation is None:
        return {}
    told = {
        name: value
        for name, pattern in FIGURES.items()
        for key, value in run.validation.metrics.items()
        if re.fullmatch(pattern, key)
    }
    # MMDetection logs no AP where a detector has no box on all validation images.
    return told or dict.fromkeys(FIGURES, 0.0)


def first_validation(cfg: Any) -> str:
    """Say when the first validation of a training comes."""
    train_cfg = cfg.get('train_cfg') or {}
    by_epoch = train_cfg.get('by_epoch', 'max_iters' not in train_cfg)
    interval = train_cfg.get('val_interval', 1)
    first = -(-train_cfg.get('val_begin', 1) // interval) * interval
    return f'after {"epoch" if by_epoch else "iteration"} {first}'


def titles_of(cfgs: Sequence[Any], runs: Sequence[Run]) -> list[str]:
    """How the batches of each run are sampled; its directory where two are the same."""
    said = [sampling_of(cfg) for cfg in cfgs]
    if len(set(said)) < len(said):
        said = [f'{text} ({run.config.parent})' for text, run in zip(said, runs)]
    return said


def sampling_of(cfg: Any) -> str:
    """Say how the batches of a config are sampled."""
    quota = (cfg.train_dataloader.get('batch_sampler') or {}).get('quota')
    if isinstance(quota, dict):
        quota = ' + '.join(f'{images} {pool}' for pool, images in quota.items())
    return 'stock sampling' if quota is None else f'a quota of {quota}'


def difference(titles: Sequence[str], seen: Sequence[Finished], score: float) -> str:
    """Tell the difference between two runs at a score, in one sentence."""
    said = []
    for title, one in zip(titles, seen):
        check_kinds(one.photographs, 'val')
        curve = findings.curve_of(one.photographs.images, one.found)
        point = operating.at_threshold(curve, score)
        ap50 = figures_of(one.run).get('AP50')
        said.append(
            f'{title} found {1 - point.escape.share:.0%} of the defect images, with '
            f'false alarms on {point.overkill.share:.0%} of the normal ones'
            + ('' if ap50 is None else f' (AP50 {ap50:.2f})')
        )
    lengths = [f'{one.run.log.iteration:,}' for one in seen]
    same = len(set(lengths)) == 1
    after = f'the same {lengths[0]}' if same else ' and '.join(lengths)
    text = f'{"; ".join(said)}; after {after} iterations.'
    return text[0].upper() + text[1:].replace('%', ' %')
