"""The tool's numbers are those of the batches that training draws."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from runner_configs import ROOT, small_config
from user_configs import config, new

from mmdefect.analysis.batches import pool_numbers
from mmdefect.commands.main import main
from mmdefect.commands.plan_picture import draw_over_quota
from mmdefect.plan.quotas import usual_quota
from mmdefect.samplers.draws import MANY_DRAWS

CONFIG = ROOT / 'configs/defect_yolox.py'
LEAF = 'train_dataloader.dataset.dataset'


@pytest.fixture
def inspect(synthetic, tmp_path, capsys, monkeypatch):
    """Runs the tool on a config's text, or the ready one: status, output, errors."""
    monkeypatch.setenv('COLUMNS', '80')
    for handler in MMLogger.get_current_instance().handlers:
        # An earlier test's stream, closed since.
        if type(handler) is logging.StreamHandler:
            handler.stream = io.StringIO()

    def run(*args, text=None, options=()):
        path = CONFIG
        if text is not None:
            path = tmp_path / 'config.py'
            path.write_text(text.replace('{data}', str(synthetic)))
        else:
            options = [f'{LEAF}.data_root={synthetic}/', *options]
        options = ['--cfg-options', *options] if options else []
        status = main(['inspect', str(path), *map(str, args), *options])
        out, err = capsys.readouterr()
        return status, json.loads(out) if '--json' in args and out else out, err

    return run


def built(synthetic, tmp_path, quota, **options):
    """The batch sampler that a Runner would train with."""
    cfg = small_config(synthetic, tmp_path, **options)
    cfg.train_dataloader.batch_sampler.update(quota=quota, num_batches=None)
    return Runner.build_dataloader(cfg.train_dataloader, seed=0).batch_sampler


@pytest.mark.parametrize('drop_last', [True, False])
def test_the_table_tells_what_an_epoch_of_each_quota_really_holds(
    inspect, synthetic, tmp_path, drop_last
):
    option = f'train_dataloader.batch_sampler.drop_last={drop_last}'
    status, said, err = inspect('--json', options=[option, 'train_cfg.max_epochs=9'])
    assert (status, err) == (0, '')
    assert [row['quota'] for row in said['quotas']] == list(range(1, 8))
    for row in said['quotas'][::3]:
        batches = built(
            synthetic,
            tmp_path,
            row['quota'],
            train_dataloader__batch_sampler__drop_last=drop_last,
        )
        drawn = np.array(list(batches))
        defect = np.isin(drawn, batches.sampler.pools['defect'])
        assert row['batches'] == len(drawn)
        assert row['normals'] == len(np.unique(drawn[~defect]))
        assert said['pools']['defect'] * row['draws_epoch'] == pytest.approx(
            defect.sum()
        )
        assert row['draws_run'] == pytest.approx(9 * row['draws_epoch'])


def test_pools_and_overlap_are_those_of_the_annotations(inspect, synthetic):
    content = json.loads((synthetic / 'annotations/train.json').read_text())
    names = {c['id']: c['name'] for c in content['categories']}
    images = {name: set() for name in names.values()}
    for annotation in content['annotations']:
        images[names[annotation['category_id']]].add(annotation['image_id'])
    _, said, _ = inspect('--json')
    assert said['images'] == len(content['images'])
    assert said['pools']['defect'] == len(set.union(*images.values()))
    assert said['overlap'] == {
        a: {b: len(images[a] & images[b]) for b in images} for a in images
    }
    assert any(said['overlap'][a][b] for a in images for b in images if a != b)


def test_the_share_of_stock_batches_without_a_defect_is_that_of_real_ones(
    inspect, synthetic, tmp_path
):
    _, said, _ = inspect('--json')
    batches = built(synthetic, tmp_path, None)
    defects, empty, total = batches.sampler.pools['defect'], 0, 0
    for epoch in range(1000):
        batches.sampler.set_epoch(epoch)
        drawn = np.isin(np.array(list(batches)), defects)
        empty += (~drawn.any(1)).sum()
        total += len(drawn)
    share = said['stock_batches_without_defect']
    # Batches of an epoch share its defects, so they scatter less than independent ones.
    assert empty / total == pytest.approx(
        share, abs=4 * (share * (1 - share) / total) ** 0.5
    )


