"""What ``test_mmrotate.py`` runs where MMRotate is installed."""

from __future__ import annotations

import copy
from pathlib import Path

import cv2
import mmrotate
import numpy as np
import pytest
import torch
from mmdet.datasets import transforms
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner, set_random_seed
from mmrotate.datasets.transforms import RandomRotate
from mmrotate.structures.bbox import QuadriBoxes, RotatedBoxes
from runner_configs import RecordBatches

from mmdefect.analysis.check import check
from mmdefect.commands.main import main
from mmdefect.images.remembering import remembering
from mmdefect.images.turned_boxes import TRACED

CONFIGS = Path(mmrotate.__file__).parent / '.mim/configs'
SIZE = 96
CLASSES = ('scratch', 'dent')
# To compare turned boxes takes long, and untrained detectors are never sure.
FEW_BOXES = {
    'test_cfg.score_thr': 0.0,
    'test_cfg.nms_pre': 10,
    'test_cfg.max_per_img': 10,
}
# What the detectors are cut down to, so that a processor trains them.
MODELS = {
    'rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py': {
        'backbone.depth': 18,
        'backbone.init_cfg': None,
        'neck.in_channels': [64, 128, 256, 512],
        'neck.out_channels': 32,
        'bbox_head.in_channels': 32,
        'bbox_head.feat_channels': 32,
        'bbox_head.num_classes': 2,
        **FEW_BOXES,
    },
    'rotated_rtmdet/rotated_rtmdet_tiny-3x-dota.py': {
        'backbone.init_cfg': None,
        'bbox_head.num_classes': 2,
        # Its own loss of rotated boxes needs a GPU.
        'bbox_head.use_hbbox_loss': True,
        'bbox_head.loss_bbox': dict(
            _delete_=True, type='mmdet.IoULoss', mode='linear', loss_weight=2.0
        ),
        'bbox_head.loss_angle': dict(
            _delete_=True, type='mmdet.SmoothL1Loss', beta=0.1, loss_weight=1.0
        ),
        **FEW_BOXES,
    },
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """40 images in DOTA's format, 6 of which show a defect at some angle."""
    root = tmp_path_factory.mktemp('dota')
    for name in ('images', 'annfiles'):
        (root / name).mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        pixels = rng.integers(90, 130, (SIZE, SIZE, 3)).astype(np.uint8)
        lines = []
        if number % 7 == 2:
            center = rng.uniform(30, 66, 2).tolist()
            corners = cv2.boxPoints((center, (40, 8), float(rng.uniform(-90, 90))))
            cv2.fillPoly(pixels, [corners.round().astype(int)], (0, 0, 0))
            numbers = ' '.join(f'{n:.1f}' for n in corners.ravel())
            lines.append(f'{numbers} {CLASSES[number % 2]} 0\n')
        cv2.imwrite(str(root / f'images/{number:03d}.png'), pixels)
        (root / f'annfiles/{number:03d}.txt').write_text(''.join(lines))
    return root


def steps(*more, box_type='rbox'):
    convert = dict(type='ConvertBoxType', box_type_mapping=dict(gt_bboxes=box_type))
    return [
        dict(type='mmdet.LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True, box_type='qbox'),
        *([convert] if box_type != 'qbox' else []),
        *more,
        dict(type='mmdet.PackDetInputs'),
    ]


# MMRotate's own augmentation, and a crop that cuts defects away.
CROP = dict(type='mmdet.RandomCrop', crop_size=(60, 60), allow_negative_crop=True)
AUGMENTED = [
    CROP,
    dict(type='mmdet.Resize', scale=(SIZE, SIZE), keep_ratio=False),
    dict(type='mmdet.RandomFlip', prob=0.75, direction=['horizontal', 'diagonal']),
    dict(type='RandomRotate', prob=0.5, angle_range=180),
]


def leaf(root, pipeline):
    return dict(
        type='DOTADataset',
        data_root=f'{root}/',
        ann_file='annfiles/',
        data_prefix=dict(img_path='images/'),
        metainfo=dict(classes=CLASSES),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=pipeline,
    )


def user_config(root, work_dir, name):
    """MMRotate's config, with the lines of mmdefect that a user adds."""
    cfg = Config.fromfile(str(CONFIGS / name))
    cfg.merge_from_dict({f'model.{key}': v for key, v in MODELS[name].items()})
    cfg.custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)
    cfg.train_dataloader = dict(
        batch_size=4,
        num_workers=0,
        sampler=dict(type='DefectPoolSampler'),
        batch_sampler=dict(type='QuotaBatchSampler', quota=2, num_batches=4),
        dataset=dict(
            type='DefectPreservingDataset', dataset=leaf(root, steps(*AUGMENTED))
        ),
    )
    loader = dict(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.val_dataloader.update(loader)
    test = cfg.val_dataloader.dataset.pipeline
    for step in test:
        for key in {'scale', 'size'} & set(step):  # Resize and Pad
            step[key] = (SIZE, SIZE)
    cfg.val_dataloader.dataset = dict(leaf(root, test), test_mode=True, indices=7)
    cfg.val_evaluator = [
        dict(type='DOTAMetric', metric='mAP'),
        dict(type='DefectImageMetric', score_thr=0.001, num_bootstrap=20),
    ]
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2, val_interval=2)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=3
    )
    cfg.custom_hooks = [
        *(cfg.get('custom_hooks') or []),
        dict(type='QuotaMonitorHook'),
        dict(type='QuotaResumeHook'),
    ]
    cfg.randomness = dict(seed=3)
    cfg.work_dir = str(work_dir)
    return cfg


