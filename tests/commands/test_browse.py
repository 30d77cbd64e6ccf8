"""The pictures show the batches that training sees."""

from __future__ import annotations

import io
import logging
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from runner_configs import ROOT, small_config
from user_configs import config, new, preserved

from mmdefect.analysis.batches import LOST, as_image, is_sliver
from mmdefect.analysis.colours import COLOURS
from mmdefect.commands.browse import draw, tint
from mmdefect.commands.drawing import file_title
from mmdefect.commands.main import main

CONFIG = ROOT / 'configs/defect_yolox.py'
LEAF = 'train_dataloader.dataset.dataset'
QUICK = ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']


@pytest.fixture
def browse(synthetic, tmp_path, capsys):
    """Runs the tool on a config's text, or the ready one: status, output, errors."""
    for handler in MMLogger.get_current_instance().handlers:
        # An earlier test's stream, closed since.
        if type(handler) is logging.StreamHandler:
            handler.stream = io.StringIO()

    def run(*args, text=None, options=()):
        path, options = CONFIG, [*QUICK, *options]
        if text is not None:
            path = tmp_path / 'config.py'
            path.write_text(text.replace('{data}', str(synthetic)))
        else:
            options.append(f'{LEAF}.data_root={synthetic}/')
        status = main(['browse', str(path), *map(str, args), '--cfg-options', *options])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def drawn(monkeypatch):
    """What the tool drew, picture by picture, beside the real drawing."""
    seen = []

    def keep(sides, *args):
        seen.append(sides)
        draw(sides, *args)

    monkeypatch.setattr('mmdefect.commands.browse.draw', keep)
    return seen


def test_the_first_batches_are_those_that_training_gets(
    synthetic, tmp_path, browse, drawn
):
    batches = []

    class Keep(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            ids = [sample.img_id for sample in data_batch['data_samples']]
            sums = [int(image.long().sum()) for image in data_batch['inputs']]
            boxes = [
                s.gt_instances.bboxes.tensor.tolist()
                for s in data_batch['data_samples']
            ]
            batches.append((ids, sums, boxes))

    # With worker processes, so that their seeds decide over the augmentation.
    workers = ['train_dataloader.num_workers=2', 'randomness.seed=5']
    cfg = small_config(
        synthetic,
        tmp_path / 'run',
        train_dataloader__num_workers=2,
        train_dataloader__batch_sampler__num_batches=2,
    )
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Keep())
    runner.train()
    options = [*workers, 'train_dataloader.batch_sampler.num_batches=2']
    status, _, _ = browse('--num', 2, '--output-dir', tmp_path / 'b', options=options)
    assert status == 0
    ids, sums, boxes = zip(*batches[:2])
    shown = [sides[-1] for sides in drawn]
    assert [[s.img_id for s in batch.samples] for batch in shown] == list(ids)
    assert [[int(i.sum()) for i in batch.images] for batch in shown] == list(sums)
    assert [
        [s.gt_instances.bboxes.tensor.tolist() for s in batch.samples]
        for batch in shown
    ] == list(boxes)


def test_frames_and_counts_are_those_of_the_annotations(
    browse, drawn, synthetic, defect_ids, tmp_path
):
    status, out, err = browse('--num', 3, '--output-dir', tmp_path / 'b')
    assert (status, err) == (0, '')
    assert len(drawn) == 3
    for (batch,) in drawn:
        defect = [sample.img_id in defect_ids for sample in batch.samples]
        assert batch.pools == [int(x) for x in defect]  # 0 normal, 1 defect
        shown = sum(
            len(s.gt_instances) > 0 and d for s, d in zip(batch.samples, defect)
        )
        assert re.search(
            f'{sum(defect)} drawn with a defect, {shown} delivered', batch.title
        )
    assert sorted(p.name for p in (tmp_path / 'b').iterdir()) == [
        f'batch_{n:03d}.png' for n in (1, 2, 3)
    ]
    for number, (batch,) in enumerate(drawn, 1):
        assert f'batch_{number:03d}.png' in out
        assert batch.title in out


