"""The tool tells a broken config from a sound one, and measures what arrives."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import mmyolo_like  # noqa: F401
import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmengine.config import Config
from runner_configs import ROOT
from user_configs import BROKEN, PRESERVED, SOUND, config, new, preserved

from mmdefect.commands.main import main


@pytest.fixture
def check(synthetic, tmp_path, capsys):
    """Runs the tool on the text of a config: exit status, JSON or what it says."""

    def run(text, *options):
        path = tmp_path / 'config.py'
        path.write_text(text.replace('{data}', str(synthetic)))
        status = main(['check', str(path), *options])
        out, err = capsys.readouterr()
        return status, json.loads(out) if '--json' in options and out else out, err

    return run


def run_script(*args, **environment):
    return subprocess.run(
        [sys.executable, '-m', 'mmdefect', 'check', *map(str, args)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def broken(said):
    return [finding for finding in said['findings'] if finding['breaks']]


@pytest.mark.parametrize('name', [*SOUND, *PRESERVED])
def test_a_sound_config_delivers_its_quota_and_passes(check, name):
    text = {**SOUND, **PRESERVED}[name]
    options = ['--batches', '2', '--json', '--cfg-options', 'randomness.seed=0']
    if name == 'Mask R-CNN':  # the synthetic set has no masks
        options += ['train_dataloader.dataset.pipeline.1.with_mask=False']
    status, said, _ = check(text, *options)
    assert broken(said) == []
    assert status == 0
    counts = {
        c['pool']: (c['drawn'], c['delivered']) for c in said['delivery']['counts']
    }
    assert counts['defect'] == (6, 6)


def test_a_finding_says_what_where_why_and_the_fix(check):
    text, where = BROKEN['RandomCrop refuses normal images']
    status, out, _ = check(text, '--batches', '4')
    assert status == 1
    for words in (
        f'finding {where}',
        'what RandomCrop(allow_negative_crop=False)',
        'why  it returns None for every normal image',
        'fix  allow_negative_crop=True',
        '2 things to mend',
    ):
        assert words in out
    assert f'\n_base_.{where} = True\n' in out
    assert max(map(len, out.splitlines())) <= 80
    # 5 normal images in each of 4 batches, each replaced by a defect image. The crop
    # leaves about 1 in 100 a box of less than a pixel, which does not count.
    (delivered,) = re.findall(r'normal +│ +5 │ +20 │ +(\d+) │', out)
    assert int(delivered) <= 1
    assert check(text, '--batches', '4')[1] == out


@pytest.mark.parametrize('name', BROKEN)
def test_a_broken_config_does_not_pass(check, name):
    text, where = BROKEN[name]
    status, said, _ = check(text, '--batches', '0', '--json')
    assert status == 1
    assert where in [finding['where'] for finding in said['findings']]


def test_it_ends_with_what_to_do_next(check):
    text, where = BROKEN["RTMDet's own crop"]
    _, out, _ = check(text, '--batches', '0')
    advice, _, mended = out.partition('\n_base_ =')
    assert 'No batch was run, so there may be more to find.' in advice
    assert 'save these lines as a new config beside this one' in ' '.join(
        advice.split()
    )
    assert f'_base_.{where} = True' in mended.splitlines()
    _, said, _ = check(text, '--batches', '0', '--json')
    assert said['mended'] == f'_base_ ={mended}'


def test_lost_normal_images_are_told_once_with_their_key(check):
    text, where = BROKEN['Faster R-CNN drops the normal images']
    _, said, _ = check(text, '--json')
    assert [finding['where'] for finding in broken(said)] == [where]


DROP = "[dict(type='FilterAnnotations', min_gt_bbox_wh=(99, 99), keep_empty=False)]"


@pytest.mark.parametrize('workers', [0, 2])
def test_a_loss_that_no_known_transform_explains_is_measured(check, workers):
    text = config('retinanet', new(f'dict(leaf, pipeline=load + {DROP} + pack)'))
    workers = f'train_dataloader.num_workers={workers}'
    status, said, _ = check(text, '--batches', '5', '--json', '--cfg-options', workers)
    assert status == 1
    (finding,) = broken(said)
    assert finding['what'] == '15 of 15 drawn defect images show none'
    counts = {c.pop('pool'): c for c in said['delivery']['counts']}
    assert counts['defect'] == dict(quota=3, drawn=15, delivered=0)
    assert counts['normal'] == dict(quota=5, drawn=25, delivered=25)
    assert {counts[name]['delivered'] for name in ('scratch', 'pit', 'dent')} == {0}


def test_a_lost_class_breaks_a_quota_of_that_class(check):
    """An image that was drawn for its pit may keep a scratch instead."""
    quota = "train_dataloader['batch_sampler']['quota'] = dict(pit=3)"
    sparing = "load + small + [dict(type='MinIoURandomCrop')] + small + pack"
    sparing = f'dict(leaf, pipeline={sparing})'
    options = ('--json', '--batches', '20', '--cfg-options', 'randomness.seed=0')
    for dataset, rest, lost in (
        (new(sparing), '', []),
        (new(sparing), quota, ['pit']),
        (preserved(sparing), quota, []),
    ):
        _, said, _ = check(config('retinanet', dataset, rest), *options)
        found = [finding['what'] for finding in broken(said)]
        losses = [what for what in found if not what.startswith('never drawn')]
        assert [what.split()[4] for what in losses] == lost


def test_pasted_images_and_counterexamples_are_counted_apart(check):
    quota = "train_dataloader['batch_sampler']['quota'] = "
    quota += 'dict(defect=2, pasted=2, counterexample=1)'
    crop = 'dict(leaf, pipeline=load + small + crop + small + pack)'
    text = config('retinanet', preserved(crop), quota)
    status, said, _ = check(text, '--json', '--batches', '10')
    assert status == 0
    counts = {c.pop('pool'): c for c in said['delivery']['counts']}
    assert counts['pasted'] == dict(quota=2, drawn=20, delivered=20)
    assert counts['defect'] == dict(quota=2, drawn=20, delivered=20)
    assert counts['counterexample'] == dict(quota=1, drawn=10, delivered=10)
    assert counts['normal'] == dict(quota=3, drawn=30, delivered=30)
    status, out, _ = check(config('retinanet', new('plain'), quota), '--batches', '1')
    assert status == 1
    assert "type='DefectPreservingDataset'" in out


def test_how_many_images_show_a_defect_is_noted_where_mosaics_bring_them_in(check):
    options = '--json', '--batches', '30'
    status, said, _ = check(PRESERVED['YOLOX'], *options)
    assert status == 0
    (note,) = (f for f in said['findings'] if 'show a defect' in f['what'])
    assert not note['breaks']
    assert note['what'].startswith('of the 8 images of a batch ')
    shown = float(note['what'].split()[7])
    assert 3 < shown <= 8
    assert shown == pytest.approx(said['delivery']['showing'] / 30, abs=0.051)
    _, said, _ = check(SOUND['RetinaNet'], *options)
    assert not [f for f in said['findings'] if 'show a defect' in f['what']]


def test_a_quota_over_several_batches_is_counted_over_them(check):
    small = "train_dataloader['batch_size'] = 2\n"
    over = "train_dataloader['batch_sampler'].update(quota=3, over=8)\n"
    text = config(
        'retinanet', new('dict(leaf, pipeline=load + small + pack)'), small + over
    )
    status, out, _ = check(text, '--batches', '8')
    assert status == 0
    for words in (
        'note optim_wrapper.accumulative_counts',
        'an optimizer step of 2 images (batch_size=2) holds 0.75 for the quota',
        'fix accumulative_counts=4',
        'The quota is of every 8 images. On one GPU an optimizer step of 2 images',
    ):
        assert words in ' '.join(out.split())
    assert re.search(r'defect +│ +3 │ +6 │ +6 │ 100.0 %', out)
    accumulated = '--cfg-options', 'optim_wrapper.accumulative_counts=4'
    _, out, _ = check(text, '--batches', '8', *accumulated)
    assert 'note optim' not in out
    assert 'an optimizer step of 8 images' in ' '.join(out.split())


def test_a_class_that_only_a_later_part_of_the_dataset_knows_arrives(check, two_parts):
    parts = ', '.join(f'dict(plain, **{part})' for part in two_parts)
    text = config('retinanet', new(f"dict(type='ConcatDataset', datasets=[{parts}])"))
    status, said, _ = check(text, '--batches', '5', '--json')
    assert status == 0
    counts = {c.pop('pool'): c for c in said['delivery']['counts']}
    assert counts['defect'] == dict(quota=3, drawn=15, delivered=15)
    for name in ('scratch', 'pit', 'dent'):
        assert counts[name]['delivered'] == counts[name]['drawn'] > 0


def test_the_schedule_is_checked_too(check):
    hook = (
        "custom_hooks = [dict(type='QuotaScheduleHook', milestones=[(0, 3), (1, 8)])]"
    )
    text = config('retinanet', new('plain'), hook)
    status, said, _ = check(text, '--batches', '0', '--json')
    assert status == 1
    (finding,) = broken(said)
    assert finding['where'] == 'custom_hooks[0]'
    assert 'quota=8 takes 8 of a batch of 8' in finding['what']


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('train_dataloader.batch_sampler.quota=8', 'quota=8 takes 8 of a batch of 8'),
        ('train_dataloader.batch_size=0', 'batch_size=0: expected at least 1'),
        ('train_dataloader.sampler.defect_classes=[crack]', "names 'crack'"),
    ],
)
def test_what_the_samplers_refuse_is_a_finding(check, option, said):
    text = config('retinanet', new('plain'))
    status, found, _ = check(text, '--json', '--cfg-options', option)
    assert status == 1
    assert said in found['findings'][0]['what']


def test_a_quota_by_class_over_a_number_is_told_with_the_line_to_write(
    synthetic, tmp_path, capsys
):
    base, path = tmp_path / 'base.py', tmp_path / 'child.py'
    base.write_text(config('retinanet', new('plain')).replace('{data}', str(synthetic)))
    key = 'train_dataloader.batch_sampler.quota'

    def run(quota, *options):
        path.write_text(
            "_base_ = 'base.py'\n"
            f'train_dataloader = dict(batch_sampler=dict(quota={quota}))'
        )
        options = ['--cfg-options', *options] if options else []
        status = main(['check', str(path), '--batches', '0', *options])
        return status, ' '.join(capsys.readouterr()[status == 2].split())

    by_class = 'dict(_delete_=True, pit=1, scratch=1, dent=1)'
    status, said = run(by_class.replace('_delete_=True, ', ''))
    assert status == 2
    assert 'quota=dict(_delete_=True, crack=1, ...)' in said
    assert run(by_class)[0] == 0
    status, said = run(2, f'{key}=dict(pit=1)')
    assert status == 1
    assert f'{key}._delete_=True {key}.crack=1' in said
    options = f'{key}._delete_=True {key}.pit=1 {key}.dent=1 {key}.scratch=1'
    assert run(2, *options.split())[0] == 0


def test_a_wrapper_used_twice_is_a_finding(check):
    inside = "dict(type='DefectPreservingDataset', dataset=cropped)"
    status, said, _ = check(config('ssd', preserved(inside)), '--json')
    assert status == 1
    assert 'DefectPreservingDataset' in said['findings'][0]['what']


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ('train_dataloader = dict(', 'cannot be read'),
        ('model = dict()', 'no train_dataloader.dataset'),
        ("custom_imports = dict(imports=['no_such_module'])", 'no_such_module'),
        (
            config('retinanet', "dict(dict(data, data_root='/nowhere/'))"),
            '/nowhere/annotations/train.json',
        ),
        (
            config('retinanet', preserved("dict(plain, data_root='/nowhere/')")),
            'cannot be built: /nowhere/annotations/train.json does not exist',
        ),
        (config('retinanet', "dict(data, data_prefix=dict(img='no/'))"), 'no does not'),
        (
            config('retinanet', new("dict(leaf, pipeline=[dict(type='NoStep')])")),
            'NoStep',
        ),
    ],
    ids=[
        'syntax',
        'no dataset',
        'import',
        'annotations',
        'annotations of a wrapped dataset',
        'images',
        'transform',
    ],
)
def test_a_config_that_cannot_run_is_told_in_one_line(check, text, said):
    status, out, err = check(text, '--batches', '1')
    assert status == 2
    assert out == ''
    assert said in err
    assert err.count('\n') == 1


def test_a_missing_config_is_told_in_one_line(capsys):
    assert main(['check', 'no_such_config.py']) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert 'no_such_config.py' in err
    assert err.count('\n') == 1


def test_a_forgotten_import_is_a_finding(synthetic, tmp_path):
    text = config('retinanet', new('plain')).replace('{data}', str(synthetic))
    path = tmp_path / 'config.py'
    path.write_text(
        '\n'.join(x for x in text.splitlines() if 'custom_imports' not in x)
    )
    result = run_script(path, '--json', '--batches', '1')
    assert result.returncode == 1, result.stderr
    assert result.stderr == ''
    (finding,) = broken(json.loads(result.stdout))
    assert finding['where'] == 'custom_imports'


@pytest.mark.parametrize(
    'text',
    ['import mmdefect', 'import mmdefect as quotas', 'from mmdefect import *'],
)
def test_who_imports_it_in_a_module_of_his_own_is_not_accused(
    text, synthetic, tmp_path
):
    (tmp_path / 'my_package').mkdir()
    (tmp_path / 'my_package/__init__.py').write_text('from . import samplers')
    (tmp_path / 'my_package/samplers.py').write_text(text)
    config_text = config('retinanet', new('plain')).replace('{data}', str(synthetic))
    assert "imports=['mmdefect']" in config_text
    path = tmp_path / 'config.py'
    path.write_text(config_text.replace("['mmdefect']", "['my_package']"))
    paths = [str(ROOT), str(tmp_path)]
    result = run_script(path, '--json', '--batches', '0', PYTHONPATH=':'.join(paths))
    assert result.returncode == 0, result.stdout + result.stderr
    assert broken(json.loads(result.stdout)) == []


def test_classes_that_a_pure_python_config_imports_are_known(synthetic, tmp_path):
    text = config('retinanet', new('plain')).replace('{data}', str(synthetic))
    plain = '\n'.join(x for x in text.splitlines() if 'custom_imports' not in x)
    (tmp_path / 'plain.py').write_text(plain)
    Config.fromfile(str(tmp_path / 'plain.py')).dump(str(tmp_path / 'base.py'))
    (tmp_path / 'config.py').write_text(PURE_PYTHON)
    result = run_script(tmp_path / 'config.py', '--json', '--batches', '1')
    assert broken(json.loads(result.stdout)) == []


PURE_PYTHON = """
from mmengine.config import read_base

