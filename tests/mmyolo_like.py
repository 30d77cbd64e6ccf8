"""What MMYOLO's dataset, transforms, collate function and hook are like from outside.

Tests with the real ones are in ``works_with/on_mmyolo.py``.
"""

from __future__ import annotations

import copy

import torch
from mmdet.datasets import CocoDataset
from mmdet.datasets.transforms import Mosaic
from mmdet.registry import DATASETS, TRANSFORMS
from mmengine.dataset import Compose
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS, HOOKS
from mmengine.runner import Runner


@DATASETS.register_module(force=True)
class OwnWayDataset(CocoDataset):
    """Hands itself to the pipeline, as ``BatchShapePolicyDataset`` does."""

    def prepare_data(self, idx):
        info = self.get_data_info(idx)
        info['dataset'] = self
        return self.pipeline(info)


class Mixes:
    """Loads what it mixes by a pipeline of its own, as ``BaseMixImageTransform``."""

    def prepare(self, results):
        dataset = results.pop('dataset')
        indexes = self.get_indexes(dataset)
        mixed = []
        for index in indexes if isinstance(indexes, list) else [indexes]:
            info = copy.deepcopy(dataset.get_data_info(index))
            info['dataset'] = dataset
            partner = self.pre_transform(info)
            partner.pop('dataset')
            mixed.append(partner)
        results['mix_results'] = mixed
        return dataset


@TRANSFORMS.register_module(force=True)
class OwnMosaic(Mixes, Mosaic):
    """MMYOLO's ``Mosaic``.

    Args:
        pre_transform (list): What partners are prepared with.
        partners (list[int], optional): Indices of these. None is at random.
        **options: Those of MMDetection's.
    """

    def __init__(self, pre_transform, partners=None, **options):
        super().__init__(**options)
        self.pre_transform = Compose(pre_transform)
        self.partners = partners

    def get_indexes(self, dataset):
        return self.partners or super().get_indexes(dataset)

    def transform(self, results):
        dataset = self.prepare(results)
        results = super().transform(results)
        results.pop('mix_results')
        results['dataset'] = dataset
        return results


@TRANSFORMS.register_module(force=True)
class OwnMixUp(Mixes):
    """MMYOLO's ``YOLOv5MixUp``: it is the partner's boxes that are joined by.

    Args:
        pre_transform (list): What the partner is prepared with.
        partner (int): Its index.
    """

    def __init__(self, pre_transform, partner):
        self.pre_transform = Compose(pre_transform)
        self.partner = partner

    def get_indexes(self, dataset):
        return self.partner

    def __call__(self, results):
        dataset = self.prepare(results)
        (partner,) = results.pop('mix_results')
        boxes = partner['gt_bboxes']
        results['gt_bboxes'] = boxes.cat((results['gt_bboxes'], boxes))
        assert len(boxes) == 0
        results['dataset'] = dataset
        return results


@FUNCTIONS.register_module(force=True)
def boxes_collate(data_batch):
    """MMYOLO's ``yolov5_collate``."""
    rows = []
    for position, item in enumerate(data_batch):
        instances = item['data_samples'].gt_instances
        labels = instances.labels[:, None]
        numbers = torch.full_like(labels, position)
        rows.append(torch.cat((numbers, labels, instances.bboxes.tensor), dim=1))
    return dict(
        inputs=torch.stack([item['inputs'] for item in data_batch]),
        data_samples=dict(bboxes_labels=torch.cat(rows)),
    )


@HOOKS.register_module(force=True)
class BuildsAnewHook(Hook):
    """MMYOLO's ``YOLOXModeSwitchHook``, which builds the dataloader anew.

    Args:
        epoch (int): Before which epoch, from 0.
        new_train_pipeline (list, optional): The pipeline from then on.
        priority (str): When it does, among the hooks.
        **changes: What is changed in ``train_dataloader.batch_sampler``.
    """

    def __init__(self, epoch, new_train_pipeline=None, priority='NORMAL', **changes):
        self.epoch = epoch
        self.pipeline = new_train_pipeline
        self.priority = priority
        self.changes = changes

    def before_train_epoch(self, runner):
        if runner.epoch != self.epoch:
            return
        cfg = copy.deepcopy(runner._train_dataloader)
        cfg['batch_sampler'].update(self.changes)
        if self.pipeline:
            cfg['dataset']['pipeline'] = self.pipeline
        runner.train_loop.dataloader = Runner.build_dataloader(cfg)