def test_a_run_by_iterations_is_counted_in_iterations(inspect):
    text = f"_base_ = '{CONFIG}'\ntrain_cfg = dict(_delete_=True, max_iters=500)\n"
    text += f'train_dataloader = dict({nested("data_root", "{data}/")})'
    _, said, _ = inspect('--json', text=text)
    assert said['iterations'] == 500
    for row in said['quotas']:
        draws = 500 * row['quota'] / said['pools']['defect']
        assert row['draws_run'] == pytest.approx(draws)


def nested(key, value):
    """A setting of the ready config's innermost dataset."""
    return f"dataset=dict(dataset=dict({key}='{value}'))"


def epochs(number):
    return [f'train_cfg.max_epochs={number}']


def test_three_of_eight_is_recommended_as_the_ready_config_has_it(inspect):
    _, said, _ = inspect('--json', options=epochs(2))
    best = said['recommended']
    assert best['quota'] == usual_quota(said['batch_size']) == said['quota'] == 3
    assert said['quotas'][best['quota'] - 1]['draws_run'] <= 300
    assert 'configs/README.md' in best['source']


def test_a_lower_quota_is_recommended_for_a_longer_run(inspect):
    _, said, _ = inspect('--json', options=epochs(19))
    quota = said['recommended']['quota']
    assert 1 <= quota < usual_quota(said['batch_size'])
    draws = [row['draws_run'] for row in said['quotas']]
    assert draws[quota - 1] <= MANY_DRAWS < draws[quota]
    assert 'QuotaMonitorHook' in said['recommended']['source']


def test_the_recommended_length_silences_the_hook_that_warns(
    inspect, synthetic, tmp_path, capsys
):
    """What the tool says and what training says must not contradict each other."""
    _, said, _ = inspect('--json', options=epochs(80))
    best = said['recommended']
    longest = int(re.search(r'max_epochs=(\d+)', best['reason']).group(1))

    def warned(number):
        cfg = small_config(synthetic, tmp_path, train_cfg__max_epochs=number)
        cfg.train_dataloader.batch_sampler.update(quota=best['quota'], num_batches=None)
        cfg.custom_hooks = [dict(type='QuotaMonitorHook')]
        runner = Runner.from_cfg(cfg)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        capsys.readouterr()
        runner.call_hook('before_train')
        return capsys.readouterr().out

    assert 'learned by heart' not in warned(longest)
    assert f'Train shorter (train_cfg.max_epochs={longest})' in warned(longest + 1)


def test_a_run_too_long_for_any_quota_is_told_how_long_it_may_be(inspect):
    _, said, _ = inspect('--json', options=epochs(300))
    reason = said['recommended']['reason']
    longest = int(reason.split('max_epochs=')[1].split()[0])
    once = said['quotas'][0]['draws_epoch']
    assert longest * once <= 300 < (longest + 1) * once


def test_stock_sampling_is_recommended_where_defects_are_common(inspect, tmp_path):
    """A quota would then take defects away."""
    text = config('retinanet', new("dict(leaf, ann_file='common.json', pipeline=[])"))
    common = tmp_path / 'common.json'
    images = [dict(id=i, file_name=f'{i}.png', height=9, width=9) for i in range(60)]
    boxes = [
        dict(id=i + 1, image_id=i, category_id=1, bbox=[1, 1, 5, 5], area=25, iscrowd=0)
        for i in range(40)
    ]
    classes = [
        dict(id=i, name=name) for i, name in enumerate(('scratch', 'pit', 'dent'))
    ]
    common.write_text(
        json.dumps(dict(images=images, annotations=boxes, categories=classes))
    )
    text = text.replace('common.json', str(common))
    status, said, err = inspect('--json', text=text)
    assert (status, err) == (0, '')
    assert said['recommended']['quota'] is None


def test_a_stock_config_is_inspected_before_it_has_a_quota(inspect):
    loader = 'train_dataloader = dict(batch_size=4, drop_last=True, dataset={dataset})'
    text = config('faster_rcnn', new('plain'), loader=loader)
    text = text.replace(
        "custom_imports = dict(imports=['mmdefect']", 'nothing = dict(a=1'
    )
    status, said, err = inspect('--json', text=text)
    assert (status, err) == (0, '')
    assert (said['quota'], said['batch_size']) == (None, 4)
    assert len(said['quotas']) == 3


