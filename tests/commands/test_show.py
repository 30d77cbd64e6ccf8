"""What quickstart shows last: pictures, and the measured difference in one sentence."""

from __future__ import annotations

import copy
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from runner_configs import ROOT, small_config

from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.logs import Log, Validation
from mmdefect.analysis.run import Run, find_run
from mmdefect.commands.drawing import add_box, settle_names
from mmdefect.commands.main import main
from mmdefect.commands.show import caption
from mmdefect.metrics.image_score import Found
from mmdefect.review.finished import (
    Finished,
    check_same_images,
    difference,
    figures_of,
    first_validation,
    titles_of,
)
from mmdefect.review.photographs import Photograph, Photographs, read_split


def validated(synthetic, work_dir, **options):
    """A config of one short epoch that ends with a validation."""
    ready = Config.fromfile(str(ROOT / 'configs/defect_yolox.py'))
    data = copy.deepcopy(ready.val_dataloader.to_dict())
    data['dataset']['data_root'] = f'{synthetic}/'
    data.update(num_workers=0, persistent_workers=False)
    cfg = small_config(
        synthetic, work_dir, train_dataloader__batch_sampler__num_batches=2, **options
    )
    cfg.val_dataloader, cfg.val_cfg = data, dict(type='ValLoop')
    # So little trained, it is never as sure as 0.01.
    cfg.model.test_cfg.score_thr = 0.0
    cfg.val_evaluator = dict(
        type='CocoMetric',
        ann_file=f'{synthetic}/annotations/val.json',
        metric_items=['mAP_50', 'AR@100'],
    )
    cfg.test_dataloader, cfg.test_cfg = data, dict(type='TestLoop')
    cfg.test_evaluator = cfg.val_evaluator
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', save_best='coco/bbox_mAP_50'
    )
    return cfg


@pytest.fixture(scope='module')
def trained(synthetic, tmp_path_factory):
    """Where two runs wrote: with a quota, and without."""
    work_dirs = []
    for quota in (3, None):
        work_dir = tmp_path_factory.mktemp('run')
        cfg = validated(
            synthetic, work_dir, train_dataloader__batch_sampler__quota=quota
        )
        Runner.from_cfg(cfg).train()
        work_dirs.append(work_dir)
    return work_dirs


def test_one_run_ends_with_its_figures_and_a_picture(trained, capsys):
    assert main(['show', str(trained[0]), '--num', '6']) == 0
    said = capsys.readouterr().out
    assert re.search(r'^AP50: \d\.\d{3}$', said, re.M)
    assert cv2.imread(str(trained[0] / 'detections.png')) is not None


def test_two_runs_end_with_one_picture_and_one_sentence(trained, capsys):
    quota, stock = map(str, trained)
    assert main(['show', quota, '--against', stock, '--num', '6']) == 0
    *_, where, said = capsys.readouterr().out.strip().splitlines()
    assert cv2.imread(where.split(': ')[1]).shape[1] > 1000
    pattern = (
        r'Stock sampling found \d+ % of the defect images.*; a quota of 3 found \d+ % '
        r'of the defect images.*; after the same 2 iterations\.'
    )
    assert re.fullmatch(pattern, said)
    assert not list(trained[0].glob('.*part*'))


def test_a_run_that_found_nothing_at_all_is_shown_as_it_is(
    synthetic, tmp_path, trained, capsys
):
    cfg = validated(synthetic, tmp_path)
    cfg.model.test_cfg.score_thr = 1.1
    Runner.from_cfg(cfg).train()
    assert not list(tmp_path.glob('best*'))
    assert main(['show', str(tmp_path), '--num', '2']) == 0
    assert 'AP50: 0.000' in capsys.readouterr().out


NOTHING = Run(Path(), Path(), Log({}, []))


def seen(recall, overkill, ap50, iterations):
    """A run with 50 defect images and 100 normal ones."""
    images, found = [], []
    for number, (count, share) in enumerate(((50, recall), (100, overkill))):
        for n in range(count):
            boxes = np.zeros((1 - number, 4))
            labels = np.zeros(1 - number, int)
            images.append(Photograph(f'{number}_{n}', boxes, labels, boxes[:0], {}))
            scores = np.array([0.5 if n < round(share * count) else 0.1], np.float32)
            found.append(Found(np.zeros((1, 4)), np.zeros(1, int), scores))
    validation = Validation(iterations, 1, {'coco/bbox_mAP_50': ap50})
    run = NOTHING._replace(log=Log({}, [validation]))
    return Finished(run, None, Photographs(images, ('a',), [0], []), found)


