"""Broken configs are told from sound ones before training."""

from __future__ import annotations

import contextlib
import copy
import io
import re

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from user_configs import BROKEN, PRESERVED, SOUND

from mmdefect.checks.config import check_config
from mmdefect.checks.dataset import check_dataset


@pytest.fixture
def load(synthetic, tmp_path):
    def read(text):
        path = tmp_path / 'config.py'
        path.write_text(text.replace('{data}', str(synthetic)))
        return Config.fromfile(str(path))

    return read


def build(cfg):
    init_default_scope('mmdet')
    with contextlib.redirect_stdout(io.StringIO()):
        return DATASETS.build(cfg.train_dataloader.dataset)


def breaks(cfg):
    return [finding for finding in check_config(cfg, build(cfg)) if finding.breaks]


@pytest.mark.parametrize('name', [*SOUND, *PRESERVED])
def test_a_sound_config_is_not_accused(load, name):
    assert breaks(load({**SOUND, **PRESERVED}[name])) == []


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_config_is_caught_where_it_is_broken(load, name):
    text, where = BROKEN[name]
    assert where in [finding.where for finding in breaks(load(text))]


def notes(cfg):
    return [finding for finding in check_config(cfg, build(cfg)) if not finding.breaks]


def test_what_only_costs_time_or_a_class_is_no_finding(load):
    crop, _ = notes(load(SOUND['SSD with its own crop']))
    assert 'MinIoURandomCrop' in crop.what
    iterations = load(SOUND['RetinaNet in iterations'])
    iterations.train_dataloader.batch_sampler.infinite = False
    pause, _ = notes(iterations)
    assert pause.where == 'train_dataloader.batch_sampler.infinite'


@pytest.mark.parametrize('own', [False, True])
def test_whoever_would_train_with_the_same_augmentation_each_epoch_is_told(own, load):
    cfg = load(next(iter(SOUND.values())))
    cfg.train_dataloader.update(num_workers=2, persistent_workers=False)
    cfg.custom_hooks = [dict(type='QuotaResumeHook')] if own else []
    if own:
        assert notes(cfg) == []
        cfg.train_dataloader.worker_init_fn = dict(type='mine')
    told = [note.where for note in notes(cfg)]
    assert 'train_dataloader.persistent_workers' in told
    cfg.train_dataloader.persistent_workers = True
    told = [note.where for note in notes(cfg)]
    assert 'train_dataloader.persistent_workers' not in told


@pytest.mark.parametrize(
    ('step', 'name'),
    [
        (dict(type='AutoAugment'), 'AutoAugment'),
        (dict(type='RandAugment'), 'RandAugment'),
        (dict(type='CachedMixUp', img_scale=(64, 64)), 'CachedMosaic, CachedMixUp'),
    ],
    ids=['AutoAugment', 'RandAugment', 'CachedMixUp'],
)
def test_whatever_cuts_or_mixes_is_named(load, step, name):
    mosaic = [dict(type='CachedMosaic', img_scale=(64, 64))] * ('Cached' in name)
    cfg = load(SOUND['Faster R-CNN'])
    cfg.train_dataloader.dataset.pipeline[2:2] = [*mosaic, step]
    (finding,) = check_dataset(build(cfg))
    assert finding.breaks
    assert f'no DefectPreservingDataset around {name} of' in finding.what


def test_whoever_cannot_resume_exactly_is_told(load):
    cfg = load(SOUND['Faster R-CNN'])
    (note,) = notes(cfg)
    assert note.where == 'custom_hooks'
    assert "dict(type='QuotaResumeHook')" in note.fix
    cfg.custom_hooks = [dict(type='QuotaResumeHook')]
    assert notes(cfg) == []


def test_of_a_sliced_dataset_only_the_slice_is_to_blame(load):
    cfg = load(PRESERVED['YOLOX'])
    cfg.train_dataloader.num_batch_per_epoch = 5
    dataset = Runner.build_dataloader(cfg.train_dataloader, seed=0).dataset
    for findings in (check_dataset(dataset), breaks(cfg)):
        (finding,) = findings
        assert finding.where == 'train_dataloader.num_batch_per_epoch'


def place(cfg, where):
    """What holds a key of the config, and the key's last part."""
    *path, last = re.findall(r'[^.\[\]]+', where)
    for part in path:
        cfg = cfg[int(part) if part.isdigit() else part]
    return cfg, last


def follow(cfg, finding):
    """Write a fix where its finding says."""
    holder, key = place(cfg, finding.where)
    if finding.fix == f'{key}=....dataset':
        holder[key] = holder[key].dataset
        return
    fix = eval(f'dict({finding.fix})')
    assert list(fix) == [key]
    value = fix[key]
    if isinstance(value, list):
        value = [x for part in value for x in (holder[key] if part is ... else [part])]
    if isinstance(value, dict):
        value.pop('_delete_', None)
        value = {k: holder[key] if v is ... else v for k, v in value.items()}
    holder[key] = value


@pytest.mark.parametrize('name', BROKEN)
def test_whoever_writes_the_fixes_ends_with_a_sound_config(load, name):
    cfg = load(BROKEN[name][0])
    for _ in range(4):
        found = breaks(cfg)
        if not found:
            return
        # Where one place has two findings, one fix may serve both.
        for finding in {finding.where: finding for finding in found}.values():
            follow(cfg, finding)
    assert found == []


def test_what_one_line_mends_is_said_once(load):
    """RTMDet crops in both of its pipelines: one wrapper serves both."""
    found = [finding.where for finding in breaks(load(BROKEN["RTMDet's own crop"][0]))]
    assert len(found) == len(set(found)) == 3


def test_a_skipped_mosaic_is_no_finding(load):
    dataset = build(load(BROKEN["YOLOX's own Mosaic"][0]))
    assert check_dataset(dataset)
    dataset.update_skip_type_keys(['Mosaic', 'RandomAffine', 'MixUp'])
    assert check_dataset(dataset) == []


def test_a_dataset_may_keep_other_things_under_the_names_of_parts(few_defects):
    few_defects = copy.copy(few_defects)
    few_defects.dataset, few_defects.datasets = 'line 2', None
    assert check_dataset(few_defects) == []


def test_a_transform_that_never_runs_is_no_finding(load):
    cfg = load(BROKEN['a crop in RandomApply in RepeatDataset'][0])
    assert check_dataset(build(cfg))
    cfg.train_dataloader.dataset.dataset.pipeline[3].prob = 0.0
    assert check_dataset(build(cfg)) == []


def test_a_batch_of_one_image_is_advised_a_quota_over_several(load):
    cfg = load(SOUND['SSD with its own crop'])
    cfg.train_dataloader.update(batch_size=1, batch_sampler=None)
    (finding,) = breaks(cfg)
    assert "type='QuotaBatchSampler', quota=3, over=8)" in finding.fix


def test_a_metric_that_judges_other_classes_than_are_drawn_is_found(load):
    cfg = load(PRESERVED['RetinaNet on one of three classes'])
    ours = dict(type='DefectImageMetric', defect_classes=['pit'])
    for evaluator, where in (
        (dict(ours), ''),
        ([dict(type='CocoMetric'), dict(ours)], '[1]'),
    ):
        cfg.val_evaluator = evaluator
        assert breaks(cfg) == []
        for judged in (None, ['dent']):
            metric = cfg.val_evaluator[1] if where else cfg.val_evaluator
            metric.defect_classes = judged
            (finding,) = breaks(cfg)
            assert finding.where == f'val_evaluator{where}.defect_classes'
            assert finding.fix == "defect_classes=['pit']"