def test_small_batches_are_inspected_over_several_of_them(inspect):
    loader = 'train_dataloader = dict(batch_size=2, dataset={dataset})'
    text = config('faster_rcnn', new('plain'), loader=loader)
    text = text.replace(
        "custom_imports = dict(imports=['mmdefect']", 'nothing = dict(a=1'
    )
    _, said, _ = inspect('--json', text=text)
    assert (said['quota'], said['over']) == (None, 8)
    assert len(said['quotas']) == 7
    _, out, _ = inspect(text=text)
    assert 'groups of 8 images would hold no defect' in out
    assert f'quota={said["recommended"]["quota"]}, over=8:' in out


def test_a_quota_over_several_batches_is_told_over_them(inspect, tmp_path):
    over = ['train_dataloader.batch_size=2', 'train_dataloader.batch_sampler.over=8']
    path = tmp_path / 'plan.png'
    _, whole, _ = inspect('--json')
    _, said, _ = inspect('--json', '--save', path, options=over)
    assert path.stat().st_size > 10_000
    assert (said['quota'], said['batch_size'], said['over']) == (3, 2, 8)
    share = 'stock_batches_without_defect'
    assert said[share] == whole[share]
    for row, of_batches in zip(said['quotas'], whole['quotas']):
        assert row['normals'] == of_batches['normals']
        assert row['draws_run'] == pytest.approx(of_batches['draws_run'])
        assert row['batches'] == 4 * of_batches['batches']


def test_draws_of_each_class_are_told_with_the_weights_to_take(inspect):
    _, said, _ = inspect('--json')
    found = said['weights']
    assert list(found['draws']) == ['None', 'class_balanced', 'repeat_factor']
    for name, drawn in found['draws']['None'].items():
        per_image = drawn / said['pools'][name]
        assert per_image == pytest.approx(said['draws_run']['defect'])
    _, out, _ = inspect()
    assert 'Draws of each class in the whole run' in out
    assert 'Recommended: weights=None: ' in out
    assert max(map(len, out.splitlines())) <= 80
    # That of the config itself does not matter.
    weighted = ['train_dataloader.sampler.weights=class_balanced']
    assert inspect('--json', options=weighted)[1]['weights'] == found


def test_a_stock_config_that_drops_its_normal_images_is_inspected_with_them(inspect):
    dropping = 'dict(dict(data, filter_cfg=dict(filter_empty_gt=True)))'
    loader = 'train_dataloader = dict(batch_size=4, dataset={dataset})'
    text = config('faster_rcnn', dropping, loader=loader)
    status, said, err = inspect('--json', text=text)
    assert (status, said['pools']['normal']) == (0, said['images'] - 9)
    assert 'filter_empty_gt=True drops every normal image' in err
    assert err.count('\n') == 1


def test_what_no_quota_draws_is_told(inspect):
    quota = "train_dataloader['batch_sampler']['quota'] = dict(pit=2, dent=1)"
    text = config('retinanet', new('plain'), quota)
    _, said, _ = inspect('--json', text=text)
    assert said['never_drawn'].keys() == {'scratch'}
    _, out, _ = inspect(text=text)
    number = said['never_drawn']['scratch']
    assert f'no quota reaches them: {number} scratch images' in ' '.join(out.split())


def test_classes_of_few_images_are_told_for_training_and_for_validation(
    inspect, synthetic
):
    val = [f'val_dataloader.dataset.data_root={synthetic}/']
    _, said, _ = inspect('--json', options=val)
    assert said['validation']['normal'] > 0
    _, out, _ = inspect(options=val)
    told = ' '.join(out.split())
    few = ', '.join(f'{n} {said["pools"][n]}' for n in said['overlap'])
    assert f'Too few images to learn from, 10 or less: {few}.' in told
    few = ', '.join(f'{n} {said["validation"][n]}' for n in said['overlap'])
    assert f'Too few images to validate with, 10 or less: {few}.' in told
    assert max(map(len, out.splitlines())) <= 80


