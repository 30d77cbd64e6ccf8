"""The ready configs, one for each detector family."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import mmdet
import numpy as np
import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from mmengine.runner import Runner
from runner_configs import ROOT, RecordBatches, edit_configs

from mmdefect.analysis.check import check
from mmdefect.plan.quotas import usual_quota

CONFIGS = sorted(path.stem for path in (ROOT / 'configs').glob('*.py'))
# Those whose quota holds over an optimizer step of several small batches.
ACCUMULATING = ['defect_dino', 'defect_faster_rcnn', 'defect_mask_rcnn']

# Without the workers, that take longer to start than a few batches to make.
IN_PROCESS = {
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
}
RESNET18 = {
    'model.backbone.depth': 18,
    'model.backbone.init_cfg': None,
    'model.neck.in_channels': [64, 128, 256, 512],
}
RCNN = {
    **RESNET18,
    'model.roi_head.bbox_head.fc_out_channels': 64,
    'model.test_cfg.rcnn.max_per_img': 10,
}
SMALL = {
    'defect_dino': {
        **RESNET18,
        'model.neck.in_channels': [128, 256, 512],
        'model.encoder.num_layers': 1,
        'model.decoder.num_layers': 1,
        'model.num_queries': 20,
        'model.test_cfg.max_per_img': 20,
    },
    'defect_faster_rcnn': RCNN,
    'defect_lite': {'model.test_cfg.score_thr': 0.0},
    'defect_mask_rcnn': RCNN,
    # So little trained, they are never sure, and RTMDet's boxes may have no size.
    'defect_retinanet': {**RESNET18, 'model.test_cfg.score_thr': 0.0},
    'defect_rtmdet': {
        'model.backbone.init_cfg': None,
        'model.bbox_head.exp_on_reg': True,
        'model.test_cfg.score_thr': 0.0,
    },
    'defect_tiles': {'model.test_cfg.score_thr': 0.0},
    'defect_yolox': {'model.test_cfg.score_thr': 0.0},
    'defect_yolox_s': {'model.test_cfg.score_thr': 0.0},
}


@pytest.fixture
def with_data(synthetic, tmp_path, monkeypatch):
    """A directory in which the synthetic set is where the configs look for it."""
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/synthetic').symlink_to(synthetic)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(cfg, key):
    """All values that stand under a key, at any depth."""
    if isinstance(cfg, dict):
        for name, value in cfg.items():
            if name == key:
                yield value
            yield from everything(value, key)
    elif isinstance(cfg, (list, tuple)):
        for part in cfg:
            yield from everything(part, key)


@pytest.mark.parametrize('name', CONFIGS)
def test_a_ready_config_delivers_its_quota(with_data, name):
    path = ROOT / f'configs/{name}.py'
    findings, delivery = check(str(path), IN_PROCESS, batches=12)
    assert [finding for finding in findings if finding.breaks] == []
    (defect,) = [count for count in delivery.counts if count.pool == 'defect']
    loader = Config.fromfile(str(path)).train_dataloader
    images = 12 * loader.batch_size
    over = loader.batch_sampler.get('over', loader.batch_size)
    quota = images // over * loader.batch_sampler.quota
    assert defect.drawn == defect.delivered == quota
    assert delivery.replaced == 0
    assert (name in ACCUMULATING) == ('over' in loader.batch_sampler)


@pytest.mark.parametrize('name', CONFIGS)
def test_what_is_edited_at_the_top_changes_the_whole_config(tmp_path, name):
    configs = edit_configs(
        tmp_path,
        **dict.fromkeys(('data_root', 'data_dir'), 'mine/'),
        train_ann__train_images=('a.json', 'a/'),
        val_ann__val_images=('b.json', 'b/'),
        classes=('crack', 'hole'),
        img_scale=(96, 96),
        window=(96, 96),
        batch_size=6,
        quota=2,
        max_epochs=24,
        num_last_epochs=4,
    )
    cfg = Config.fromfile(str(configs / f'{name}.py'))
    used = {
        k: v for k, v in cfg.items() if k.endswith(('loader', 'evaluator', 'hooks'))
    }
    told = json.dumps(Config(used)._cfg_dict.to_dict())
    for old in ('synthetic', 'scratch', '.json/', 'coco/annotations', '640', '1333'):
        assert old not in told
    assert set(everything(used, 'data_root')) == {'mine/'}
    for key, ann_file in (('train', 'a.json'), ('val', 'b.json'), ('test', 'b.json')):
        loader = cfg[f'{key}_dataloader']
        assert list(everything(loader, 'ann_file')) == [ann_file]
        assert next(everything(loader, 'img')) == ann_file[0] + '/'
        assert list(everything(loader, 'classes')) == [('crack', 'hole')]
    for evaluators in (cfg.val_evaluator, cfg.test_evaluator):
        coco, images = evaluators
        assert coco.ann_file == 'mine/b.json'
        assert images.type == 'DefectImageMetric'
    assert set(everything(cfg.model, 'num_classes')) == {2}
    assert cfg.train_dataloader.batch_size == 6
    assert cfg.train_dataloader.batch_sampler.quota == 2
    assert cfg.train_cfg.max_epochs == 24
    assert max(everything(cfg.param_scheduler, 'end'), default=None) in (24, 200, 500)
    assert 24 in list(everything(cfg.param_scheduler, 'end'))


@pytest.mark.parametrize('max_epochs', [1, 2, 3])
@pytest.mark.parametrize('name', CONFIGS)
def test_a_few_epochs_have_a_learning_rate_to_train_with(tmp_path, name, max_epochs):
    configs = edit_configs(tmp_path, max_epochs=max_epochs)
    cfg = Config.fromfile(str(configs / f'{name}.py'))
    assert cfg.train_cfg.get('val_interval', 1) >= 1
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    schedulers = []
    for scheduler in cfg.param_scheduler:
        scheduler = dict(scheduler, optimizer=optimizer)
        scheduler.pop('_scope_', None)
        kind = PARAM_SCHEDULERS.get(scheduler.pop('type'))
        if scheduler.pop('convert_to_iter_based', False):
            schedulers.append(kind.build_iter_from_epoch(**scheduler, epoch_length=900))
        else:
            schedulers.append(kind(**scheduler))
    rates = []
    for step in range(900 * max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in schedulers:
            if not scheduler.by_epoch or step % 900 == 899:
                scheduler.step()
    assert np.isfinite(rates).all()
    assert min(rates) > 0
    assert 0.25 < max(rates) <= 1.001  # of one epoch, warm-up and decay overlap


def test_no_config_is_forgotten():
    assert sorted(SMALL) == CONFIGS


@pytest.mark.parametrize('name', CONFIGS)
def test_a_ready_config_has_the_quota_that_inspect_recommends(name):
    loader = Config.fromfile(str(ROOT / f'configs/{name}.py')).train_dataloader
    images = loader.batch_sampler.get('over', loader.batch_size)
    assert loader.batch_sampler.quota == usual_quota(images)


def train(cfg, work_dir, **options):
    cfg.merge_from_dict({**IN_PROCESS, 'work_dir': str(work_dir), **options})
    runner = Runner.from_cfg(cfg)
    record = RecordBatches()
    runner.register_hook(record)
    with contextlib.redirect_stdout(io.StringIO()):
        runner.train()
    scalars = runner.message_hub.log_scalars
    return record.batches, {name: buffer.data[0] for name, buffer in scalars.items()}


def published(url):
    """MMDetection's own config of the weights that it publishes under an address."""
    index = Path(mmdet.__file__).parent / '.mim'
    for file in index.glob('configs/*/metafile.yml'):
        if url in file.read_text():
            models = yaml.safe_load(file.read_text())['Models']
            (found,) = [model for model in models if model.get('Weights') == url]
            return Config.fromfile(index / found['Config'])
    raise AssertionError(f"{url} is not in MMDetection's index")


