"""The figure shows what was logged, of a run and of its continuations."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys

import cv2
import pytest
from mmengine.runner import Runner
from runner_configs import small_config

from mmdefect.analysis.logs import read_curves
from mmdefect.commands.main import main
from mmdefect.commands.plot import means, parse_args

EPOCHS = 2


@pytest.fixture(scope='module')
def trained(synthetic, tmp_path_factory):
    """A real run, and another after it in the same directory."""
    work_dir = tmp_path_factory.mktemp('runs') / 'trained'
    for _ in range(2):
        cfg = small_config(synthetic, work_dir, train_cfg__max_epochs=EPOCHS)
        with contextlib.redirect_stdout(io.StringIO()):
            Runner.from_cfg(cfg).train()
    return work_dir


@pytest.fixture
def logged(tmp_path):
    """Writes the logs of a run as MMEngine does."""

    def write(*logs, name='run'):
        for number, rows in enumerate(logs):
            folder = tmp_path / name / f'2026010{number}_000000' / 'vis_data'
            folder.mkdir(parents=True)
            lines = ''.join(json.dumps(row) + '\n' for row in rows)
            (folder / 'scalars.json').write_text(lines)
        return tmp_path / name

    return write


def train(step, loss):
    return dict(lr=0.1, loss=loss, step=step)


def validate(step, ap):
    return {'coco/bbox_mAP': ap, 'step': step}


def test_a_real_run_is_drawn_with_its_quota(trained, capsys, tmp_path):
    out = tmp_path / 'figure.png'
    assert main(['plot', str(trained), '--out', str(out), '--smooth', '2']) == 0
    said = capsys.readouterr().out
    assert said.startswith(f'{out}: training loss')
    assert 'constant, so not drawn: defect images delivered a batch, 3\n' in said
    assert cv2.imread(str(out)).std() > 0
    assert list(tmp_path.iterdir()) == [out]
    curves = read_curves(trained)
    cfg = small_config(trained, trained)  # which logs each iteration
    sampler = cfg.train_dataloader.batch_sampler
    steps = range(1, EPOCHS * sampler.num_batches + 1)
    assert curves['quota/delivered'] == [(step, sampler.quota) for step in steps]
    # What was trained last is what is in its log.
    last = max(trained.glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for line in last.read_text().splitlines()]
    assert curves['loss'] == [(row['step'], row['loss']) for row in rows]


def test_a_resumed_run_goes_on_where_it_was_resumed(logged):
    first = [train(10, 9.0), train(20, 8.0), validate(1, 0.2), train(30, 7.0)]
    first += [train(40, 6.0), validate(2, 0.4)]
    resumed = [train(30, 5.0), validate(2, 0.3)]  # from the first epoch's checkpoint
    curves = read_curves(logged(first, resumed))
    assert curves['loss'] == [(10, 9.0), (20, 8.0), (30, 5.0)]
    assert curves['coco/bbox_mAP'] == [(20, 0.2), (30, 0.3)]


def test_a_run_that_began_anew_is_drawn_without_the_validations_before_it(logged):
    run = logged([train(10, 9.0), validate(1, 0.2)], [train(10, 5.0)])
    assert main(['plot', str(run)]) == 0
    assert read_curves(run) == {'lr': [(10, 0.1)], 'loss': [(10, 5.0)]}


def test_validation_stands_at_the_iteration_that_it_was_made_after(logged):
    by_iteration = [train(10, 9.0), validate(12, 0.2), train(20, 8.0)]
    assert read_curves(logged(by_iteration))['coco/bbox_mAP'] == [(12, 0.2)]


def test_validation_of_an_epoch_stands_where_the_epoch_ended_and_not_at_the_last_log(
    logged,
):
    rows = [train(100, 9.0), validate(1, 0.2), train(225, 8.0), validate(2, 0.3)]
    run = logged(rows)
    (folder,) = run.iterdir()
    (folder / 'run.log').write_text(
        'INFO - Epoch(train)  [1][100/125]  lr: 1\n'
        'INFO - Epoch(val) [1][40/40]\nINFO - Epoch(train)  [2][100/125]  lr: 1\n'
    )
    assert read_curves(run)['coco/bbox_mAP'] == [(125, 0.2), (250, 0.3)]


def test_validation_of_an_iteration_loop_stands_at_its_interval(logged):
    # MMEngine calls them by epochs there too, of which none has ended.
    run = logged([train(100, 9.0), validate(0, 0.2), train(200, 8.0), validate(1, 0.3)])
    (folder,) = run.iterdir()
    settings = "train_cfg = dict(type='IterBasedTrainLoop', val_interval=125)"
    (folder / 'vis_data/config.py').write_text(settings)
    assert read_curves(run)['coco/bbox_mAP'] == [(125, 0.2), (250, 0.3)]


def test_a_run_that_logged_to_tensorboard_only_is_told_what_plot_needs(
    tmp_path, capsys
):
    (tmp_path / 'run/vis_data').mkdir(parents=True)
    (tmp_path / 'run/vis_data/events.out.tfevents.1').touch()
    assert main(['plot', str(tmp_path)]) == 2
    assert "add dict(type='LocalVisBackend')" in capsys.readouterr().err


def test_a_value_of_nothing_is_not_drawn_as_minus_one(logged):
    run = logged([train(10, 9.0), validate(1, -1)])
    assert 'coco/bbox_mAP' not in read_curves(run)


def test_a_log_that_was_cut_off_is_read_up_to_there(logged):
    run = logged([train(10, 9.0), train(20, 8.0)])
    (log,) = run.glob('*/vis_data/scalars.json')
    log.write_text(log.read_text()[:-10])
    assert read_curves(run)['loss'] == [(10, 9.0)]


def test_smoothing_looks_back_only():
    assert means([4, 2, 0, 6], 2) == [4, 3, 1, 3]
    assert means([4, 2, 0, 6], 1) == [4, 2, 0, 6]


def test_several_runs_are_told_apart_by_their_names(logged, capsys):
    runs = [
        str(logged([train(10, n), validate(1, 0.5)], name=f'run{n}')) for n in (1, 2)
    ]
    assert main(['plot', *runs, '--labels', 'stock', 'quota']) == 0
    assert f'{runs[0]}/training.png: training loss, AP' in capsys.readouterr().out
    assert main(['plot', *runs, '--labels', 'same', 'same']) == 2


def test_a_run_that_logged_no_ap_is_named_where_others_have_one(logged, monkeypatch):
    from matplotlib.figure import Figure

    labels = []

    def keep(self, path, **options):
        labels.extend(axis.get_xlabel() for axis in self.axes)
        path.touch()

    monkeypatch.setattr(Figure, 'savefig', keep)
    logs = dict(stock=[train(10, 9.0)], quota=[train(10, 9.0), validate(1, 0.5)])
    assert main(['plot', *(str(logged(rows, name=n)) for n, rows in logs.items())]) == 0
    assert labels == ['iteration', 'iteration; not logged: stock']  # of loss, of AP


@pytest.fixture
def drawn(monkeypatch):
    """The axes of the figures that are written, by the name on their left."""
    from matplotlib.figure import Figure

    panels = {}

    def keep(self, path, **options):
        panels.update({axis.get_ylabel(): axis for axis in self.axes})
        path.touch()

    monkeypatch.setattr(Figure, 'savefig', keep)
    return panels


def test_escape_at_5_percent_overkill_is_drawn_with_its_interval(logged, drawn):
    key = 'defect/escape_at_5'
    rows = [train(10, 9.0), train(20, 8.0)]
    for number, value in ((1, 0.7), (2, 0.6)):
        interval = {f'{key}_low': value - 0.1, f'{key}_high': value + 0.1}
        figures = {key: value, **interval, 'defect/escape': 1.0}
        rows.insert(2 * number - 1, {**figures, 'step': number})
    assert main(['plot', str(logged(rows))]) == 0
    (line,) = drawn[key].lines
    assert list(line.get_ydata()) == [0.7, 0.6]
    (band,) = drawn[key].collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((0.5, 0.8))


def test_a_figure_that_changes_in_one_run_only_is_drawn_of_all(logged, drawn, capsys):
    runs = []
    for name, delivered in (('a', (3, 3)), ('b', (3, 2))):
        rows = [
            {**train(10 * n, 9.0 - n), 'quota/delivered': value}
            for n, value in enumerate(delivered, 1)
        ]
        runs.append(str(logged(rows, name=name)))
    assert main(['plot', *runs]) == 0
    assert len(drawn['quota/delivered'].lines) == 2
    assert main(['plot', runs[0]]) == 0
    assert (
        'constant, so not drawn: defect images delivered a batch, 3'
        in capsys.readouterr().out
    )


def test_runs_of_the_same_name_are_called_by_what_differs(logged):
    runs = [str(logged([train(10, 9.0)], name=f'{n}/seed_0')) for n in ('a', 'b')]
    assert parse_args(runs).labels == ['a/seed_0', 'b/seed_0']


@pytest.mark.parametrize(
    ('arguments', 'reason'),
    [
        (['nowhere'], 'nowhere is no directory'),
        (['.'], 'no log in .: MMEngine writes */vis_data/scalars.json there'),
        (['run', '--out', 'no/where.png'], '--out no/where.png: there is no no'),
        (['run', '--out', 'a.jpg'], '--out a.jpg: expected a name that ends in .png'),
        (['run', '--smooth', '0'], '--smooth 0: expected 1 or more'),
        (['run', '--labels', 'a', 'b'], '--labels has 2 names for 1 runs'),
        (['untrained'], 'no training in untrained'),
        (['garbage'], 'scalars.json, line 1: no row of a log'),
    ],
)
def test_wrong_use_is_told_in_one_line(
    logged, tmp_path, monkeypatch, capsys, arguments, reason
):
    logged([train(10, 9.0)])
    logged([validate(1, 0.5)], name='untrained')
    logged([['garbage'], train(10, 9.0)], name='garbage')
    monkeypatch.chdir(tmp_path)
    try:
        status = main(['plot', *arguments])
    except SystemExit as error:
        status = error.code
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


def test_the_script_helps_with_an_example():
    said = subprocess.run(
        [sys.executable, '-m', 'mmdefect', 'plot', '--help'],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0
    assert 'mmdefect plot work_dirs/defect_yolox' in said.stdout
    assert max(map(len, said.stdout.splitlines())) <= 80
