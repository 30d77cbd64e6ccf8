"""The lines of the front page and of ``check`` work on every family of MMDetection."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest
from runner_configs import ROOT

from mmdefect.commands.main import main

CLASSES = ('scratch', 'pit', 'dent')
# What they need beyond boxes, masks and images.
LEFT_OUT = {
    'another package': (
        'albu_example convnext timm_example instaboost mask2former maskformer '
        'panoptic_fpn mm_grounding_dino'
    ),
    'boxes of another detector': 'cascade_rpn fast_rcnn guided_anchoring libra_rcnn',
    'frames of a video': 'mask2former_vis masktrack_rcnn qdtrack',
    'pairs of photographs': 'reid',
    'images without labels, which are no normal ones': 'soft_teacher',
}


def families():
    """The folders of configs that train on images."""
    import mmdet

    folders = (Path(mmdet.__file__).parent / '.mim/configs').iterdir()
    left_out = set(' '.join(LEFT_OUT.values()).split())
    return sorted(x for x in folders if x.name not in left_out and x.name != '_base_')


def put_in(data, part):
    """Let every dataset in a part of a config read the given data."""
    values = part.values() if isinstance(part, dict) else part
    if not isinstance(part, (dict, list, tuple)):
        return
    if not isinstance(part, dict) or not {'ann_file', 'data_prefix'} & set(part):
        for value in values:
            put_in(data, value)
        return
    kept = {key: part[key] for key in ('pipeline', 'test_mode') if key in part}
    part.clear()
    part.update(data, **kept)


@pytest.fixture(scope='module')
def annotated(synthetic, tmp_path_factory):
    """The synthetic set with polygons, which more pipelines read than RLE."""
    folder = tmp_path_factory.mktemp('annotated')
    for name in ('train', 'val'):
        content = json.loads((synthetic / f'annotations/{name}.json').read_text())
        for box in content['annotations']:
            x, y, w, h = box['bbox']
            box['segmentation'] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        (folder / f'{name}.json').write_text(json.dumps(content))
    return folder


def unchanged(family, annotated, synthetic, path):
    """Write a family's first config that trains, on these data."""
    from mmengine.config import Config

    for config in sorted(family.glob('*.py')):
        cfg = Config.fromfile(config)
        if cfg.get('train_dataloader'):
            break
    else:
        pytest.skip('none of its configs trains')
    for loader, name in (('train_dataloader', 'train'), ('val_dataloader', 'val')):
        put_in(
            dict(
                type='CocoDataset',
                ann_file=str(annotated / f'{name}.json'),
                data_prefix=dict(img=f'{synthetic}/{name}/'),
                metainfo=dict(classes=CLASSES),
            ),
            (cfg.get(loader) or {}).get('dataset'),
        )
        if cfg.get(loader):
            cfg[loader].update(num_workers=0, persistent_workers=False)
    cfg.val_evaluator = dict(type='CocoMetric', ann_file=str(annotated / 'val.json'))
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.dump(path)
    return cfg


def of_the_readme():
    """The lines that the front page shows, and the one that ``check`` prints."""
    blocks = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.S)
    (lines,) = [block for block in blocks if 'QuotaMonitorHook' in block]
    return lines


def keep_normal_images(part):
    values = part.values() if isinstance(part, dict) else part
    if isinstance(part, dict) and 'ann_file' in part:
        part['filter_cfg'] = dict(filter_empty_gt=False)
    elif isinstance(part, (dict, list, tuple)):
        for value in values:
            keep_normal_images(value)


@pytest.mark.slow
@pytest.mark.parametrize('family', families(), ids=lambda path: path.name)
def test_the_lines_of_the_front_page_work_on_every_family(
    family, annotated, synthetic, tmp_path, monkeypatch
):
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from mmengine.runner import Runner

    monkeypatch.setattr(logging.root.manager, 'disable', logging.CRITICAL)
    cfg = unchanged(family, annotated, synthetic, tmp_path / 'my_config.py')
    keep_normal_images(cfg.train_dataloader.dataset)
    cfg.dump(tmp_path / 'my_config.py')
    (tmp_path / 'new.py').write_text(of_the_readme())
    cfg = Config.fromfile(tmp_path / 'new.py')
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    for batch, _ in zip(loader, range(5)):
        shown = sum(len(sample.gt_instances) > 0 for sample in batch['data_samples'])
        assert shown >= 3  # mosaics show those of other images too


@pytest.mark.slow
@pytest.mark.parametrize('family', families(), ids=lambda path: path.name)
def test_what_check_prints_for_every_family_is_a_config_that_passes(
    family, annotated, synthetic, tmp_path, capsys
):
    config = tmp_path / 'my_config.py'
    unchanged(family, annotated, synthetic, config)
    options = ['--batches', '5']
    for _ in range(3):  # what hides behind a finding is found after it
        status = main(['check', str(config), *options])
        said = capsys.readouterr().out
        if status == 0:
            return
        lines = said[said.index('\n_base_ = ') :]
        config = config.with_name(f'{config.stem}_mended.py')
        config.write_text(lines)
    raise AssertionError(said)