def test_box_sizes_after_the_resize_end_with_a_scale_to_take(inspect):
    def measured(scale):
        pipeline = (
            f'load + [dict(type="Resize", scale={scale}, keep_ratio=True)] + pack'
        )
        text = config('retinanet', new(f'dict(leaf, pipeline={pipeline})'))
        return inspect(text=text)[1], inspect('--json', text=text)[1]['box_sides']

    out, sides = measured((32, 32))
    width, height = sides['advised']
    assert f'Recommended: img_scale=({width}, {height})' in out
    assert max(map(len, out.splitlines())) <= 80
    out, sides = measured((width, height))
    assert sides['advised'] is None
    assert 'img_scale' not in out


def test_the_screen_fits_80_columns_and_says_the_numbers(inspect):
    status, out, _ = inspect()
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    _, said, _ = inspect('--json')
    row = said['quotas'][2]
    (line,) = [x for x in out.splitlines() if 'this config' in x]
    cells = [cell.strip() for cell in line.strip('│').split('│')]
    assert cells[:3] == ['3', f'{row["batches"]:,}', f'{row["normals"]:,}']
    assert cells[3:5] == [f'{row["draws_epoch"]:.1f}', f'{row["draws_run"]:.0f}']
    quota = said['recommended']['quota']
    last = out[out.index('\nRecommended: ') :]
    assert f'\nRecommended: quota={quota}: ' in last
    assert all(mark not in last for mark in '┃│└')  # no table after it


def test_a_quota_of_classes_and_a_schedule_are_told_by_pool(inspect):
    loader = nested('data_root', '{data}/')
    text = f"""
_base_ = '{CONFIG}'
train_dataloader = dict(
    batch_sampler=dict(quota=dict(_delete_=True, pit=2, dent=1)), {loader})
custom_hooks = [dict(
    type='QuotaScheduleHook', milestones=[(0, dict(pit=2, dent=1)), (3, None)])]
train_cfg = dict(max_epochs=6)
"""
    _, said, _ = inspect('--json', text=text)
    images, pools = said['images'], said['pools']
    batches = said['quotas'][2]['batches']  # 5 normal images in each of both
    for name, quota in (('pit', 2), ('dent', 1), ('scratch', 0)):
        want = 3 * batches * (quota / pools[name] + said['batch_size'] / images)
        assert said['draws_run'][name] == pytest.approx(want)
    _, out, _ = inspect(text=text)
    assert f'draws each pit image about {said["draws_run"]["pit"]:.0f} times' in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_picture_is_written_whole_or_not_at_all(inspect, tmp_path, monkeypatch):
    path = tmp_path / 'plan.png'
    assert inspect('--save', path)[0] == 0
    image = cv2.imread(str(path))
    assert image.shape[0] > 500
    before = path.read_bytes()

    from matplotlib.figure import Figure

    save = Figure.savefig

    def interrupted(self, *args, **options):
        save(self, *args, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, 'savefig', interrupted)
    assert inspect('--save', path)[0] == 130
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ['plan.png']


def test_validation_photographs_of_known_parts_are_drawn_beside_the_plan(
    inspect, synthetic, tmp_path
):
    """In another light."""
    for split in ('train', 'val', 'annotations'):
        (tmp_path / split).mkdir()
    content = json.loads((synthetic / 'annotations/train.json').read_text())
    content['images'] = content['images'][:9]
    content['annotations'] = []
    (tmp_path / 'annotations/val.json').write_text(json.dumps(content))
    for image in content['images']:
        pixels = cv2.imread(str(synthetic / 'train' / image['file_name']))
        darker = (0.7 * pixels).astype(np.uint8)
        cv2.imwrite(str(tmp_path / 'val' / image['file_name']), darker)
    path, option = (
        tmp_path / 'plan.png',
        f'val_dataloader.dataset.data_root={tmp_path}/',
    )
    status, out, _ = inspect('--save', path, options=[option])
    assert status == 0
    assert 'plan_look_alikes.png: photographs to validate with' in out
    assert cv2.imread(str(tmp_path / 'plan_look_alikes.png')).shape[0] > 500


def test_the_squares_have_the_colours_of_the_pools(synthetic, tmp_path):
    batches = built(synthetic, tmp_path, dict(pit=2, dent=1))
    names, numbers = pool_numbers(batches)
    assert names == ['normal', 'pit', 'dent', 'defect']
    pools = batches.sampler.pools
    assert (numbers[pools['normal']] == 0).all()
    assert (numbers[pools['pit']] == 1).all()
    assert (numbers[np.setdiff1d(pools['dent'], pools['pit'])] == 2).all()
    only = np.setdiff1d(pools['scratch'], np.union1d(pools['pit'], pools['dent']))
    assert (numbers[only] == 3).all()