def test_stock_sampling_beside_it_is_plain_shuffling_without_the_wrapper(
    browse, drawn, defect_ids, tmp_path
):
    # A crop of 12 x 12 out of 64 x 64 pixels loses most defects.
    crop = "[dict(type='RandomCrop', crop_size=(12, 12), allow_negative_crop=True)]"
    dataset = f'dict(leaf, pipeline=load + small + {crop} + pack)'
    text = config('retinanet', preserved(dataset))
    args = ('--num', 16, '--against', 'stock', '--output-dir', tmp_path / 'b')
    status, _, _ = browse(*args, text=text)
    assert status == 0
    stock = [sides[0] for sides in drawn]
    quota = [sides[1] for sides in drawn]
    count = [sum(s.img_id in defect_ids for s in batch.samples) for batch in stock]
    assert min(count) == 0  # nobody sees to it
    assert [sum(batch.pools) for batch in stock] == count
    assert [sum(batch.pools) for batch in quota] == [3] * 16
    assert all(batch.title.startswith('stock sampling: ') for batch in stock)
    images = [s.img_id for batch in stock for s in batch.samples]
    assert len(set(images)) == len(images)  # of one pass
    lost = sum(
        s.img_id in defect_ids and not len(s.gt_instances)
        for batch in stock
        for s in batch.samples
    )
    drawn_stock, delivered = (
        sum(int(re.search(f'(\\d+) {word}', b.title)[1]) for b in stock)
        for word in ('drawn', 'delivered')
    )
    assert (drawn_stock, delivered) == (sum(count), sum(count) - lost)
    assert lost > 0
    assert sum(batch.marks.count(LOST) for batch in stock) == lost
    assert all('3 drawn with a defect, 3 delivered' in b.title for b in quota)


def test_the_epoch_goes_on_where_more_batches_are_asked_for_than_it_has(
    browse, drawn, tmp_path
):
    option = ['train_dataloader.batch_sampler.num_batches=2']
    status, _, _ = browse('--num', 3, '--output-dir', tmp_path / 'b', options=option)
    assert status == 0
    titles = [batch.place for (batch,) in drawn]
    assert titles == ['epoch 1, batch 1', 'epoch 1, batch 2', 'epoch 2, batch 1']
    ids = [[s.img_id for s in batch.samples] for (batch,) in drawn]
    assert ids[0] != ids[2]


@pytest.mark.parametrize(
    ('boxes', 'sliver'),
    [
        ([[0, 20, 5, 60]], True),  # five pixels of what goes on to the left
        ([[20, 96, 60, 100]], True),
        ([[1, 20, 30, 60]], False),
        ([[40, 20, 45, 60]], False),  # narrow, but whole
        ([[0, 20, 5, 60], [40, 20, 45, 60]], False),
    ],
)
def test_a_strip_of_a_defect_at_the_edge_is_told_from_a_narrow_defect(boxes, sliver):
    sample = DetDataSample()
    labels = torch.zeros(len(boxes), dtype=torch.long)
    sample.gt_instances = InstanceData(bboxes=torch.tensor(boxes), labels=labels)
    assert is_sliver(sample, {0: 'crack'}, (100, 100)) is sliver