def train(cfg):
    runner, record = Runner.from_cfg(cfg), RecordBatches()
    runner.register_hook(record)
    runner.train()
    scalars = runner.message_hub.log_scalars
    return record.batches, {name: buffer.data[0] for name, buffer in scalars.items()}


@pytest.mark.parametrize('name', MODELS, ids=['RetinaNet', 'RTMDet'])
def test_a_rotated_detector_gets_its_quota_is_measured_and_resumes(
    data, tmp_path, name
):
    cfg = user_config(data, tmp_path / 'run', name)
    path = tmp_path / 'config.py'
    cfg.dump(str(path))
    findings, delivery = check(str(path), None, batches=10)
    assert not any(finding.breaks for finding in findings)
    assert [c.delivered for c in delivery.counts if c.pool == 'defect'] == [20]
    batches, scalars = train(cfg)
    assert [len(batch) for batch in batches] == [4] * 8
    defects = {f'{number:03d}' for number in range(2, 40, 7)}
    assert [sum(i in defects for i in batch) for batch in batches] == [2] * 8
    assert scalars['train/quota/delivered'].tolist() == [2] * 8
    assert np.isfinite(scalars['train/loss']).all()
    for key in ('dota/mAP', 'defect/auroc', 'defect/escape', 'defect/recall_30'):
        assert np.isfinite(scalars[f'val/{key}']).all(), key
    assert scalars['val/defect/escape'].max() < 1  # some boxes were compared
    # It draws the boxes around the turned ones.
    options = ['--device', 'cpu', '--num', '2', '--json']
    assert main(['review', str(tmp_path / 'run'), *options]) == 0
    cfg.resume, cfg.load_from = True, str(tmp_path / 'run/iter_3.pth')
    cfg.work_dir = str(tmp_path / 'resumed')
    rest, after = train(cfg)
    assert rest == batches[3:]
    assert np.isfinite(after['val/dota/mAP']).all()


# --- How much of a turned box is left ------------------------------------------------


def image_with(kind, center, angle, size=(60, 12)):
    """A white box on black, so that what is left of it can be counted."""
    image = np.zeros((200, 200, 3), np.uint8)
    corners = cv2.boxPoints((center, size, angle))
    # Drawn with parts of pixels.
    cv2.fillPoly(
        image, [(corners * 16).round().astype(int)], (255, 255, 255), cv2.LINE_AA, 4
    )
    boxes = QuadriBoxes(corners.reshape(1, 8).astype(np.float32))
    return dict(
        img=image,
        img_shape=(200, 200),
        gt_bboxes=boxes if kind is QuadriBoxes else boxes.convert_to('rbox'),
        gt_bboxes_labels=np.array([0]),
        gt_ignore_flags=np.array([False]),
    )


KINDS = pytest.mark.parametrize('kind', [RotatedBoxes, QuadriBoxes])