with read_base():
    from .base import *

from mmdefect import DefectPoolSampler, QuotaBatchSampler

train_dataloader['sampler'] = dict(type=DefectPoolSampler)
train_dataloader['batch_sampler'] = dict(type=QuotaBatchSampler, quota=1)
"""


# --- Annotations ------------------------------------------------------------------


def edited(synthetic, path, change, share=1.0):
    """The options that put an edited annotation file in the place of the config's."""
    content = json.loads((synthetic / 'annotations/train.json').read_text())
    images = sorted({a['image_id'] for a in content['annotations']})
    some = images[: round(share * len(images))]
    for annotation in content['annotations']:
        if annotation['image_id'] in some:
            annotation.update(change)
    path.write_text(json.dumps(content))
    return '--cfg-options', f'train_dataloader.dataset.ann_file={path}'


def test_defects_that_the_loader_drops_are_a_finding(check, synthetic, tmp_path):
    text, path = config('retinanet', new('plain')), tmp_path / 'edited.json'
    for share, run in ((0.4, True), (1, False)):
        options = edited(synthetic, path, dict(area=0), share)
        status, said, _ = check(text, '--json', '--batches', '1', *options)
        assert status == 1
        (finding,) = broken(said)
        assert finding['where'] == str(path)
        assert 'defect images that are not drawn as such' in finding['what']
        assert finding['fix'] == '"area": width * height of the bbox'
        assert (said['delivery'] is not None) == run


