"""What ``test_mmyolo.py`` runs where MMYOLO is installed."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import mmyolo
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from mmdefect.commands.main import main
from mmdefect.delivery.preserving import DefectPreservingDataset

FOLDER = Path(mmyolo.__file__).parent / '.mim/configs'
CONFIGS = {
    'YOLOv5': 'yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py',
    'YOLOv5 fast': 'yolov5/yolov5_s-v61_syncbn_fast_8xb16-300e_coco.py',
    'YOLOv5-m fast': 'yolov5/yolov5_m-v61_syncbn_fast_8xb16-300e_coco.py',
    'YOLOv8': 'yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py',
    'RTMDet': 'rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco.py',
    'YOLOX': 'yolox/yolox_s_fast_8xb8-300e_coco.py',
}
BATCH, QUOTA, STEPS, EPOCHS = 6, 2, 4, 3
# Of the stock pipelines, a fifth of the size; Albu needs a package of its own.
SIZES = {640: 128, 1280: 256, -320: -64}


@pytest.fixture(scope='module')
def annotations(coco, tmp_path_factory):
    """Those of small photographs that are not square, without what is told of them."""
    content = json.loads((coco.root / 'train.json').read_text())
    content['images'] = [i for i in content['images'] if i['id'] not in coco.tiny]
    content['categories'] = content['categories'][:2]
    known = {category['id'] for category in content['categories']}
    content['annotations'] = [
        annotation
        for annotation in content['annotations']
        if not annotation['iscrowd']
        and not annotation.get('ignore')
        and annotation['category_id'] in known
    ]
    path = tmp_path_factory.mktemp('annotations') / 'train.json'
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(autouse=True)
def default_scope():
    """Each Runner has its own; `mmdefect check` leaves that of its config."""
    with DefaultScope.overwrite_default_scope('mmyolo'):
        yield


def is_albu(part):
    return isinstance(part, dict) and str(part.get('type')).endswith('Albu')


def shrunk(part):
    """A part of a config, with images of another size and without Albu."""
    if isinstance(part, dict):
        return {key: shrunk(value) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return type(part)(shrunk(x) for x in part if not is_albu(x))
    return SIZES.get(part, part) if type(part) is int else part


def config(name, coco, annotations, work_dir):
    """The stock config, small, on the data of a user, with the lines of mmdefect."""
    stock = Config.fromfile(str(FOLDER / CONFIGS[name])).to_dict()
    cfg = Config(shrunk(stock), format_python_code=False)
    cfg.work_dir = str(work_dir)
    data = dict(
        data_root=f'{coco.root}/',
        ann_file=str(annotations),
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=('dent', 'crack')),
    )
    for split in ('train', 'val'):
        cfg[f'{split}_dataloader'].dataset.update(copy.deepcopy(data))
        cfg[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
    cfg.val_evaluator.ann_file = str(annotations)
    cfg.val_evaluator = [cfg.val_evaluator, dict(type='DefectImageMetric')]
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = cfg.tta_model = None
    head = cfg.model.bbox_head
    for part in (cfg.model.backbone, cfg.model.neck, head.head_module):
        part.update(widen_factor=0.125)
        part.pop('init_cfg', None)
    head.head_module.num_classes = 2
    assigner = (cfg.model.get('train_cfg') or {}).get('assigner') or {}
    if 'num_classes' in assigner:
        assigner.num_classes = 2
    for augment in cfg.model.data_preprocessor.get('batch_augments') or ():
        augment.random_size_range = (96, 160)
    cfg.model.test_cfg.score_thr = 0.0  # so that there is a box to evaluate
    cfg.param_scheduler = None
    cfg.train_cfg.update(max_epochs=EPOCHS, val_interval=EPOCHS, dynamic_intervals=None)
    if 'max_epochs' in cfg.default_hooks.param_scheduler:
        cfg.default_hooks.param_scheduler.max_epochs = EPOCHS
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=3, save_best=None
    )
    for hook in cfg.custom_hooks:
        if 'switch_epoch' in hook:
            hook.switch_epoch = 1
        if 'num_last_epochs' in hook:
            hook.num_last_epochs = 1

    cfg.custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)
    loader = cfg.train_dataloader
    loader.batch_size = BATCH
    loader.sampler = dict(type='DefectPoolSampler')
    loader.batch_sampler = dict(
        type='QuotaBatchSampler', quota=QUOTA, num_batches=STEPS
    )
    inside = loader.pop('dataset')
    inside.filter_cfg.filter_empty_gt = False
    loader.dataset = dict(type='DefectPreservingDataset', dataset=inside)
    cfg.custom_hooks += [dict(type='QuotaMonitorHook'), dict(type='QuotaResumeHook')]
    return cfg


def train(cfg, monkeypatch):
    """Train: the runner, the indices of the images drawn, and the log."""
    drawn = []
    load = DefectPreservingDataset.__getitem__

    def recorded(dataset, index):
        drawn.append(index)
        return load(dataset, index)

    with monkeypatch.context() as patch:
        patch.setattr(DefectPreservingDataset, '__getitem__', recorded)
        runner = Runner.from_cfg(copy.deepcopy(cfg))
        runner.train()
    (path,) = Path(runner.log_dir).glob('*.log')
    return runner, drawn, path.read_text()


@pytest.mark.parametrize('name', CONFIGS)
def test_it_trains_delivers_resumes_and_is_evaluated(
    coco, annotations, tmp_path, monkeypatch, name
):
    cfg = config(name, coco, annotations, tmp_path)
    runner, drawn, text = train(cfg, monkeypatch)
    assert len(drawn) == EPOCHS * STEPS * BATCH
    defects = set(runner.train_dataloader.batch_sampler.sampler.pools['defect'])
    batches = [drawn[n : n + BATCH] for n in range(0, len(drawn), BATCH)]
    assert {sum(i in defects for i in batch) for batch in batches} == {QUOTA}
    delivered = re.findall(r'quota/delivered: ([\d.]+)', text)
    assert list(map(float, delivered)) == [QUOTA] * len(batches)
    assert runner.train_dataloader.dataset.counts['replaced'] == 0
    scalars = Path(runner.log_dir, 'vis_data/scalars.json').read_text()
    assert ('quota/seen' in scalars) == (name == 'YOLOv5')
    built_anew = 'begins with a train dataloader built anew: its batches go on'
    assert (built_anew in text) == (name == 'YOLOX')
    for metric in ('coco/bbox_mAP', 'defect/auroc'):
        assert re.search(rf'Epoch\(val\) .*{metric}: ', text)
    cfg.resume = True
    for done in (3, 6, 9):  # before the pipeline is switched, in that epoch, after it
        cfg.load_from = str(tmp_path / f'iter_{done}.pth')
        assert train(cfg, monkeypatch)[1] == drawn[done * BATCH :]


FINDINGS = {
    'RTMDet': [
        'train_dataloader.dataset.dataset.pipeline[4].allow_negative_crop',
        'custom_hooks[1].switch_pipeline[3].allow_negative_crop',
    ]
}


@pytest.mark.parametrize('name', CONFIGS)
def test_the_check_tells_the_truth(coco, annotations, tmp_path, capsys, name):
    path = tmp_path / 'config.py'
    cfg = config(name, coco, annotations, tmp_path)
    cfg.dump(str(path))
    status = main(['check', str(path), '--batches', '20', '--json'])
    said = json.loads(capsys.readouterr().out)
    broken = [finding['where'] for finding in said['findings'] if finding['breaks']]
    assert sorted(broken) == sorted(FINDINGS.get(name, []))
    assert status == bool(broken)
    counts = {c['pool']: c for c in said['delivery']['counts']}
    assert counts['defect']['drawn'] == counts['defect']['delivered'] == 20 * QUOTA
    assert said['delivery']['replaced'] == 0

    # Without the wrapper, defects are lost or images exchanged, and the check says so.
    cfg.train_dataloader.dataset = cfg.train_dataloader.dataset.dataset
    cfg.dump(str(path))
    assert main(['check', str(path), '--batches', '20', '--json']) == 1
    said = json.loads(capsys.readouterr().out)
    fixes = [finding['fix'] for finding in said['findings'] if finding['breaks']]
    assert any('DefectPreservingDataset' in fix for fix in fixes)
    counts = {c['pool']: c for c in said['delivery']['counts']}
    lost = counts['defect']['drawn'] - counts['defect']['delivered']
    assert lost + said['delivery']['replaced'] > 0
