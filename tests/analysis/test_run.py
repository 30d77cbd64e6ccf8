"""Which config and checkpoint a finished run is, wherever it was copied to."""

from __future__ import annotations

import os

import pytest

from mmdefect.analysis.run import find_run


@pytest.fixture
def left(tmp_path):
    """Writes files of a run, the newest first, as copying leaves them."""

    def write(*names, save_best='auto', last=''):
        text = f'default_hooks = dict(checkpoint=dict(save_best={save_best!r}))\n'
        (tmp_path / 'config.py').write_text(text)
        for age, name in enumerate(names):
            (tmp_path / name).touch()
            os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
        if last:
            (tmp_path / 'last_checkpoint').write_text(last)
        return tmp_path

    return write


def test_the_best_checkpoint_is_the_latest_whatever_the_times_of_the_files(left):
    run = find_run(left('best_a_iter_90.pth', 'best_a_iter_200.pth'))
    assert run.checkpoint.name == 'best_a_iter_200.pth'


def test_of_two_best_checkpoints_the_first_metric_of_save_best_decides(left):
    names = 'best_coco_bbox_mAP_50_epoch_9.pth', 'best_coco_bbox_mAP_epoch_3.pth'
    best = ['coco/bbox_mAP', 'coco/bbox_mAP_50']
    assert find_run(left(*names, save_best=best)).checkpoint.name == names[1]
    assert find_run(left(*names, save_best=best[::-1])).checkpoint.name == names[0]


def test_without_a_best_one_the_last_checkpoint_is_taken(left):
    names = 'epoch_9.pth', 'epoch_12.pth'
    assert find_run(left(*names)).checkpoint.name == 'epoch_12.pth'
    elsewhere = '/elsewhere/run/epoch_9.pth'
    assert find_run(left(*names, last=elsewhere)).checkpoint.name == 'epoch_9.pth'


def test_of_two_configs_that_of_the_newest_log_is_taken(left):
    folder = left('epoch_1.pth')
    (folder / 'other.py').write_text('x = 1\n')
    for number, text in enumerate(((folder / 'config.py').read_text(), 'x = 1\n')):
        copied = folder / f'2026010{number}/vis_data/config.py'
        copied.parent.mkdir(parents=True)
        copied.write_text(text)
    os.utime(folder / 'other.py', (1, 1))
    assert find_run(folder).config.name == 'other.py'


def test_a_log_that_was_cut_off_still_shows_its_run(left):
    folder = left('epoch_1.pth')
    (folder / 'a/vis_data').mkdir(parents=True)
    row = '{"coco/bbox_mAP_50": 0.5, "step": 1}\n'
    (folder / 'a/vis_data/scalars.json').write_text(row + row[:20])
    assert find_run(folder).validation.metrics == {'coco/bbox_mAP_50': 0.5}