def test_the_sentence_tells_the_figures_as_they_are_in_either_direction():
    titles = ['stock sampling', 'a quota of 3']
    runs = [seen(0.62, 0.01, 0.92, 1164), seen(0.42, 0.05, 0.35, 1164)]
    assert difference(titles, runs, 0.3) == (
        'Stock sampling found 62 % of the defect images, with false alarms on 1 % of '
        'the normal ones (AP50 0.92); a quota of 3 found 42 % of the defect images, '
        'with false alarms on 5 % of the normal ones (AP50 0.35); after the same 1,164 '
        'iterations.'
    )
    said = difference(titles, [seen(0.62, 0.01, 0.92, 750), runs[1]], 0.3)
    assert said.endswith('after 750 and 1,164 iterations.')


@pytest.fixture
def left(tmp_path):
    """Writes what a run leaves behind, with the given validations."""

    def write(*validations, best=None):
        (tmp_path / 'config.py').write_text('')
        (tmp_path / 'run/vis_data').mkdir(parents=True)
        rows = [dict(loss=1, lr=1, step=10), *validations]
        text = ''.join(json.dumps(row) + '\n' for row in rows)
        (tmp_path / 'run/vis_data/scalars.json').write_text(text)
        torch.save(dict(meta=dict(iter=20)), tmp_path / 'epoch_2.pth')
        if best is not None:
            (tmp_path / f'best_epoch_{best}.pth').touch()
        return tmp_path

    return write


def test_the_figures_are_those_of_the_checkpoint_that_is_shown(left):
    # Chosen by another metric than AP.
    rows = [{'coco/bbox_mAP_50': ap, 'step': n} for n, ap in ((1, 0.2), (2, 0.5))]
    run = find_run(left(*rows, best=1))
    assert run.checkpoint.name == 'best_epoch_1.pth'
    assert figures_of(run) == {'AP50': 0.2}


def test_runs_on_other_validation_images_are_not_compared(synthetic, tmp_path):
    cfg = validated(synthetic, tmp_path)
    other = copy.deepcopy(cfg)
    runs = [NOTHING._replace(config=Path(name, 'config.py')) for name in 'ab']
    check_same_images([read_split(one, 'val') for one in (cfg, other)], runs)
    other.val_dataloader.dataset.indices = 30
    with pytest.raises(UnusableError) as caught:
        check_same_images([read_split(one, 'val') for one in (cfg, other)], runs)
    for words in ('a/config.py', 'b/config.py', '(40 images)', '(30 images)'):
        assert words in str(caught.value)


def test_runs_of_the_same_sampling_are_told_apart_by_their_directories():
    def titles(*quotas):
        loaders = [
            dict(train_dataloader=dict(batch_sampler=dict(quota=quota)))
            for quota in quotas
        ]
        runs = [NOTHING._replace(config=Path(name, 'config.py')) for name in 'ab']
        return titles_of(list(map(ConfigDict, loaders)), runs)

    assert titles(3, None) == ['a quota of 3', 'stock sampling']
    assert titles(3, 3) == ['a quota of 3 (a)', 'a quota of 3 (b)']


def test_a_run_that_ended_before_its_first_validation_is_told_when_it_comes(left):
    assert figures_of(find_run(left())) == {}
    for train_cfg, when in (
        (dict(by_epoch=True, max_epochs=9, val_interval=3), 'after epoch 3'),
        (dict(by_epoch=True, max_epochs=9, val_interval=3, val_begin=4), 'epoch 6'),
        (dict(type='IterBasedTrainLoop', max_iters=9, val_interval=5), 'iteration 5'),
    ):
        assert first_validation(ConfigDict(train_cfg=train_cfg)).endswith(when)


def test_a_run_on_voc_is_told_with_its_own_figures(left):
    row = {'pascal_voc/AP50': 0.4, 'pascal_voc/mAP': 0.3, 'step': 2}
    assert figures_of(find_run(left(row))) == {'AP50': 0.4}