def test_what_hides_nothing_is_a_note(check, synthetic, tmp_path):
    content = json.loads((synthetic / 'annotations/train.json').read_text())
    shown = {annotation['image_id'] for annotation in content['annotations']}
    for number, image in enumerate(content['images']):
        if image['id'] not in shown:
            dummy = dict(id=10**6 + number, image_id=image['id'], category_id=1)
            content['annotations'].append(dict(dummy, bbox=[0] * 4, area=0, iscrowd=0))
    path = tmp_path / 'edited.json'
    path.write_text(json.dumps(content))
    option = f'train_dataloader.dataset.ann_file={path}'
    text = config('retinanet', new('plain'))
    status, out, _ = check(text, '--batches', '0', '--cfg-options', option)
    assert status == 0
    assert 'they are normal' in ' '.join(out.split())


@pytest.mark.parametrize('wrapped', [False, True])
def test_a_file_that_cannot_be_read_is_told_by_its_cause(
    check, synthetic, tmp_path, wrapped
):
    text = config('retinanet', preserved('plain') if wrapped else new('plain'))
    path = tmp_path / 'edited.json'
    _, option = edited(synthetic, path, dict(bbox=[]))
    option = option.replace('dataset.', 'dataset.dataset.') if wrapped else option
    status, said, _ = check(text, '--json', '--cfg-options', option)
    assert status == 1
    (finding,) = broken(said)
    assert f'annotations of {path} have no "bbox"' in finding['what']