def test_a_point_that_is_higher_than_its_panel_stands_at_the_edge_with_its_number():
    from matplotlib import pyplot

    figure, axis = pyplot.subplots()
    advice = SimpleNamespace(quota=1)
    found = SimpleNamespace(own_quota=lambda: 3, advice=advice)
    draw_over_quota(axis, [270, 635, 1140, 2900, 13335], found, 300)
    bottom, top = axis.get_ylim()
    assert bottom < 270
    assert 2900 < top < 13335
    (number,) = axis.texts
    assert number.get_text() == '13,335'
    assert number.xy == (5, top)
    pyplot.close(figure)


@pytest.mark.parametrize(
    ('args', 'options', 'said'),
    [
        ((), ['train_dataloader.batch_size=1'], 'quota=3 takes 3 of a batch of 1'),
        ((), [f'{LEAF}.data_root=nowhere/'], 'nowhere/annotations/train.json'),
        ((), ['train_cfg.max_epochs=0'], 'train_cfg.max_epochs'),
        ((), ['train_dataloader.sampler.defect_classes=[crack]'], "'crack'"),
    ],
)
def test_what_cannot_be_inspected_is_told_in_one_line(inspect, args, options, said):
    status, out, err = inspect(*args, options=options)
    assert status == 2
    assert out == ''
    assert said in err
    assert err.count('\n') == 1


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['--save', 'plan.doc'], 'expected a name that ends in .png'),
        (['--save', 'nowhere/plan.png'], 'there is no directory nowhere'),
        (['--cfg-options', 'max_epochs'], 'expected KEY=VALUE'),
        (['--cfg-options', 'quota={pit:[1,dent:2}'], 'expected KEY=VALUE'),
        (['--cfg-options', "pools={'hard':[1,2,3]}"], 'expected KEY=VALUE'),
    ],
)
def test_wrong_use_ends_with_one_line_and_status_2(capsys, args, said):
    with pytest.raises(SystemExit) as caught:
        main(['inspect', str(CONFIG), *args])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_a_missing_config_is_told_in_one_line(capsys):
    assert main(['inspect', 'no_such_config.py']) == 2
    out, err = capsys.readouterr()
    assert (out, err.count('\n')) == ('', 1)
    assert 'no_such_config.py' in err


def test_it_runs_from_anywhere_as_the_help_says(synthetic, tmp_path):
    shown = subprocess.run(
        [sys.executable, '-m', 'mmdefect', 'inspect', '--help'],
        capture_output=True,
        text=True,
    )
    assert 'mmdefect inspect configs/defect_yolox.py' in shown.stdout
    assert 'LVIS: a dataset' in shown.stdout  # what it recommends has its source
    assert max(map(len, shown.stdout.splitlines())) <= 80
    run = subprocess.run(
        [
            *(
                sys.executable,
                '-m',
                'mmdefect',
                'inspect',
                str(CONFIG),
                '--save',
                'plan.png',
            ),
            *('--cfg-options', f'{LEAF}.data_root={synthetic}/'),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'COLUMNS': '80'},
    )
    assert (run.returncode, run.stderr) == (0, '')
    assert 'plan.png: the plan as a picture' in run.stdout
    assert (tmp_path / 'plan.png').is_file()


def test_images_that_a_wrapper_repeats_are_counted_once(inspect):
    def told(dataset):
        _, said, _ = inspect('--json', text=config('retinanet', new(dataset)))
        return said

    once = told('plain')
    ten = told("dict(type='RepeatDataset', times=10, dataset=plain)")
    for key in ('images', 'pools', 'overlap', 'defect_share'):
        assert ten[key] == once[key]
    # Ten times as many batches draw ten times as often.
    assert ten['quotas'][0]['batches'] // 10 == once['quotas'][0]['batches']
    drawn = [x['quotas'][0]['draws_epoch'] for x in (ten, once)]
    assert drawn[0] == pytest.approx(10 * drawn[1], rel=0.05)
    text = config(
        'retinanet', new("dict(type='RepeatDataset', times=10, dataset=plain)")
    )
    assert ', repeated to 3,000' in ' '.join(inspect(text=text)[1].split())