def test_each_image_has_the_name_of_its_file_under_it(browse, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    under = []

    def keep(self, path, **options):
        under.extend(axis.get_xlabel() for axis in self.axes)
        path.touch()

    monkeypatch.setattr(Figure, 'savefig', keep)
    browse('--num', 1, '--output-dir', tmp_path / 'b')
    assert len(under) == 8
    assert all(re.match(r'\d{6}\.png', text) for text in under)
    assert file_title('/a/line_7_camera_2_2026-03-04_11-12-13.png', 20) == (
        'line_7_ca…-12-13.png'
    )


def frame_colours(path):
    """Colours of the picture that are neither grey nor those of boxes."""
    image = cv2.imread(str(path)).reshape(-1, 3)
    colours, counts = np.unique(image, axis=0, return_counts=True)
    return {tuple(c[::-1]): n for c, n in zip(colours.tolist(), counts.tolist())}


def test_an_image_in_another_form_has_a_frame_of_its_own_colour(
    browse, drawn, tmp_path
):
    quota = "train_dataloader['batch_sampler']['quota'] = "
    quota += 'dict(defect=1, pasted=2, counterexample=1)'
    text = config('retinanet', preserved('plain'), quota)
    status, out, _ = browse('--num', 1, '--output-dir', tmp_path / 'b', text=text)
    assert status == 0
    assert '1 defect + 2 pasted + 1 counterexample image: 1 drawn with a ' in out
    (batch,) = drawn[0]
    assert sorted(batch.pools) == [0, 0, 0, 0, 1, 2, 2, 3]
    shown = [len(sample.gt_instances) > 0 for sample in batch.samples]
    assert shown == [pool in (1, 2) for pool in batch.pools]


def test_the_frame_of_a_defect_image_stands_out_in_the_picture(browse, tmp_path):
    from matplotlib.colors import to_rgb

    areas = {}
    for quota in (1, 3):
        option = [f'train_dataloader.batch_sampler.quota={quota}']
        out = tmp_path / str(quota)
        browse('--num', 1, '--output-dir', out, options=option)
        colour = tuple(round(255 * c) for c in to_rgb(COLOURS[0]))
        areas[quota] = frame_colours(out / 'batch_001.png').get(colour, 0)
    assert areas[1] > 1000
    assert areas[3] > 2 * areas[1]


@pytest.mark.parametrize(
    'steps',
    [
        "[dict(type='Normalize', mean=[99.0] * 3, std=[50.0] * 3, to_rgb=True)]",
        "[dict(type='RandomResize', scale=[(40, 40), (90, 60)], keep_ratio=True)]",
        "[dict(type='RandomFlip', prob=0.5)]",
    ],
    ids=['floats', 'sizes', 'masks'],
)
def test_floats_masks_and_images_of_several_sizes_are_drawn(
    browse, drawn, tmp_path, steps
):
    load = "load[:1] + [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]"
    text = config('faster_rcnn', new(f'dict(leaf, pipeline={load} + {steps} + pack)'))
    status, _, err = browse('--num', 2, '--output-dir', tmp_path / 'b', text=text)
    assert (status, err) == (0, '')
    for (batch,) in drawn:
        assert [str(image.dtype) for image in batch.images] == ['uint8'] * 8
        assert all(image.std() > 1 for image in batch.images)
        assert any('masks' in s.gt_instances for s in batch.samples)
    if 'Resize' in steps:
        assert len({image.shape for (batch,) in drawn for image in batch.images}) > 1
    assert cv2.imread(str(tmp_path / 'b/batch_002.png')) is not None


def test_each_box_has_the_name_that_its_part_of_the_dataset_gives_it(
    browse, drawn, two_parts
):
    parts = ', '.join(f'dict(plain, **{part})' for part in two_parts)
    text = config('retinanet', new(f"dict(type='ConcatDataset', datasets=[{parts}])"))
    status, out, _ = browse('--num', '4', text=text)
    assert status == 0
    assert out.count('3 drawn with a defect, 3 delivered') == 4
    named = {
        names[label]
        for (batch,) in drawn
        for sample, names in zip(batch.samples, batch.names)
        for label in sample.gt_instances.labels.tolist()
    }
    assert named == {'scratch', 'pit', 'dent'}


def test_a_pixel_keeps_its_colour():
    red = torch.zeros(3, 4, 5, dtype=torch.uint8)
    red[2] = 200  # BGR
    assert as_image(red)[0, 0].tolist() == [200, 0, 0]
    assert as_image(red.float())[0, 0].tolist() == [200, 0, 0]
    assert as_image(red.float() / 255)[0, 0, 0] == 255
    grey = torch.full((1, 4, 5), 7, dtype=torch.uint8)
    assert as_image(grey)[3, 4].tolist() == [7, 7, 7]


def test_a_mask_covers_its_pixels_and_no_others():
    image = np.full((4, 5, 3), 100, np.uint8)
    masks = np.zeros((2, 4, 5), np.uint8)
    masks[0, 1, 2] = masks[1, 3, 4] = 1
    changed = (tint(image, masks) != image).any(2)
    assert np.argwhere(changed).tolist() == [[1, 2], [3, 4]]
    assert (image == 100).all()


def test_an_interruption_leaves_whole_pictures_only(browse, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    save, written = Figure.savefig, []

    def interrupted(self, path, **options):
        save(self, path, **options)
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Figure, 'savefig', interrupted)
    status, _, _ = browse('--num', 3, '--output-dir', tmp_path / 'b')
    assert status == 130
    assert [p.name for p in (tmp_path / 'b').iterdir()] == ['batch_001.png']


def test_a_stock_config_is_drawn_as_it_is_with_its_normal_images(
    browse, drawn, tmp_path
):
    loader = 'train_dataloader = dict(batch_size=4, dataset={dataset})'
    leaf = 'dict(plain, filter_cfg=dict(filter_empty_gt=True))'
    text = config('retinanet', new(leaf), loader=loader)
    where = '--output-dir', tmp_path / 'b'
    status, out, err = browse('--num', 1, *where, text=text)
    assert status == 0
    assert 'stock sampling: ' in out
    assert 'filter_empty_gt=True drops every normal image' in err
    ((batch,),) = drawn
    assert 0 in batch.pools
    status, _, err = browse('--num', 1, '--against', 'stock', *where, text=text)
    assert status == 2
    assert 'has no quota to compare with' in err


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        (f'{LEAF}.data_prefix.img=no/', '/no does not exist'),
        ('train_dataloader.batch_sampler.quota=8', 'quota=8 takes 8 of a batch of 8'),
        (f'{LEAF}.ann_file=no.json', 'no.json'),
    ],
)
def test_what_cannot_be_drawn_is_told_in_one_line(browse, tmp_path, option, said):
    status, out, err = browse('--output-dir', tmp_path / 'b', options=[option])
    assert (status, out) == (2, '')
    assert said in err
    assert err.count('\n') == 1


