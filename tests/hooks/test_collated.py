"""The quota is counted after MMYOLO's collate function, which keeps only boxes."""

from __future__ import annotations

import copy
from itertools import count
from pathlib import Path

import mmyolo_like  # noqa: F401
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from test_hooks import LOAD, PACK, log_of, logged

CLASSES = ('scratch', 'pit', 'dent')
SQUARE = (96, 96)
STEPS = [
    # A normal image shows a defect of another one in every other batch or so.
    dict(type='OwnMosaic', img_scale=SQUARE, pre_transform=LOAD),
    dict(type='RandomCrop', crop_size=SQUARE, allow_negative_crop=True),
]
NUMBERS = count()


@MODELS.register_module(force=True)
class LearnsNothing(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, inputs, data_samples, mode):
        if isinstance(data_samples, dict):  # as the heads of MMYOLO do
            data_samples['bboxes_labels'][:, 2:] /= inputs.shape[-1]
        return dict(loss=self.weight**2)


@pytest.fixture(autouse=True)
def one_run_a_second():
    """Not here: each run has a name of its own."""


def train(small, work_dir, collate, hooks=()):
    dataset = dict(
        type='OwnWayDataset',
        data_root=str(small),
        ann_file='train.json',
        data_prefix=dict(img='train/'),
        metainfo=dict(classes=CLASSES),
        pipeline=[*LOAD, *STEPS, *PACK],
    )
    cfg = dict(
        model=dict(type='LearnsNothing'),
        work_dir=str(work_dir),
        default_scope='mmdet',
        experiment_name=f'collated_{next(NUMBERS)}',
        train_dataloader=dict(
            dataset=dataset,
            sampler=dict(type='DefectPoolSampler'),
            batch_sampler=dict(type='QuotaBatchSampler', quota=4, num_batches=8),
            batch_size=12,
            num_workers=0,
            collate_fn=dict(type=collate),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=None, logger=dict(type='LoggerHook', interval=2)),
        custom_hooks=[dict(type='QuotaMonitorHook'), *hooks],
        randomness=dict(seed=1),
    )
    runner = Runner.from_cfg(Config(copy.deepcopy(cfg), format_python_code=False))
    runner.train()
    return runner.log_dir, log_of(runner)


def test_figures_are_those_of_batches_that_keep_everything(small, tmp_path):
    whole, whole_text = train(small, tmp_path / 'whole', 'pseudo_collate')
    boxes, boxes_text = train(small, tmp_path / 'boxes', 'boxes_collate')
    assert sum(logged(whole, 'added')) > 0
    assert sum(logged(whole, 'delivered')) < 4 * 8
    for name in ('delivered', 'min', *CLASSES):
        assert logged(boxes, name) == logged(whole, name)
    scalars = Path(boxes, 'vis_data/scalars.json').read_text()
    assert 'quota/added' not in scalars
    assert 'quota/seen' not in scalars
    said = 'quota/added and quota/seen are left out'
    assert (whole_text.count(said), boxes_text.count(said)) == (0, 1)


def test_the_quota_is_counted_on_after_a_dataloader_is_built_anew(small, tmp_path):
    """Without QuotaResumeHook, which is not needed for that."""
    anew = dict(type='BuildsAnewHook', epoch=1, new_train_pipeline=[*LOAD, *PACK])
    log_dir, text = train(small, tmp_path, 'boxes_collate', [anew])
    assert logged(log_dir, 'delivered')[4:] == [4] * 4
    assert 'its batches go on from before' in text