# --- Validation -------------------------------------------------------------------


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('val_dataloader.dataset.ann_file=no.json', 'no.json does not exist'),
        ('val_dataloader.dataset.data_prefix.img=no/', '/no does not exist'),
        ('val_evaluator.ann_file=no.json', 'no.json does not exist'),
    ],
)
def test_a_missing_file_of_validation_is_a_finding_and_not_a_lost_night(
    check, option, said
):
    text = config('retinanet', new('plain'))
    options = ('--json', '--batches', '0', '--cfg-options', option)
    status, found, _ = check(text, *options)
    assert status == 1
    (finding,) = broken(found)
    assert said in finding['what']
    assert finding['where'].startswith('val_')
    assert 'train_dataloader' not in finding['what']
    nothing = ['val_dataloader=None', 'val_cfg=None', 'val_evaluator=None']
    assert check(text, *options[:-1], *nothing)[0] == 0


# --- What arrives -----------------------------------------------------------------


@TRANSFORMS.register_module(force=True)
class Refuses:
    """Returns None for a share of the images with a box, or raises an error."""

    def __init__(self, share=1.0, fails=False):
        self.share, self.fails = share, fails

    def __call__(self, results):
        if len(results['gt_bboxes']) and torch.rand(()) < self.share:
            if self.fails:
                raise AssertionError
            return None
        return results


