"""What a training run left behind, and what its detector finds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.tracking import Track, untracked

# What is told of a validation, and how metrics call it.
FIGURES = {
    'AP50': r'.*(bbox_mAP_50|AP50)',
    'recall (AR@100, IoU 0.50:0.95)': r'.*bbox_AR@100',
}


class Run(NamedTuple):
    """What a training run left behind, and what its best checkpoint finds.

    Args:
        config (Path): Its config.
        checkpoint (Path): Its best checkpoint, the newest where several are kept; the
            last where none is best.
        metrics (dict[str, float]): Figures of the validation of that checkpoint; none
            where it ended before the first validation.
        iterations (int): How long it trained.
    """

    config: Path
    checkpoint: Path
    metrics: dict[str, float]
    iterations: int


def find_files(work_dir: Path) -> tuple[Path, Path]:
    """Find the config and the checkpoint of a training run."""
    if not work_dir.is_dir():
        raise UnusableError(f'{work_dir} is no directory')
    config = _newest(work_dir, '*.py')
    if config is None:
        raise UnusableError(f'no config in {work_dir}: training writes one there')
    return config, _newest(work_dir, 'best_*.pth') or _last(work_dir)


def find_run(work_dir: Path) -> Run:
    """Find what a training run left behind."""
    config, best = find_files(work_dir)
    last = _last(work_dir)
    validations = []
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        validations += [row for row in rows if 'loss' not in row]
    if not validations:
        return Run(config, last, {}, trained_iterations(last))
    # MMDetection logs no AP, and keeps no best checkpoint, where a detector has not a
    # single box on all validation images.
    made = int(best.stem.rpartition('_')[2])
    # The newest that counts as that checkpoint does, in epochs or in iterations.
    row = next((r for r in validations[::-1] if r['step'] == made), validations[-1])
    metrics = {
        name: row[key]
        for name, pattern in FIGURES.items()
        for key in row
        if re.fullmatch(pattern, key)
    }
    metrics = metrics or dict.fromkeys(FIGURES, 0.0)
    return Run(config, best, metrics, trained_iterations(last))


def _last(work_dir: Path) -> Path:
    last = _newest(work_dir, '[!b]*_*.pth')
    if last is None:
        raise UnusableError(
            f'no checkpoint in {work_dir}: expected epoch_N.pth or iter_N.pth'
        )
    return last


def _newest(work_dir: Path, pattern: str) -> Path | None:
    found = work_dir.glob(pattern)
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def trained_iterations(checkpoint: Path) -> int:
    """Tell how long a model was trained."""
    from mmengine.runner import CheckpointLoader

    from mmdefect.hooks.checkpoints import message_hub_allowed

    try:
        with message_hub_allowed():
            loaded = CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu', 'silent')
        return loaded['meta']['iter']
    except Exception as error:  # whatever torch raises for a file that was cut off
        said = f'{type(error).__name__}: {str(error).splitlines()[0]}'
        raise UnusableError(f'{checkpoint} cannot be read: {said}') from error


def load(run: Run) -> Any:
    """Build the detector of a run, with the weights of its best checkpoint."""
    from mmdet.apis import init_detector

    from mmdefect import registered as _  # noqa: F401
    from mmdefect.hooks.checkpoints import message_hub_allowed

    with message_hub_allowed():
        return init_detector(str(run.config), str(run.checkpoint), device='cpu')


def first_validation(cfg: Any) -> str:
    """Say when the first validation of a training comes."""
    train_cfg = cfg.get('train_cfg') or {}
    by_epoch = train_cfg.get('by_epoch', 'max_iters' not in train_cfg)
    interval = train_cfg.get('val_interval', 1)
    first = -(-train_cfg.get('val_begin', 1) // interval) * interval
    return f'after {"epoch" if by_epoch else "iteration"} {first}'


def validation_images(dataset: Any) -> list[tuple]:
    """What a dataset validates on: of each image its file's name, and its boxes."""
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    return sorted(
        (
            Path(info['img_path']).name,
            sorted(tuple(i['bbox']) for i in info['instances']),
        )
        for info in infos
    )


def check_same_validation(models: list[Any], runs: list[Run]) -> None:
    """Check that runs validate on the same images."""
    from mmengine.registry import DATASETS, init_default_scope

    init_default_scope('mmdet')
    datasets = [DATASETS.build(model.cfg.val_dataloader.dataset) for model in models]
    first, *others = map(validation_images, datasets)
    if any(other != first for other in others):
        named = [
            f'{run.config} on {getattr(dataset, "ann_file", "another dataset")} '
            f'({len(dataset):,} images)'
            for run, dataset in zip(runs, datasets)
        ]
        raise UnusableError(
            f'the runs validate on different images: {", ".join(named)}; only figures '
            'of the same images can be compared'
        )


def titles_of(models: list[Any], runs: list[Run]) -> list[str]:
    """How the batches of each run are sampled; its directory where two are the same."""
    said = [title(model.cfg) for model in models]
    if len(set(said)) < len(said):
        said = [f'{text} ({run.config.parent})' for text, run in zip(said, runs)]
    return said


def title(cfg: Any) -> str:
    """Say how the batches of a config are sampled."""
    quota = (cfg.train_dataloader.get('batch_sampler') or {}).get('quota')
    if isinstance(quota, dict):
        quota = ' + '.join(f'{images} {pool}' for pool, images in quota.items())
    return 'stock sampling' if quota is None else f'a quota of {quota}'


def measure(model: Any, score: float, track: Track = untracked) -> dict[str, float]:
    """Measure a detector on all images of the validation set."""
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
        for batch in track(loader, f'measuring {title(model.cfg)}', len(loader)):
            samples = [sample.to_dict() for sample in model.val_step(batch)]
            metric.process(batch, samples)
    return metric.evaluate(len(loader.dataset))


def sentence(titles: list[str], found: list[dict[str, float]], runs: list[Run]) -> str:
    """Tell the difference between two runs."""
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


def shows_defect(info: dict) -> bool:
    """Whether an image has an annotation that counts."""
    return any(not instance['ignore_flag'] for instance in info['instances'])