@pytest.mark.parametrize('name', ['epoch_2.pth', 'config.py'])
def test_a_file_that_was_cut_off_is_told_in_one_line(left, capsys, name):
    work_dir = left({'coco/bbox_mAP_50': 0.2, 'step': 2})
    (work_dir / name).write_text('model = dict(')
    assert main(['show', str(work_dir)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count('\n')) == ('', 1)
    assert err.startswith('mmdefect show: ')
    assert not list(work_dir.glob('*.png'))


@pytest.fixture
def named():
    """Draws boxes on an image of 100 x 100 pixels: their names, and their frames."""
    from matplotlib import pyplot

    figure = pyplot.figure(figsize=(2, 2), layout='constrained')
    axis = figure.add_subplot()
    axis.imshow(np.zeros((100, 100, 3)))
    axis.autoscale(False)

    def draw(*boxes):
        for box in boxes:
            add_box(axis, box, 'red', 'solid', 'scratch 0.87')
        settle_names(figure)
        figure.draw_without_rendering()
        return axis, axis.texts, [patch.get_window_extent() for patch in axis.patches]

    yield draw
    pyplot.close(figure)


def places(names):
    return [Text.get_window_extent(name) for name in names]


def test_names_of_boxes_stay_on_their_image_and_off_each_other(named):
    boxes = [90, 0, 99, 9], [88, 1, 99, 8], [91, 2, 99, 7], [0, 50, 9, 60]
    axis, names, _ = named(*boxes)
    for one, other in itertools.combinations(places(names), 2):
        assert not one.fully_overlaps(other)
    image = axis.get_window_extent()
    inside = [image.contains(*p.min) and image.contains(*p.max) for p in places(names)]
    assert all(inside)
    x, y = names[3].get_position()
    assert (x, y) == pytest.approx((2, 50), abs=3)  # one in nobody's way stays
    assert not names[3].arrow_patch.get_visible()


def test_a_name_hides_no_small_box_and_a_line_leads_to_one_far_away(named):
    # At the upper edge there is no room above; one below the other, none between.
    boxes = [40, 0, 44, 3], [10, 50, 14, 53], [12, 56, 16, 59], [11, 62, 15, 65]
    _, names, frames = named(*boxes)
    for name, frame in itertools.product(places(names), frames):
        assert not name.fully_overlaps(frame)
    led = [name.arrow_patch.get_visible() for name in names]
    gaps = [
        max(frame.y0 - place.y1, place.y0 - frame.y1, place.x0 - frame.x1)
        for place, frame in zip(places(names), frames)
    ]
    near = [gap < place.height for gap, place in zip(gaps, places(names))]
    assert all(line or close for line, close in zip(led, near))


@pytest.mark.parametrize(
    ('is_defect', 'surest', 'said'),
    [
        (True, 0.8, 'found 0.80'),
        (True, 0.2, 'missed'),
        (False, 0.2, 'normal, and passed'),
        (False, 0.9, 'false alarm 0.90'),
    ],
)
def test_the_title_of_an_image_says_what_the_detector_made_of_it(
    is_defect, surest, said
):
    assert caption(is_defect, surest, 0.3)[0] == said


def test_a_directory_without_a_run_is_refused_in_one_line(tmp_path):
    command = [
        sys.executable,
        '-m',
        'mmdefect',
        'show',
        str(tmp_path),
        '--against',
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert 'no config in' in done.stderr
    assert done.stderr.count('\n') == 1


@pytest.mark.parametrize('options', [['--against'], ['--compare', 'x']])
def test_quickstart_refuses_what_it_does_not_know(options):
    command = ['bash', str(ROOT / 'tools/quickstart.sh'), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert 'usage: bash tools/quickstart.sh [--compare]' in done.stderr


LOG = """\
11/26 03:47:40 - mmengine - INFO - 970 normal + 30 defect images (3.0 %); each batch
Name of parameter - Initialization information
11/26 03:47:47 - mmengine - WARNING - "FileClient" will be deprecated in future.
11/26 03:47:47 - mmengine - WARNING - each defect image will be drawn about
900 times
11/26 03:47:48 - mmengine - INFO - 970 normal + 30 defect images (3.0 %); each batch
11/26 03:47:49 - mmengine - INFO - Epoch(train) [1][ 50/194]  loss: 2.1
11/26 03:47:50 - mmengine - INFO - Saving checkpoint at 1 epochs
11/26 03:47:51 - mmengine - INFO - Epoch(val) [1][100/200]    eta: 0:00:07
11/26 03:47:52 - mmengine - INFO - at 5 % overkill, threshold 0.41: 71 % missed
11/26 03:47:53 - mmengine - INFO - Epoch(val) [1][200/200]    coco/bbox_mAP: 0.1
"""


def test_quickstart_shows_the_warnings_of_a_training_and_what_it_draws_once(tmp_path):
    (tmp_path / 'tools').mkdir()
    for name in ('tools/setup_env.sh', '.venv/bin/python', '.venv/bin/mmdefect'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('#!/bin/sh\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / 'log').write_text(LOG)
    mim = tmp_path / '.venv/bin/mim'
    mim.write_text('#!/bin/sh\ncat log\n')
    mim.chmod(0o755)
    script = tmp_path / 'tools/quickstart.sh'
    script.write_text((ROOT / 'tools/quickstart.sh').read_text())

    def run():
        return subprocess.run(['bash', str(script)], capture_output=True, text=True)

    done = run()
    assert done.returncode == 0, done.stderr
    lines = LOG.splitlines()
    shown = [line for line in done.stdout.splitlines() if line in lines]
    assert shown == [lines[n] for n in (0, 3, 4, 6, 9, 10)]
    *_, activate, review = map(str.strip, done.stdout.splitlines())
    assert activate == 'source .venv/bin/activate'
    assert review == 'mmdefect review work_dirs/defect_yolox'
    mim.write_text('#!/bin/sh\ncat log; exit 1\n')
    assert run().returncode == 1
