"""An interrupted run goes on with the very next batch."""

from __future__ import annotations

import json
import re
from itertools import product

import pytest
import torch
from mmengine.runner import CheckpointLoader, Runner
from runner_configs import RecordBatches, small_config

from mmdefect.delivery.preserving import DefectPreservingDataset
from mmdefect.hooks.checkpoints import message_hub_allowed

LOOPS = {
    'epoch loop': {},
    'iteration loop': dict(
        train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=12)
    ),
    'infinite iteration loop': dict(
        train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=12),
        train_dataloader__batch_sampler__infinite=True,
    ),
}


def train(cfg):
    runner = Runner.from_cfg(cfg)
    record = RecordBatches()
    runner.register_hook(record)
    runner.train()
    return record.batches


def leaf_dataset(cfg):
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset


def saving_config(synthetic, work_dir, **options):
    cfg = small_config(synthetic, work_dir, **options)
    cfg.custom_hooks = [dict(type='QuotaResumeHook')]
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=3, save_best=None
    )
    return cfg


# Persistent workers among them: whatever the loop does, they have begun to prefetch.
MATRIX = list(product(LOOPS, (0, 1, 4), ('quota 3', 'schedule')))
FAST = [
    ('epoch loop', 0, 'quota 3'),
    ('iteration loop', 0, 'quota 3'),
    ('infinite iteration loop', 1, 'schedule'),
]


@pytest.mark.parametrize(
    ('loop', 'workers', 'quota'),
    FAST + [pytest.param(*c, marks=pytest.mark.slow) for c in MATRIX if c not in FAST],
)
def test_a_resumed_run_trains_on_the_batches_that_were_left(
    synthetic, tmp_path, loop, workers, quota
):
    cfg = saving_config(
        synthetic,
        tmp_path,
        train_dataloader__num_workers=workers,
        train_dataloader__persistent_workers=workers > 1,
        **LOOPS[loop],
    )
    if quota == 'schedule':
        milestones = [(0, 3), (5, 1), (8, None)]
        cfg.custom_hooks += [
            dict(type='QuotaScheduleHook', milestones=milestones, by_epoch=False)
        ]
    whole = train(cfg)
    assert len(whole) == 12
    # one in the middle of the first epoch, one at its end, one in the second
    for done in (3, 6, 9):
        cfg.resume, cfg.load_from = True, str(tmp_path / f'iter_{done}.pth')
        assert train(cfg) == whole[done:]


def test_no_batch_is_loaded_to_be_thrown_away(synthetic, tmp_path, monkeypatch):
    cfg = saving_config(synthetic, tmp_path, **LOOPS['infinite iteration loop'])
    train(cfg)
    loaded = []
    load = DefectPreservingDataset.__getitem__

    def counted(dataset, index):
        loaded.append(index)
        return load(dataset, index)

    monkeypatch.setattr(DefectPreservingDataset, '__getitem__', counted)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_9.pth')
    assert len(train(cfg)) == 3
    assert len(loaded) == 3 * cfg.train_dataloader.batch_size


def test_the_log_of_a_resumed_epoch_counts_its_batches_on(synthetic, tmp_path):
    cfg = saving_config(synthetic, tmp_path / 'first')
    train(cfg)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'first/iter_3.pth')
    cfg.work_dir = str(tmp_path / 'second')
    train(cfg)
    (log,) = [path.read_text() for path in (tmp_path / 'second').glob('*/*.log')]
    positions = re.findall(
        r'Epoch\(train\) +(\[\d+\]\[\d+/\d+\])', log.replace('[ ', '[')
    )
    assert positions == [
        '[1][4/6]',
        '[1][5/6]',
        '[1][6/6]',
        *(f'[2][{n}/6]' for n in range(1, 7)),
    ]


def fewer_images(content):
    content['images'] = content['images'][:200]


def one_defect_less(content):
    image_id = content['annotations'][0]['image_id']
    content['annotations'] = [
        x for x in content['annotations'] if x['image_id'] != image_id
    ]


def a_defect_on_another_image(content):
    marked = {x['image_id'] for x in content['annotations']}
    image_id = content['annotations'][0]['image_id']
    clean = next(x['id'] for x in content['images'] if x['id'] not in marked)
    for annotation in content['annotations']:
        if annotation['image_id'] == image_id:
            annotation['image_id'] = clean


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (fewer_images, 'images then 300, now 200'),
        (one_defect_less, r"pools then {'normal': 291, .* now {'normal': 292, "),
        (a_defect_on_another_image, r'indices in the pools \(checksum\) then'),
    ],
)
def test_a_replaced_annotation_file_is_refused_with_what_changed(
    synthetic, tmp_path, change, said
):
    content = json.loads((synthetic / 'annotations/train.json').read_text())
    path = tmp_path / 'train.json'
    path.write_text(json.dumps(content))
    cfg = saving_config(synthetic, tmp_path, train_cfg__max_epochs=1)
    leaf_dataset(cfg).ann_file = str(path)
    train(cfg)
    change(content)
    path.write_text(json.dumps(content))
    cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_3.pth')
    with pytest.raises(ValueError, match=said):
        train(cfg)


def test_a_checkpoint_of_an_older_run_goes_on_from_its_iteration_count(
    synthetic, tmp_path
):
    cfg = saving_config(synthetic, tmp_path)
    whole = train(cfg)
    path = tmp_path / 'iter_3.pth'
    with message_hub_allowed():
        checkpoint = CheckpointLoader.load_checkpoint(str(path), 'cpu')
    del checkpoint['quota_batch_sampler']
    torch.save(checkpoint, path)
    cfg.resume, cfg.load_from = True, str(path)
    assert train(cfg) == whole[3:]
    logs = [log.read_text() for log in tmp_path.glob('*/*.log')]
    assert any('going on from its iteration count, 3' in log for log in logs)


@pytest.mark.parametrize('last', ['cut off', 'empty', 'gone', 'unnamed'])
def test_a_broken_checkpoint_is_told_with_the_one_to_take(synthetic, tmp_path, last):
    cfg = saving_config(synthetic, tmp_path, train_cfg__max_epochs=1)
    train(cfg)
    path = tmp_path / 'iter_6.pth'
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 if last == 'cut off' else 0])
    if last in ('gone', 'unnamed'):
        path.unlink()
    if last == 'unnamed':  # cut off as well
        (tmp_path / 'last_checkpoint').write_text('')
    cfg.resume = True
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        train(cfg)
    assert f'--resume {tmp_path}/iter_3.pth' in str(caught.value)


def test_keeping_one_checkpoint_is_told_to_be_risky(synthetic, tmp_path):
    cfg = saving_config(synthetic, tmp_path, train_cfg__max_epochs=1)
    cfg.default_hooks.checkpoint['max_keep_ckpts'] = 1
    train(cfg)
    logs = [path.read_text() for path in tmp_path.glob('*/*.log')]
    assert any('max_keep_ckpts=2' in text for text in logs)