def refusing(**options):
    step = dict(type='Refuses', **options)
    steps = f'load + small + [{step}] + pack'
    return config('retinanet', new(f'dict(leaf, pipeline={steps})'))


ONE = 'train_dataloader.batch_sampler.quota=1', 'randomness.seed=0'


@pytest.mark.parametrize('workers', [0, 2])
def test_few_defect_images_that_give_way_break_a_small_quota(check, workers):
    """They are 5 % of all images, and two fifths of the defect images."""
    options = ('--cfg-options', *ONE, f'train_dataloader.num_workers={workers}')
    status, said, _ = check(refusing(share=0.4), '--batches', '50', '--json', *options)
    assert status == 1
    (finding,) = broken(said)
    assert re.match(
        r'in the place of \d\d of 50 drawn defect images another', finding['what']
    )
    assert finding['why'].startswith('Refuses returned None')


@pytest.mark.parametrize('workers', [0, 2])
def test_an_error_without_a_reason_names_the_transform_and_the_image(
    check, synthetic, workers
):
    options = ('--cfg-options', *ONE, f'train_dataloader.num_workers={workers}')
    status, out, err = check(refusing(fails=True), '--batches', '2', *options)
    assert (status, out) == (2, '')
    assert f'Refuses fails for {synthetic}/train/' in err
    assert 'AssertionError: no reason given' in err
    assert err.count('\n') == 1


@pytest.fixture
def lacking(synthetic, tmp_path):
    """Copies ``synthetic`` without some of its images; says where."""

    def copy(is_gone):
        for name in ('annotations', 'train', 'val'):
            shutil.copytree(synthetic / name, tmp_path / name)
        content = json.loads((tmp_path / 'annotations/train.json').read_text())
        shown = {a['image_id'] for a in content['annotations']}
        for image in content['images']:
            if is_gone(image['id'], image['id'] in shown):
                (tmp_path / 'train' / image['file_name']).unlink()
        return str(tmp_path)

    return copy


@pytest.mark.parametrize('wrapped', [False, True])
def test_a_missing_image_is_named_as_training_names_it(
    check, lacking, tmp_path, wrapped
):
    root = lacking(lambda number, is_defect: is_defect and number % 2)
    text = config('retinanet', preserved('plain') if wrapped else new('plain'))
    text = text.replace('{data}', root)
    status, said, err = check(text, '--batches', '20', '--json')
    if wrapped:
        assert status == 1
        (finding,) = broken(said)
        assert f'{tmp_path}/train/' in finding['why']
        assert 'cannot be read: FileNotFoundError' in finding['why']
    else:
        assert status == 2
        assert f'LoadImageFromFile fails for {tmp_path}/train/' in err


