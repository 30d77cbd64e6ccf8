"""Where the quota names classes, these are what an image keeps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.runner import Runner
from pipelines import (
    CROP,
    NOTHING,
    classes_of,
    path_of,
    plain,
    preserving,
    shown,
)
from torch.utils.data import DataLoader

from mmdefect.hooks.schedule import QuotaScheduleHook
from mmdefect.samplers.defect_pool_sampler import DefectPoolSampler
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler

pytestmark = pytest.mark.usefixtures('like_a_worker')

SCRATCH, PIT, DENT = range(3)


@pytest.fixture(scope='module')
def several(small, tmp_path_factory):
    """The small set, with a dent in the corner of every second image with a pit."""
    root = tmp_path_factory.mktemp('several')
    shutil.copytree(small, root, dirs_exist_ok=True)
    content = json.loads((root / 'train.json').read_text())
    pits = {a['image_id'] for a in content['annotations'] if a['category_id'] == 2}
    for image in sorted(pits)[::2]:
        number = len(content['annotations']) + 1000
        box = dict(id=number, image_id=image, category_id=3, iscrowd=0)
        box.update(bbox=[1, 1, 10, 10], area=100)
        content['annotations'].append(box)
    (root / 'train.json').write_text(json.dumps(content))
    return root


def quota_of(dataset, quota, milestones=None, **options):
    sampler = DefectPoolSampler(dataset, seed=0, **options)
    batch_sampler = QuotaBatchSampler(sampler, 8, quota)
    if milestones:
        QuotaScheduleHook(milestones, by_epoch=False).apply(batch_sampler)
    return batch_sampler


def images_of(dataset, *labels):
    """Images that show these classes, several times over."""
    images = [n for n in range(len(dataset)) if set(labels) <= classes_of(dataset, n)]
    assert images
    return images * (200 // len(images))


@pytest.mark.parametrize(
    ('quota', 'kept'),
    [
        (dict(pit=2), {PIT}),
        (dict(pit=2, dent=1), {PIT, DENT}),
        (dict(pit=1, defect=2), {PIT}),
        (2, set()),
        (dict(defect=2), set()),
        (None, set()),
    ],
    ids=str,
)
def test_an_image_keeps_every_class_that_the_quota_names(quota, kept, several):
    dataset = preserving(plain(several, CROP))
    quota_of(dataset, quota)
    delivered = [shown(dataset[index]) for index in images_of(dataset, PIT, DENT)]
    assert all(delivered)
    for label in (PIT, DENT):
        assert all(label in labels for labels in delivered) == (label in kept)
    assert dataset.counts['partly'] == 0


def test_a_crop_that_spares_one_box_spares_that_of_the_quota(several):
    dataset = preserving(plain(several, dict(type='MinIoURandomCrop')))
    quota_of(dataset, dict(dent=1))
    images = images_of(dataset, PIT, DENT)[:60]
    assert all(DENT in shown(dataset[index]) for index in images)


def test_an_image_without_a_class_of_the_quota_keeps_what_it_has(several):
    dataset = preserving(plain(several, CROP))
    quota_of(dataset, dict(scratch=1))
    assert all(shown(dataset[index]) for index in images_of(dataset, PIT))


def test_a_class_that_only_the_schedule_names_is_kept_from_the_start(several):
    dataset = preserving(plain(several, CROP))
    quota_of(dataset, 2, [(0, 2), (20, dict(dent=1, pit=1)), (40, None)])
    for index in images_of(dataset, PIT, DENT):
        assert shown(dataset[index]) >= {PIT, DENT}
    quota_of(dataset, 2)
    delivered = [shown(dataset[index]) for index in images_of(dataset, PIT, DENT)]
    assert not all(labels >= {PIT, DENT} for labels in delivered)


class Labels(BaseModel):
    """Learns nothing, and keeps the labels that each image shows, by its path."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def forward(self, inputs, data_samples, mode):
        self.seen += [
            (sample.img_path, set(sample.gt_instances.labels.tolist()))
            for sample in data_samples
        ]
        return dict(loss=self.weight**2)