FROM_COCO = [
    name
    for name in CONFIGS
    if "pretrained = 'http" in (ROOT / f'configs/{name}.py').read_text()
]


@pytest.mark.parametrize('name', FROM_COCO)
def test_coco_weights_arrive_but_for_the_classes_and_the_log_names_those(
    with_data, name
):
    ready = Config.fromfile(str(ROOT / f'configs/{name}.py'))
    coco = published(ready.load_from)
    for key in ('mean', 'std', 'bgr_to_rgb'):  # what the weights were trained with
        preprocessor, own = coco.model.data_preprocessor, ready.model.data_preprocessor
        assert own.get(key) == preprocessor.get(key)
    assert ready.model.backbone.get('norm_eval') == coco.model.backbone.get('norm_eval')
    coco.merge_from_dict({**SMALL[name], 'model.backbone.init_cfg': None})
    init_default_scope('mmdet')
    built = MODELS.build(coco.model).state_dict()
    # DINO leaves some as memory was, perhaps NaN, which equals nothing.
    weights = {key: weight.nan_to_num() for key, weight in built.items()}
    file = str(with_data / 'coco.pth')
    torch.save(dict(meta={}, state_dict=weights), file)

    configs = edit_configs(with_data, pretrained=file)
    cfg = Config.fromfile(str(configs / f'{name}.py'))
    kept = {k: v for k, v in SMALL[name].items() if not k.endswith('init_cfg')}
    cfg.merge_from_dict({**IN_PROCESS, **kept, 'work_dir': str(with_data / 'work')})
    runner = Runner.from_cfg(cfg)
    runner.call_hook('before_run')
    runner.model.init_weights()
    loaded = runner.model.state_dict()
    assert set(loaded) == set(weights)
    for key in loaded:
        if key.startswith('backbone'):  # what is left of it where --resume finds none
            assert torch.equal(loaded[key], weights[key])
    runner.load_or_resume()
    loaded = runner.model.state_dict()
    left_out = {key for key in loaded if loaded[key].shape != weights[key].shape}
    assert left_out
    assert not any(key.startswith(('backbone', 'neck')) for key in left_out)
    for key in set(loaded) - left_out:
        assert torch.equal(loaded[key], weights[key])
    (log,) = (with_data / 'work').glob('*/*.log')
    (line,) = [one for one in log.read_text().splitlines() if ' weights come ' in one]
    named = line.partition('Of another shape, as with other classes: ')[2]
    assert set(named.rstrip('.').split(', ')) == left_out


