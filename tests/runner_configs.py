"""The ready configs, cut down so that a real Runner trains them in seconds."""

from __future__ import annotations

import re
import shutil
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import runner as runner_module
from torch.utils._pytree import tree_map_only

from mmdefect.analysis.config import unformatted

ROOT = Path(__file__).resolve().parent.parent


def small_config(data_root, work_dir, **options) -> Config:
    """``configs/defect_yolox.py`` on ``data_root``: 6 iterations an epoch, 2 epochs.

    Args:
        data_root (Path): What ``tools/make_dataset.py`` made.
        work_dir (Path): Where the Runner writes.
        **options: What ``--cfg-options`` would take, dots written as ``__``.

    Returns:
        Config: To be passed to ``Runner.from_cfg``.
    """
    # A Runner prints its config five times; to format it takes longer than to train.
    path = str(ROOT / 'configs/defect_yolox.py')
    cfg_dict = Config.fromfile(path).to_dict()
    cfg = unformatted(Config(cfg_dict, filename=path))
    cfg.work_dir = str(work_dir)
    point_to(cfg, data_root)
    cfg.merge_from_dict(
        {
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_dataloader.batch_sampler.num_batches': 6,
            'train_cfg': dict(type='EpochBasedTrainLoop', max_epochs=2),
            'model.backbone.widen_factor': 0.125,
            'model.neck.in_channels': [32, 64, 128],
            'model.neck.out_channels': 32,
            'model.bbox_head.in_channels': 32,
            'model.bbox_head.feat_channels': 32,
            'default_hooks.logger.interval': 1,
            'randomness': dict(seed=5),
        }
    )
    cfg.param_scheduler = None
    del cfg.visualizer.name  # one name would be one log for all runs of a process
    for name in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[name] = cfg[f'test{name[3:]}'] = None
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=-1)
    cfg.merge_from_dict(
        # MMEngine takes `_delete_` out of what it merges.
        {key.replace('__', '.'): deepcopy(v) for key, v in options.items()}
    )
    return cfg


def edit_configs(folder, **lines) -> Path:
    """Copy the ready configs, and change what a user edits at their tops.

    Args:
        folder (Path): Where the copy goes.
        **lines: What stands left of ``=`` in lines of the configs, and what is to
            stand right of it. A comma is written as ``__``.

    Returns:
        Path: The copied directory.
    """
    copy = Path(folder, 'configs')
    shutil.copytree(ROOT / 'configs', copy, ignore=shutil.ignore_patterns('__*'))
    for path in copy.rglob('*.py'):
        text = path.read_text()
        for names, value in lines.items():
            left = names.replace('__', ', ')
            text = re.sub(rf'^{left} = .*$', f'{left} = {value!r}', text, flags=re.M)
        path.write_text(text)
    return copy


def point_to(cfg, data_root) -> None:
    """Make every dataset of a config read from ``data_root``."""
    for split in ('train', 'val', 'test'):
        dataset = cfg[f'{split}_dataloader'].dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        dataset.data_root = f'{data_root}/'
    for name in ('val_evaluator', 'test_evaluator'):
        cfg[name][0].ann_file = f'{data_root}/annotations/val.json'


def add_mosaic(cfg) -> None:
    """Make Mosaic the first step of a small config's pipeline after loading."""
    leaf = cfg.train_dataloader.dataset.dataset
    cfg.train_dataloader.dataset.dataset = dict(
        type='MultiImageMixDataset',
        dataset=dict(leaf, pipeline=leaf.pipeline[:2]),
        pipeline=[dict(type='Mosaic', img_scale=(160, 160)), *leaf.pipeline[2:]],
    )


def load_onto_another_device(monkeypatch) -> None:
    """Load checkpoints as MMEngine does on a GPU, with one that every machine has.

    Weights and optimizer go where the model is; whatever else is a tensor does not.

    Args:
        monkeypatch (pytest.MonkeyPatch): Changes what a Runner calls.
    """
    load = runner_module._load_checkpoint

    def load_elsewhere(*args, **kwargs):
        checkpoint = load(*args, **kwargs)
        for name in set(checkpoint) - {'state_dict', 'ema_state_dict', 'optimizer'}:
            checkpoint[name] = tree_map_only(
                torch.Tensor, lambda tensor: tensor.to('meta'), checkpoint[name]
            )
        return checkpoint

    monkeypatch.setattr(runner_module, '_load_checkpoint', load_elsewhere)


@HOOKS.register_module(force=True)
class RecordBatches(Hook):
    """Keeps the image ids of each batch that the model got.

    Args:
        path (str, optional): Where rank r writes them as well, to ``<path><r>.txt``: at
            once, a line for each iteration, its number first.
    """

    def __init__(self, path=None):
        self.path = path
        self.batches = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        ids = [sample.img_id for sample in data_batch['data_samples']]
        self.batches.append(ids)
        if self.path:
            with open(f'{self.path}{runner.rank}.txt', 'a') as file:
                print(runner.iter, *ids, file=file)


def recorded(path, rank=0):
    """What ``RecordBatches`` wrote.

    Args:
        path (Path): Its ``path``.
        rank (int): The rank.

    Returns:
        list[tuple]: Iteration and image ids of each batch, in the order of training.
    """
    file = Path(f'{path}{rank}.txt')
    lines = file.read_text().splitlines() if file.exists() else []
    numbers = [[int(word) for word in line.split()] for line in lines]
    return [(iteration, ids) for iteration, *ids in numbers]