def test_workers_that_run_before_the_schedule_is_set_keep_its_classes(
    several, tmp_path
):
    # IterBasedTrainLoop starts them when it is built, and persistent ones live on.
    runner = Runner(
        Labels(),
        str(tmp_path),
        dict(
            dataset=dict(type='DefectPreservingDataset', dataset=plain(several, CROP)),
            sampler=dict(type='DefectPoolSampler'),
            batch_sampler=dict(type='QuotaBatchSampler', quota=5, infinite=True),
            batch_size=6,
            num_workers=1,
            persistent_workers=True,
            collate_fn=dict(type='pseudo_collate'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=40),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[
            dict(
                type='QuotaScheduleHook',
                milestones=[(0, 5), (1, dict(dent=3, pit=2))],
                by_epoch=False,
            )
        ],
        default_hooks=dict(checkpoint=None, logger=None),
        default_scope='mmdet',
        experiment_name='schedule',
    )
    runner.train()
    dataset = runner.train_dataloader.dataset
    both = {path_of(dataset, index) for index in images_of(dataset, PIT, DENT)}
    delivered = [labels for path, labels in runner.model.seen if path in both]
    assert len(delivered) > 40
    assert all(labels >= {PIT, DENT} for labels in delivered)


@TRANSFORMS.register_module(force=True)
class DropsDents:
    """A user's transform, which drops every instance of one class."""

    def __call__(self, results):
        kept = results['gt_bboxes_labels'] != DENT
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = results[key][kept]
        return results


def test_where_not_all_can_be_kept_one_is_and_it_is_counted(several, log):
    dataset = preserving(plain(several, dict(type='DropsDents')), max_retries=1)
    quota_of(dataset, dict(dent=1, pit=1))
    alike = set(images_of(dataset, PIT, DENT))
    for index in alike:
        result = dataset[index]
        assert PIT in shown(result)
        assert result['data_samples'].img_path == path_of(dataset, index)
    times = len(alike)
    counts = dict(retries=times, uncut=times, partly=times)
    assert dataset.counts == {**NOTHING, **counts}
    said = [line for line in log if "counts['partly']" in line]
    assert len(said) == 1
    assert 'DropsDents cut a class that the quota names away' in said[0]


def test_an_image_in_anothers_place_shows_a_class_that_the_quota_names(
    several, tmp_path
):
    root = tmp_path / 'set'
    shutil.copytree(several, root)
    dataset = preserving(plain(root, CROP))
    quota_of(dataset, dict(pit=2))
    # Unlike any other, so that its pools have no second image in common.
    content = json.loads((root / 'train.json').read_text())
    dent = images_of(dataset, PIT, DENT)[0]
    image = dataset.get_data_info(dent)['img_id']
    content['annotations'] = [
        a
        for a in content['annotations']
        if a['category_id'] != 3 or a['image_id'] == image
    ]
    scratch = next(a for a in content['annotations'] if a['category_id'] == 1)
    content['annotations'].append({**scratch, 'id': 5000, 'category_id': 3})
    (root / 'train.json').write_text(json.dumps(content))
    Path(path_of(dataset, dent)).write_bytes(b'')
    dataset = preserving(plain(root, CROP))
    quota_of(dataset, dict(pit=2))
    assert all(PIT in shown(dataset[dent]) for _ in range(20))
    assert dataset.counts['unreadable'] == 20


def test_workers_deliver_what_the_quota_names(several):
    dataset = preserving(plain(several, CROP))
    batch_sampler = quota_of(dataset, dict(pit=2))
    loader = DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        num_workers=2,
        collate_fn=pseudo_collate,
    )
    batches = [batch['data_samples'] for batch in loader]
    pits = [sum(PIT in s.gt_instances.labels for s in samples) for samples in batches]
    assert len(batches) > 30
    assert min(pits) == 2