def test_a_missing_image_is_named_where_too_few_are_missing_to_break_the_quota(
    check, lacking
):
    root = lacking(lambda number, is_defect: not is_defect and number % 40 == 0)
    text = config('retinanet', preserved('plain')).replace('{data}', root)
    status, said, _ = check(text, '--batches', '20', '--json')
    assert (status, broken(said)) == (0, [])
    (note,) = (f for f in said['findings'] if 'replaced' in f['what'])
    assert note['why'].startswith(f'{root}/train/')
    assert 'cannot be read: FileNotFoundError' in note['why']


@pytest.mark.parametrize(('later', 'broken_at'), [(None, 1), (3, 0)])
def test_a_quota_of_nothing_is_found_unless_a_schedule_raises_it(
    check, later, broken_at
):
    zero = "train_dataloader['batch_sampler']['quota'] = {}"
    if later:
        zero += (
            "\ncustom_hooks = [dict(type='QuotaScheduleHook', "
            f'milestones=[(1, {later})])]'
        )
    text = config('retinanet', preserved('plain'), zero)
    status, said, _ = check(text, '--batches', '0', '--json')
    assert status == broken_at
    assert [f['what'] for f in broken(said)] == broken_at * [
        'quota={} draws no defect image'
    ]


def collated(steps='small'):
    """A dataset and a collate function like those of MMYOLO."""
    return config(
        'retinanet',
        preserved(f"dict(plain, type='OwnWayDataset', pipeline=load + {steps} + pack)"),
        "train_dataloader['collate_fn'] = dict(type='boxes_collate')",
    )


@pytest.mark.parametrize('workers', [0, 2])
def test_what_arrives_is_counted_before_it_is_collated(check, workers):
    options = '--cfg-options', f'train_dataloader.num_workers={workers}'
    steps = 'small + crop + [dict(type="Resize", scale=(64, 64), keep_ratio=False)]'
    status, said, _ = check(collated(steps), '--batches', '3', '--json', *options)
    assert status == 0
    counts = {
        c['pool']: (c['drawn'], c['delivered']) for c in said['delivery']['counts']
    }
    assert counts['defect'] == (9, 9)


def test_what_cannot_be_collated_is_told(check):
    steps = '[dict(type="RandomResize", scale=(64, 64), ratio_range=(0.5, 1.0))]'
    status, out, err = check(collated(steps), '--batches', '3')
    assert (status, out) == (2, '')
    assert 'stack expects each tensor to be equal size' in err


# --- Pure-Python configs ----------------------------------------------------------


def test_the_fix_for_a_pure_python_config_can_be_pasted_into_it(synthetic, tmp_path):
    text = config('yolox', new('mosaic')).replace('{data}', str(synthetic))
    plain = '\n'.join(x for x in text.splitlines() if 'custom_imports' not in x)
    (tmp_path / 'plain.py').write_text(plain)
    cfg = Config.fromfile(str(tmp_path / 'plain.py'))
    cfg.train_dataloader.sampler = dict(type='DefaultSampler', shuffle=True)
    cfg.train_dataloader.pop('batch_sampler')
    cfg.dump(str(tmp_path / 'base.py'))
    path = tmp_path / 'config.py'
    pure = PURE_PYTHON[: PURE_PYTHON.index('train_dataloader')]
    for _ in range(2):  # the dataset is looked at when the samplers are there
        path.write_text(pure)
        result = run_script(path, '--json', '--batches', '1')
        found = broken(json.loads(result.stdout))
        assert not [x for x in found if '_delete_' in x['fix']]
        pure += '\n'.join(finding['line'] for finding in found) + '\n'
    path.write_text(pure)
    result = run_script(path, '--json', '--batches', '1')
    assert broken(json.loads(result.stdout)) == [], pure
    assert result.returncode == 0
    assert "type='DefectPreservingDataset', dataset=train_dataloader['dataset']" in pure


def test_help_shows_an_example_and_a_wrong_option_takes_one_line(capsys):
    with pytest.raises(SystemExit) as caught:
        main(['check', '--help'])
    assert caught.value.code == 0
    assert '  mmdefect check configs/' in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(['check', 'config.py', '--batches', '-1'])
    assert caught.value.code == 2
    assert '--batches -1: expected 0 or more' in capsys.readouterr().err