@pytest.mark.parametrize('name', ['defect_lite', 'defect_yolox_s'])
@pytest.mark.parametrize(('edits', 'share'), [({}, 0.25), (dict(pretrained=None), 1)])
def test_only_a_pretrained_backbone_learns_slower(tmp_path, name, edits, share):
    configs = edit_configs(tmp_path, **edits)
    cfg = Config.fromfile(str(configs / f'{name}.py'))
    init_default_scope('mmdet')
    model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    rate_of = {id(p): g['lr'] for g in optimizer.param_groups for p in g['params']}
    rates = {
        part: {rate_of[id(parameter)] for parameter in module.parameters()}
        for part, module in model.named_children()
    }
    rate = cfg.optim_wrapper.optimizer.lr
    assert rates['backbone'] == {share * rate}
    assert rates['neck'] == rates['bbox_head'] == {rate}


def test_yolox_without_its_sampler_lines_trains_on_plain_batches(with_data):
    configs = edit_configs(with_data, img_scale=(96, 96))
    path = configs / 'defect_yolox.py'
    lines = path.read_text().splitlines()
    path.write_text('\n'.join(line for line in lines if "Sampler'" not in line))
    batches, scalars = train(
        Config.fromfile(str(path)),
        with_data / 'work',
        **{
            'train_cfg.max_epochs': 1,
            'train_dataloader.dataset.dataset.indices': 20,
            'val_dataloader.dataset.indices': 4,
        },
    )
    # All images once, however many defects that makes in a batch.
    assert [len(batch) for batch in batches] == [8, 8, 4]
    assert len({image for batch in batches for image in batch}) == 20
    assert not any('quota' in name for name in scalars)


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_each_detector_trains_validates_and_resumes(with_data, defect_ids, name):
    # One optimizer step: a batch of 4, or 4 batches of 2.
    accumulated, batch_size, quota = (4, 2, 3) if name in ACCUMULATING else (1, 4, 2)
    configs = edit_configs(
        with_data,
        img_scale=(96, 96),
        batch_size=batch_size,
        quota=quota,
        max_epochs=4,
        num_last_epochs=1,
        pretrained=None,
    )
    cfg = Config.fromfile(str(configs / f'{name}.py'))
    assert cfg.optim_wrapper.get('accumulative_counts', 1) == accumulated
    cfg.merge_from_dict(SMALL[name])
    batches, scalars = train(
        cfg,
        with_data / 'work',
        **{
            'train_dataloader.batch_sampler.num_batches': 2 * accumulated,
            'train_cfg.val_interval': 4,
            'val_dataloader.dataset.indices': 8,
            'default_hooks.checkpoint.interval': 2,
        },
    )
    assert [len(batch) for batch in batches] == [batch_size] * 8 * accumulated
    shown = [sum(i in defect_ids for i in batch) for batch in batches]
    steps = range(0, len(shown), accumulated)
    assert [sum(shown[step : step + accumulated]) for step in steps] == [quota] * 8
    assert (scalars['train/quota/delivered'] == quota).all()
    losses = [name for name in scalars if 'loss' in name]
    assert 'train/loss' in losses
    for loss in losses:
        assert np.isfinite(scalars[loss]).all()
    assert ('train/loss_mask' in losses) == ('mask' in name)
    assert len(scalars['val/coco/bbox_mAP_50']) == 1
    assert len(scalars['val/defect/auroc']) == 1
    for best in ('auroc_recall', 'recall'):
        assert list((with_data / 'work').glob(f'best_defect_{best}_epoch_4.pth'))
    assert ('val/coco/segm_mAP_50' in scalars) == ('mask' in name)
    cfg.resume, cfg.load_from = True, str(with_data / 'work/epoch_2.pth')
    rest, _ = train(cfg, with_data / 'resumed')
    assert rest == batches[4 * accumulated :]