@KINDS
@pytest.mark.parametrize('seed', range(20))
def test_the_visible_share_of_a_turned_box_is_that_of_its_pixels(kind, seed):
    rng = np.random.default_rng(seed)
    set_random_seed(seed)
    results = image_with(kind, rng.uniform(60, 140, 2), float(rng.uniform(-90, 90)))
    traced = TRACED[kind]
    results['gt_bboxes'] = traced.showing(results['gt_bboxes'], results['img_shape'])
    whole = results['img'].sum() / 255 / 3
    for step in (
        transforms.RandomCrop((90, 120), allow_negative_crop=True),
        transforms.RandomFlip(prob=0.7, direction=['horizontal', 'vertical']),
        transforms.Resize(scale=(240, 180), keep_ratio=True),
        transforms.Pad(size=(260, 260)),
        transforms.CutOut(n_holes=2, cutout_shape=(30, 30), fill_in=(0, 0, 0)),
    ):
        results = remembering(step)(results)
    left = results['img'].sum() / 255 / 3 / (whole * 4)
    shares = results['gt_bboxes'].visible_share(results['img_shape'])
    # MMDetection drops a box whose center is outside.
    assert len(shares) or left < 0.5
    if len(shares):
        assert shares[0] == pytest.approx(left, abs=0.05)


@KINDS
def test_a_turned_box_that_is_turned_keeps_what_shows_of_it(kind):
    rejected = 0
    for seed in range(30):
        set_random_seed(seed)
        results = image_with(kind, (100, 100), 30.0 * seed, size=(150, 10))
        whole = results['img'].sum()
        traced = TRACED[kind]
        results['gt_bboxes'] = traced.showing(results['gt_bboxes'], (200, 200))
        for step in (
            transforms.RandomCrop((110, 110), allow_negative_crop=True),
            RandomRotate(prob=1.0, angle_range=180),
        ):
            results = step(results)
        shares = results['gt_bboxes'].visible_share(results['img_shape'])
        left = results['img'].sum() / whole
        if len(shares):
            # Where a crop and a turn cut on opposite sides, the larger cut counts.
            assert left - 0.05 <= shares[0] <= 2 * left + 0.1
            rejected += shares[0] < 0.5
    assert rejected


@KINDS
def test_training_gets_the_turned_boxes_that_it_would_get_without_the_memory(kind):
    for seed in range(10):
        plain, traced = (image_with(kind, (70, 110), 20.0 * seed) for _ in range(2))
        traced['gt_bboxes'] = TRACED[kind].showing(traced['gt_bboxes'], (200, 200))
        for step in (
            transforms.RandomCrop((150, 150), allow_negative_crop=True),
            RandomRotate(prob=1.0, angle_range=180),
            transforms.Resize(scale=(300, 300), keep_ratio=True),
        ):
            set_random_seed(seed)
            plain = step(plain)
            set_random_seed(seed)
            traced = remembering(step)(traced)
        boxes = traced['gt_bboxes'].plain()
        assert type(boxes) is type(plain['gt_bboxes']) is kind
        assert torch.equal(boxes.tensor, plain['gt_bboxes'].tensor)
        assert np.array_equal(traced['img'], plain['img'])


@KINDS
def test_copies_and_parts_remember_for_themselves(kind):
    boxes = image_with(kind, (100, 100), 0.0)['gt_bboxes']
    boxes = TRACED[kind].showing(boxes, (200, 200))
    for other in (copy.deepcopy(boxes), boxes.clone(), boxes[[0]], boxes.cat([boxes])):
        other.translate_((-100, 0))
        other.clip_((200, 200))
        other.translate_((100, 0))
        assert other.visible_share((200, 200)) == pytest.approx([0.5], abs=0.01)
        assert boxes.visible_share((200, 200)).tolist() == [1]


@pytest.mark.parametrize('box_type', ['rbox', 'qbox'])
def test_a_turned_defect_counts_only_with_its_visible_share(data, box_type):
    init_default_scope('mmrotate')
    for ratio in (0, 0.95):
        set_random_seed(0)
        crop = dict(CROP, crop_size=(50, 50))
        inside = leaf(data, steps(crop, box_type=box_type))
        dataset = DATASETS.build(
            dict(type='DefectPreservingDataset', dataset=inside, min_area_ratio=ratio)
        )
        seen = []
        for index in [n for n in range(40) if dataset.get_cat_ids(n)] * 10:
            result = dataset[index]
            boxes = result['data_samples'].gt_instances.bboxes
            assert type(boxes) in TRACED
            traced = TRACED[type(boxes)](boxes.tensor)
            seen.append(traced.inside(result['inputs'].shape[-2:]).max())
        assert (min(seen) >= 0.95) == (ratio == 0.95)
