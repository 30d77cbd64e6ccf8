"""Comparing samplers: nothing else differs, and what is told is what was trained."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from math import comb
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATA_SAMPLERS, DATASETS, init_default_scope
from runner_configs import ROOT, add_mosaic, small_config

from mmdefect.analysis.errors import UnusableError
from mmdefect.commands.compare import parse_args, show_figures, show_summary
from mmdefect.commands.main import main
from mmdefect.comparison import PLAIN, quota_of
from mmdefect.comparison.configs import (
    QUOTA_HOOKS,
    kind,
    look_at,
    shared_config,
)
from mmdefect.comparison.prepare import prepare, quiet
from mmdefect.comparison.results import (
    by_metric,
    check_fairness,
    metrics_to_show,
)
from mmdefect.comparison.runs import runs_at_once
from mmdefect.comparison.samplers import EndlessSampler

ALL = [
    'stock',
    'class_balanced',
    'class_aware',
    'weighted',
    'quota',
    'quota=2',
    'quota=1,pasted=2',
    'quota_unpreserved',
    'quota_schedule',
]


@pytest.fixture(scope='module')
def config(synthetic, tmp_path_factory):
    """A config file with Mosaic that validates on few images."""
    folder = tmp_path_factory.mktemp('config')
    cfg = small_config(synthetic, folder)
    add_mosaic(cfg)
    ready = Config.fromfile(str(ROOT / 'configs/defect_yolox.py'))
    for name in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[name] = ready[name]
    cfg.val_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.val_dataloader.dataset.data_root = f'{synthetic}/'
    cfg.val_dataloader.dataset.indices = 12
    cfg.val_evaluator = dict(type='DefectImageMetric', num_bootstrap=0)
    cfg.train_dataloader.batch_size = 4
    del cfg.train_dataloader.batch_sampler['num_batches']
    cfg.dump(str(folder / 'config.py'))
    return folder / 'config.py'


@pytest.fixture(scope='module')
def prepared(config):
    """What is known before the training, for every sampler."""
    args = parse_args(
        [str(config), '--iters', '40', '--batches', '200', '--samplers', *ALL]
    )
    with quiet():
        return prepare(args)


def read(path):
    return json.loads(Path(path).read_text())


def test_two_samplers_are_trained_told_and_never_trained_again(
    config, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '-1')
    work = tmp_path / 'out'
    command = [str(config), '--samplers', 'stock', 'quota', '--iters', '4']
    command += ['--val-interval', '2', '--seeds', '1', '--batches', '20']
    command += ['--work-dir', str(work)]
    assert main(['compare', *command]) == 0, (
        work / 'stock/seed_0/log.txt'
    ).read_text()[-2000:]
    told = read(work / 'results.json')
    runs = {run['sampler']: run for run in told['runs']}
    assert set(runs) == {'stock', 'quota'}
    for run in runs.values():
        assert [line['iter'] for line in run['curve']] == [2, 4]
        assert run['images'] == 4 * 4
    assert runs['stock']['weights'] == runs['quota']['weights']
    assert told['differences_between_runs'] == []
    assert runs['quota']['with_boxes'] == 3 * 4
    for name, run in runs.items():
        last = run['curve'][-1]['metrics']['defect/auroc']
        assert told['summary']['defect/auroc'][name]['last']['mean'] == last
        assert len(list((work / name / 'seed_0').glob('*.pth'))) == 1
    assert (work / 'curves.png').read_bytes().startswith(b'\x89PNG')
    assert 'defect/auroc (higher is better)' in capsys.readouterr().out

    # As if interrupted between the last checkpoint and its validation.
    folder = work / 'quota/seed_0'
    (log,) = folder.glob('*/vis_data/scalars.json')
    log.write_text(log.read_text().rpartition('{')[0])
    (folder / 'result.json').unlink()
    stock = work / 'stock/seed_0'
    before = {path: path.stat().st_mtime_ns for path in stock.rglob('*.json*')}
    log = (stock / 'log.txt').read_bytes()
    assert main(['compare', *command]) == 0
    assert {path: path.stat().st_mtime_ns for path in stock.rglob('*.json*')} == before
    assert (stock / 'log.txt').read_bytes() == log
    assert len(list(folder.glob('*/vis_data/scalars.json'))) == 2
    assert read(work / 'results.json')['runs'] == told['runs']

    # A learning curve takes what is there, and trains what is not.
    command[command.index('--samplers') : command.index('--iters')] = ['--defects']
    command[command.index('--defects') + 1 : 0] = ['0.5', '1']
    assert main(['compare', *command]) == 0
    assert (stock / 'log.txt').read_bytes() == log
    said = ' '.join(capsys.readouterr().out.split())
    found = re.search(r'with (\d+) defect images, \S+ with (\d+) defect', said)
    half, whole = map(int, found.groups())
    assert half == round(whole / 2)
    assert (work / 'learning.png').read_bytes().startswith(b'\x89PNG')
    runs = read(work / 'results.json')['runs']
    assert [run['sampler'] for run in runs] == ['quota@0.5', 'quota']
    assert runs[1] == next(r for r in told['runs'] if r['sampler'] == 'quota')

    # Runs of other settings are not mixed with these.
    assert (
        main(['compare', *command, '--cfg-options', 'optim_wrapper.optimizer.lr=0.5'])
        == 2
    )
    assert 'trained with other settings' in capsys.readouterr().err


def test_an_interruption_ends_the_runs_and_leaves_no_result(config, tmp_path):
    command = [str(config), '--samplers', 'stock', '--iters', '5000', '--seeds', '1']
    command += ['--batches', '2', '--work-dir', str(tmp_path / 'out')]
    process = subprocess.Popen(
        [sys.executable, '-m', 'mmdefect', 'compare', *command],
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '-1'},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    folder = tmp_path / 'out/stock/seed_0'
    try:
        end = time.monotonic() + 120
        while not list(folder.glob('*/vis_data/scalars.json')):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    except BaseException:  # a training left behind would slow all other tests down
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 130
    assert said.splitlines()[-1] == 'interrupted: the same command goes on'
    assert not (folder / 'result.json').exists()
    with pytest.raises(ProcessLookupError):  # nobody is left of its session
        os.killpg(process.pid, 0)


def test_configs_differ_in_nothing_but_how_images_are_drawn(prepared):
    configs, _, _ = prepared
    rest = {}
    for name, cfg in configs.items():
        content = cfg.to_dict()
        loader, hooks = content['train_dataloader'], content['custom_hooks']
        for key in ('sampler', 'batch_sampler', 'dataset'):
            del loader[key]
        content['custom_hooks'] = [
            hook for hook in hooks if kind(hook) not in QUOTA_HOOKS
        ]
        rest[name] = content
    for name in ALL:
        assert rest[name] == rest['stock']
    kept = [kind(hook) for hook in rest['stock']['custom_hooks']]
    assert {'EMAHook', 'RecordRunHook'} <= set(kept)


def test_the_dataset_is_the_same_but_for_its_wrapper(prepared):
    configs, facts, _ = prepared
    datasets = {
        name: cfg.train_dataloader.dataset.to_dict() for name, cfg in configs.items()
    }
    ours = datasets['quota']
    assert ours['type'] == 'DefectPreservingDataset'
    for name in ('quota=2', 'quota_schedule'):
        assert datasets[name] == ours
    for name in ('stock', 'class_aware', 'weighted', 'quota_unpreserved'):
        assert datasets[name] == ours['dataset']
    balanced = datasets['class_balanced']
    inner = balanced.pop('dataset')
    assert inner['oversample_thr'] == facts['oversample_thr']
    assert dict(balanced, dataset=inner['dataset']) == ours['dataset']


def test_only_what_the_quota_needs_is_hooked_in(prepared):
    configs, _, _ = prepared
    for name, cfg in configs.items():
        kinds = {kind(hook) for hook in cfg.custom_hooks}
        expected = set() if name in PLAIN else {*QUOTA_HOOKS}
        if name != 'quota_schedule':
            expected.discard('QuotaScheduleHook')
        assert kinds & set(QUOTA_HOOKS) == expected


def test_figures_of_the_quota_are_exact(prepared):
    _, facts, figures = prepared
    for name, quota in (('quota', 3), ('quota_unpreserved', 3), ('quota=2', 2)):
        assert figures[name]['mean'] == quota
        assert figures[name]['variance'] == figures[name]['without_defect'] == 0
    # A normal image is seen with a defect pasted in too, and is none of the pool.
    assert figures['quota=1,pasted=2']['mean'] == 3
    assert figures['quota=1,pasted=2']['variance'] == 0
    assert figures['quota=1,pasted=2']['normals_seen'] == 1
    assert figures['quota=1,pasted=2']['most_draws'] < figures['quota']['fewest_draws']
    # One pass over the normal images shows each of them once, and nothing else.
    normal = facts['images'] - facts['defect_images']
    assert facts['one_pass'] == normal // (4 - 3)
    assert figures['quota']['normals_seen'] == 1
    assert facts['share'] == 3 / 4


@pytest.mark.parametrize(
    ('name', 'quota'),
    [
        ('quota=2', 2),
        ('quota=2,pasted=1', dict(defect=2, pasted=1)),
        (
            'quota=3,pasted=2,counterexample=1',
            dict(defect=3, pasted=2, counterexample=1),
        ),
        ('quota', None),
        ('quota=2,pasted', None),
        ('quota=2,', None),
        ('quota=2,defect=1', None),
        ('quota=2,pasted=1,pasted=2', None),
    ],
)
def test_a_quota_is_what_its_name_says(name, quota):
    assert quota_of(name) == quota


def test_a_weighted_sampler_has_the_share_of_pasted_defects_too(config):
    quota = dict(_delete_=True, defect=1, pasted=1)
    options = {'train_dataloader.batch_sampler.quota': quota}
    init_default_scope('mmdet')
    facts = look_at(shared_config(str(config), options, 8, 8))
    assert facts['share'] == 1 / 2


def test_a_quota_over_several_batches_is_compared_over_them(config, capsys):
    asked = ['--iters', '8', '--batches', '400', '--samplers', 'stock', 'quota']
    small = ['train_dataloader.batch_size=2', 'train_dataloader.batch_sampler.over=8']
    args = parse_args([str(config), *asked, '--cfg-options', *small])
    with quiet():
        _, facts, figures = prepare(args)
    quota, stock = figures['quota'], figures['stock']
    assert (quota['mean'], quota['variance'], quota['without_defect']) == (3, 0, 0)
    assert quota['normals_seen'] > 0.98
    assert facts['share'] == 3 / 8
    assert 0 < stock['mean'] < 1
    assert stock['without_defect'] < 0.9
    show_figures(figures, facts, args)
    assert 'per 4 batches' in capsys.readouterr().out


def test_figures_of_stock_sampling_are_those_of_drawing_without_replacement(prepared):
    _, facts, figures = prepared
    images, defects = facts['images'], facts['defect_images']
    expected = comb(images - defects, 4) / comb(images, 4)
    spread = (expected * (1 - expected) / 200) ** 0.5
    assert abs(figures['stock']['without_defect'] - expected) < 4 * spread
    # 200 batches of 4 are 2 2/3 epochs of 300 images.
    assert figures['stock']['fewest_draws'] >= 800 // images
    assert figures['stock']['most_draws'] <= -(-800 // images)


def test_figures_tell_what_the_peers_do(prepared):
    _, facts, figures = prepared
    # By class: no image without one, so no normal image.
    assert figures['class_aware']['mean'] == 4
    assert figures['class_aware']['normals_seen'] == 0
    # The same share as the quota's, but only on average.
    share = facts['share']
    assert (
        abs(figures['weighted']['mean'] - 4 * share)
        < 4 * (4 * share * (1 - share) / 200) ** 0.5
    )
    assert figures['weighted']['variance'] > 0
    assert figures['weighted']['normals_seen'] < 0.8
    assert figures['class_balanced']['mean'] > figures['stock']['mean']


def test_class_balanced_makes_the_share_that_is_told(prepared):
    configs, facts, _ = prepared
    init_default_scope('mmdet')
    dataset = DATASETS.build(configs['class_balanced'].train_dataloader.dataset)
    shown = [bool(dataset.dataset.get_cat_ids(i)) for i in range(len(dataset))]
    assert np.mean(shown) == pytest.approx(facts['oversample_share'])
    # 3 % of the images reach no quota of 3/4 with a frequency, which is at most 1.
    assert facts['oversample_thr'] == 1
    assert facts['oversample_share'] < facts['share']


def test_plain_samplers_go_through_all_images_before_one_comes_again():
    images = list(range(10))
    sampler = dict(type='DefaultSampler', shuffle=True)
    endless = iter(EndlessSampler(images, sampler, seed=3))
    epochs = [[next(endless) for _ in images] for _ in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [images] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_weighted_draws_repeat_with_the_seed_and_change_with_the_epoch(few_defects):
    def draws(seed):
        weighted = dict(type='WeightedShareSampler', share=0.5, pools={})
        config = dict(type='EndlessSampler', sampler=weighted)
        sampler = DATA_SAMPLERS.build(dict(config, dataset=few_defects, seed=seed))
        indices = iter(sampler)
        return [[next(indices) for _ in range(52)] for _ in range(2)]

    assert draws(1) == draws(1) != draws(2)
    assert draws(1)[0] != draws(1)[1]


@pytest.mark.parametrize('outer', ['RepeatDataset', 'MultiImageMixDataset'])
def test_samplers_are_compared_over_repeated_images_too(config, tmp_path, outer):
    cfg = Config.fromfile(str(config))
    dataset = cfg.train_dataloader.dataset.dataset  # Mosaic, in our wrapper
    inner = dict(type='RepeatDataset', times=2, dataset=dataset.dataset)
    if outer == 'RepeatDataset':
        inner = dict(type='RepeatDataset', times=2, dataset=dataset)
    else:
        inner = dict(dataset, dataset=inner)
    cfg.train_dataloader.dataset = inner
    cfg.dump(str(tmp_path / 'repeated.py'))
    asked = ['--iters', '8', '--batches', '40', '--samplers', *PLAIN, 'quota']
    with quiet():
        _, facts, figures = prepare(parse_args([str(tmp_path / 'repeated.py'), *asked]))
    assert facts['images'] == 600
    assert figures['quota']['mean'] == 3
    assert figures['class_balanced']['mean'] > figures['stock']['mean']


def test_a_detector_that_is_never_sure_is_ranked_and_not_said_to_guess(config):
    options = {'model.test_cfg.score_thr': 0.9}
    cfg = shared_config(str(config), options, 8, 8)
    assert cfg.model.test_cfg.score_thr == 0


def test_a_run_of_a_config_that_logs_elsewhere_has_a_result(config):
    options = {'visualizer': dict(type='Visualizer', vis_backends=[])}
    backends = shared_config(str(config), options, 8, 8).visualizer.vis_backends
    assert 'LocalVisBackend' in [one['type'] for one in backends]


def test_a_schedule_is_scaled_to_the_iterations(prepared):
    configs, _, _ = prepared
    hook = configs['quota_schedule'].custom_hooks[-1]
    assert hook['milestones'] == [(0, 3), (20, 1), (32, None)]
    assert configs['quota_schedule'].train_dataloader.batch_sampler.quota == 3


def test_the_learning_rate_falls_over_the_iterations_unless_the_config_says_how(
    config, tmp_path
):
    cfg = Config.fromfile(str(config))
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=40, val_interval=9)
    cfg.param_scheduler = [dict(type='ConstantLR', by_epoch=False)]
    cfg.dump(str(tmp_path / 'config.py'))
    path = str(tmp_path / 'config.py')
    assert shared_config(path, None, 40, 6).param_scheduler == cfg.param_scheduler
    warm_up, cosine = shared_config(path, None, 60, 10).param_scheduler
    assert warm_up['end'] == cosine['begin'] == 3
    assert cosine['end'] == 60 == cosine['begin'] + cosine['T_max']


@pytest.mark.parametrize(('gpu', 'number', 'jobs'), [(0, 9, 4), (0, 3, 3), (1, 9, 1)])
def test_runs_without_a_gpu_take_a_core_each(monkeypatch, gpu, number, jobs):
    monkeypatch.setattr('torch.cuda.is_available', lambda: bool(gpu))
    monkeypatch.setattr('torch.get_num_threads', lambda: 4)
    assert runs_at_once(number) == jobs


def entry(sampler, seed, curve, **facts):
    lines = [dict(iter=n, metrics=metrics) for n, metrics in curve]
    one = dict(sampler=sampler, seed=seed, weights=1, images=8, curve=lines)
    return {**one, **facts}


def test_the_summary_is_mean_and_spread_of_last_and_best():
    def curve(*pairs):
        return [
            (n, {'defect/auroc': a, 'defect/escape': 1 - a})
            for n, a in enumerate(pairs)
        ]

    entries = [
        entry('stock', 0, curve(0.5, 0.7, 0.6)),
        entry('stock', 1, curve(0.5, 0.8, 0.8)),
    ]
    summary = by_metric(entries)
    one = summary['defect/auroc']['stock']
    assert one['last']['mean'] == pytest.approx(0.7)
    assert one['last']['std'] == pytest.approx(0.2 / 2**0.5)
    assert one['best']['mean'] == pytest.approx(0.75)
    assert one['best_at'] == 1
    # Of what is better when lower, the best is the least.
    assert summary['defect/escape']['stock']['best']['mean'] == pytest.approx(0.25)


def test_no_figure_is_cut_off_on_a_terminal_of_80_columns(capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    curve = [(90000, {'defect/escape_at_5': 0.5})]
    other = [(90000, {'defect/escape_at_5': 0.123})]
    names = ('stock', 'quota_unpreserved')
    long = 'quota=4,pasted=4,counterexample=2'
    entries = [
        entry(n, s, c) for n in (*names, long) for s, c in enumerate((curve, other))
    ]
    show_summary(by_metric(entries), ['defect/escape_at_5'])
    shown = capsys.readouterr().out
    assert '…' not in shown
    column = [line.split()[0] for line in shown.splitlines() if line.strip()]
    assert long in ''.join(column)
    for name in names:
        line = next(line for line in shown.splitlines() if line.split()[:1] == [name])
        assert line.split()[-1] == '90000'


def test_a_detector_without_any_box_scores_zero_and_is_not_left_out():
    found = entry('quota', 0, [(2, {'coco/bbox_mAP_50': 0.4})])
    nothing = entry('quota', 1, [(2, {})])
    one = by_metric([found, nothing])['coco/bbox_mAP_50']['quota']
    assert one['last'] == dict(mean=0.2, std=pytest.approx(0.4 / 2**0.5), runs=2)


def test_the_metrics_asked_for_are_shown_and_unknown_ones_are_named():
    summary = {'defect/auroc': {}, 'defect/overkill': {}, 'loss': {}}
    assert metrics_to_show(summary, None) == ['defect/auroc']
    assert metrics_to_show(summary, ['loss']) == ['loss']
    with pytest.raises(UnusableError, match=r'--metrics los: .*defect/overkill'):
        metrics_to_show(summary, ['los'])


def test_runs_that_began_or_trained_otherwise_are_named():
    same = [entry('stock', 0, []), entry('quota', 0, [])]
    assert check_fairness(same) == []
    other = [same[0], entry('quota', 0, [], weights=2)]
    assert 'seed 0: initial weights differ' in check_fairness(other)[0]
    other = [same[0], entry('quota', 0, [], images=9)]
    assert 'seed 0: images trained differ' in check_fairness(other)[0]


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['no.py'], 'no.py does not exist'),
        (['CONFIG', '--samplers', 'best'], '--samplers best: expected some of stock'),
        (['CONFIG', '--seeds', '0'], '--seeds 0: expected 1 or more'),
        (['CONFIG', '--iters', '0'], '--iters 0: expected 1 or more'),
        (['CONFIG', '--jobs', '0'], '--jobs 0: expected 1 or more'),
        (['CONFIG', '--schedule', '[(1, 3)]'], '--schedule [(1, 3)]: expected pairs'),
        (['CONFIG', '--defects', '0', '1'], '--defects 0.0: expected shares above 0'),
        (['CONFIG', '--schedule', '3'], '--schedule 3: expected pairs'),
        (['CONFIG', '--samplers', 'quota=9'], '9'),
        (['STOCK'], 'has no quota'),
    ],
)
def test_wrong_use_is_one_line_and_exit_status_2(
    config, tmp_path, capsys, arguments, said
):
    stock = Config.fromfile(str(config))
    stock.train_dataloader.batch_sampler = None
    stock.dump(str(tmp_path / 'stock.py'))
    named = {'CONFIG': str(config), 'STOCK': str(tmp_path / 'stock.py')}
    arguments = [named.get(word, word) for word in arguments]
    try:
        status = main(['compare', *arguments, '--work-dir', str(tmp_path / 'out')])
    except SystemExit as error:
        status = error.code
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert line.startswith('mmdefect compare: error: ')
    assert not (tmp_path / 'out').exists()