def test_a_directory_that_cannot_be_made_is_told_in_one_line(browse, tmp_path):
    (tmp_path / 'file').write_text('')
    status, out, err = browse('--output-dir', tmp_path / 'file' / 'b')
    assert (status, out, err.count('\n')) == (2, '', 1)
    assert 'file' in err


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['--num', '0'], '--num 0: expected 1 or more'),
        (['--against', 'mosaic'], "invalid choice: 'mosaic'"),
        (['--cfg-options', 'quota'], 'expected KEY=VALUE'),
    ],
)
def test_wrong_use_ends_with_one_line_and_status_2(capsys, args, said):
    with pytest.raises(SystemExit) as caught:
        main(['browse', str(CONFIG), *args])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_it_runs_from_anywhere_as_the_help_says(synthetic, tmp_path):
    command = [sys.executable, '-m', 'mmdefect', 'browse']
    shown = subprocess.run([*command, '--help'], capture_output=True, text=True)
    assert 'mmdefect browse configs/defect_yolox.py' in shown.stdout
    run = subprocess.run(
        [
            *(*command, str(CONFIG), '--num', '1', '--not-show', '--cfg-options'),
            *(*QUICK, f'{LEAF}.data_root={synthetic}/'),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (run.returncode, run.stderr) == (0, '')
    picture = 'work_dirs/defect_yolox/batches/batch_001.png'
    assert picture in run.stdout
    assert cv2.imread(str(tmp_path / picture)) is not None
