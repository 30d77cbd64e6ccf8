"""Counts that a user reads are of photographs, not of indices."""

from __future__ import annotations

import pytest
from dataset_files import Image
from faulty_files import IMAGES, coco, sampler
from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from mmengine.registry import DATASETS

from mmdefect import QuotaBatchSampler
from mmdefect.samplers.draws import draws_per_image

mmdet = pytest.importorskip('mmdet.datasets')


@pytest.mark.parametrize('kind', ['repeated', 'listed twice', 'wrapped'])
def test_a_user_reads_of_photographs_and_not_of_repetitions(kind, tmp_path, log):
    dataset = coco(tmp_path)
    dataset = {
        'repeated': lambda: RepeatDataset(dataset, 10),
        'listed twice': lambda: mmdet.ConcatDataset(
            [coco(tmp_path) for _ in range(10)]
        ),
        'wrapped': lambda: DATASETS.build(
            dict(
                type='DefectPreservingDataset',
                dataset=dict(type=lambda: RepeatDataset(dataset, 10)),
            )
        ),
    }[kind]()
    made = sampler(dataset)
    batches = QuotaBatchSampler(made, batch_size=8, quota=3)
    line = next(m for m in log if 'batches per epoch' in m)
    assert line.startswith('20 normal + 8 defect images (28.6 %), repeated to 280; ')
    assert '40 batches per epoch; each defect image drawn about 15 times' in line
    assert draws_per_image(batches, 40) == dict(defect=15, crack=0, dent=0)
    assert made.photographs == dict(all=28, normal=20, defect=8, crack=4, dent=4)


def test_what_balances_classes_repeats_photographs_too(tmp_path):
    made = sampler(ClassBalancedDataset(coco(tmp_path), 0.9))
    assert len(made.pools['defect']) > 8
    assert made.photographs['defect'] == 8


def test_normal_images_with_ignored_instances_are_counted_once(tmp_path, log):
    crowd = [Image(f'c{i}', (), ('crack',)) for i in range(3)]
    dataset = coco(tmp_path, images=IMAGES + crowd)
    QuotaBatchSampler(sampler(RepeatDataset(dataset, 10)), batch_size=8, quota=3)
    line = next(m for m in log if 'batches per epoch' in m)
    assert ', 3 normal with ignored instances only' in line


def test_images_that_no_quota_reaches_are_counted_once(tmp_path, log):
    made = sampler(RepeatDataset(coco(tmp_path), 10))
    QuotaBatchSampler(made, batch_size=8, quota=dict(dent=3))
    assert [m for m in log if 'no quota reaches them: 4 crack images' in m]
