from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / 'tools' / 'make_dataset.py'
spec = importlib.util.spec_from_file_location('make_dataset', SCRIPT)
make_dataset = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_dataset)

CLASSES = set(make_dataset.DEFECTS)
SMALL = ('--train', '60', '--val', '20', '--defect-share', '0.2')


def run(*args, **environment):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, args)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


def tree(root):
    files = (path for path in sorted(root.rglob('*')) if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def coco(root, split):
    return json.loads((root / 'annotations' / f'{split}.json').read_text())


def assert_refused(result, *words):
    assert result.returncode == 2, result.stderr
    assert result.stderr.count('\n') == 1, result.stderr
    assert result.stdout == ''
    for word in words:
        assert word in result.stderr


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp('small') / 'set'
    result = run(out, *SMALL)
    assert result.returncode == 0, result.stderr
    return out


@pytest.fixture(scope='module')
def default(tmp_path_factory):
    out = tmp_path_factory.mktemp('default') / 'set'
    assert run(out).returncode == 0
    return out


def test_same_seed_gives_same_bytes_in_any_process(small, tmp_path):
    for hash_seed in '1', '2':
        again = tmp_path / hash_seed
        assert run(again, *SMALL, PYTHONHASHSEED=hash_seed).returncode == 0
        assert tree(again) == tree(small)


def test_another_seed_gives_another_set(small, tmp_path):
    assert run(tmp_path / 'set', *SMALL, '--seed', 1).returncode == 0
    first, second = tree(small), tree(tmp_path / 'set')
    assert first.keys() == second.keys()
    assert not [name for name in first if first[name] == second[name]]


def test_no_picture_occurs_twice(default):
    pictures = [data for name, data in tree(default).items() if name.endswith('.png')]
    assert len(set(pictures)) == len(pictures)


@pytest.mark.parametrize(
    ('split', 'count', 'defects'), [('train', 1000, 30), ('val', 200, 50)]
)
def test_default_set_has_the_promised_counts(default, split, count, defects):
    content = coco(default, split)
    assert len(content['images']) == len(list((default / split).iterdir())) == count
    assert len({a['image_id'] for a in content['annotations']}) == defects


def test_share_and_counts_are_the_ones_asked_for(small):
    content = coco(small, 'train')
    assert len(content['images']) == 60
    assert len({a['image_id'] for a in content['annotations']}) == 12


@pytest.mark.parametrize('split', make_dataset.SPLITS)
def test_every_class_occurs_about_equally_often(default, split):
    content = coco(default, split)
    names = {c['id']: c['name'] for c in content['categories']}
    found = [names[a['category_id']] for a in content['annotations']]
    assert set(names.values()) == CLASSES
    for name in CLASSES:
        assert found.count(name) >= len(found) / len(CLASSES) / 2


@pytest.mark.parametrize('split', make_dataset.SPLITS)
def test_ids_cannot_be_mistaken_for_indices(default, split):
    content = coco(default, split)
    ids = [image['id'] for image in content['images']]
    names = [image['file_name'] for image in content['images']]
    by_file = [i for _, i in sorted(zip(names, ids))]
    assert len(set(ids)) == len(ids)
    assert max(ids) > 5 * len(ids)  # sparse
    assert ids != sorted(ids)
    assert names != sorted(names)
    assert by_file != sorted(by_file)


@pytest.mark.parametrize('split', make_dataset.SPLITS)
def test_annotations_are_shuffled_and_their_ids_unique(default, split):
    content = coco(default, split)
    ids = [a['id'] for a in content['annotations']]
    assert len(set(ids)) == len(ids)
    assert ids != sorted(ids)
    place = {image['id']: k for k, image in enumerate(content['images'])}
    order = [place[a['image_id']] for a in content['annotations']]
    assert order != sorted(order)


def test_train_and_val_share_no_image_id(default):
    train, val = (
        {i['id'] for i in coco(default, s)['images']} for s in ('train', 'val')
    )
    assert not train & val


@pytest.mark.parametrize('split', make_dataset.SPLITS)
def test_boxes_are_tight_on_the_pixels_that_the_defects_changed(default, split):
    content = coco(default, split)
    boxes = {image['id']: [] for image in content['images']}
    for annotation in content['annotations']:
        boxes[annotation['image_id']].append(annotation['bbox'])
    for image in content['images']:
        path = default / split / image['file_name']
        shown = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        number = int(path.stem)
        clean, none = make_dataset.render(0, split, number, (), image['width'])
        changed = shown != clean
        assert none == []
        for x, y, w, h in boxes[image['id']]:
            assert 0 <= x < x + w <= image['width']
            assert 0 <= y < y + h <= image['height']
            inside = changed[y : y + h, x : x + w]
            assert all(
                edge.any() for edge in (inside[0], inside[-1], *inside.T[[0, -1]])
            )
            assert 16 <= min(w, h) <= max(w, h) <= 70
        # Each pixel that changed belongs to one box: boxes do not overlap.
        covered = np.zeros(changed.shape, int)
        for x, y, w, h in boxes[image['id']]:
            covered[y : y + h, x : x + w] += 1
        assert covered.max() == bool(boxes[image['id']])
        assert not changed[covered == 0].any()


def test_masks_are_the_pixels_that_the_defects_changed(small):
    coco_module = pytest.importorskip('pycocotools.coco')
    for split in make_dataset.SPLITS:
        with contextlib.redirect_stdout(io.StringIO()):
            loaded = coco_module.COCO(str(small / 'annotations' / f'{split}.json'))
        for image in loaded.imgs.values():
            path = small / split / image['file_name']
            shown = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            clean, _ = make_dataset.render(0, split, int(path.stem), (), shown.shape[0])
            annotations = loaded.imgToAnns[image['id']]
            masks = [loaded.annToMask(annotation) for annotation in annotations]
            assert (sum(masks, np.zeros(shown.shape, int)) == (shown != clean)).all()
            for annotation, mask in zip(annotations, masks):
                assert annotation['bbox'] == list(cv2.boundingRect(mask))
                assert annotation['area'] == mask.sum()


@pytest.mark.parametrize('name', sorted(CLASSES))
@pytest.mark.parametrize('size', [64, 160, 333, 640])
def test_every_defect_stands_out_at_every_size(name, size):
    for number in range(20):
        clean, _ = make_dataset.render(5, 'train', number, (), size)
        shown, ((found, (x, y, w, h)),) = make_dataset.render(
            5, 'train', number, (name,), size
        )
        assert found == name
        assert 0.1 * size <= min(w, h) <= max(w, h) <= 0.45 * size
        crop = np.s_[y : y + h, x : x + w]
        change = np.abs(shown[crop].astype(float) - clean[crop])
        # A defect nobody sees cannot be learned: it changes the picture by more
        # than the surface itself varies there.
        assert change[change > 0].mean() > 1.5 * clean[crop].std()


@pytest.mark.parametrize('size', [64, 160, 333])
def test_a_mark_is_seen_and_is_no_defect(size):
    differ = 0
    for number in range(12):
        plain, _ = make_dataset.render(5, 'train', number, (), size)
        marked, instances = make_dataset.render(5, 'train', number, (), size, 1)
        assert instances == []
        change = np.abs(marked.astype(float) - plain)
        differ += change[change > 0].mean() > plain.std()
    assert differ >= 8


def test_marks_come_beside_the_defects_and_leave_all_else_as_it_was(small, tmp_path):
    assert run(tmp_path / 'set', *SMALL, '--mark-share', 0.5).returncode == 0
    plain, marked = tree(small), tree(tmp_path / 'set')
    same = [name for name in plain if plain[name] == marked[name]]
    assert 0.3 * len(plain) < len(same) < 0.7 * len(plain)
    for split in ('train', 'val'):
        before, after = coco(small, split), coco(tmp_path / 'set', split)
        assert before['images'] == after['images']
        assert [a['image_id'] for a in before['annotations']] == [
            a['image_id'] for a in after['annotations']
        ]


def test_pictures_are_grey_and_of_the_size_asked_for(tmp_path):
    out = tmp_path / 'set'
    assert run(out, *SMALL, '--size', 96).returncode == 0
    for split in make_dataset.SPLITS:
        for image in coco(out, split)['images']:
            path = str(out / split / image['file_name'])
            picture = cv2.imread(path, cv2.IMREAD_UNCHANGED)
            assert picture.dtype == np.uint8
            assert picture.shape == (96, 96) == (image['height'], image['width'])


def test_surfaces_are_neither_flat_nor_clipped(default):
    for path in sorted((default / 'train').iterdir())[:100]:
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert picture.std() > 3
        assert np.mean((picture == 0) | (picture == 255)) < 0.02


def test_pycocotools_loads_it(default):
    coco_module = pytest.importorskip('pycocotools.coco')
    for split in make_dataset.SPLITS:
        path = default / 'annotations' / f'{split}.json'
        with contextlib.redirect_stdout(io.StringIO()):
            loaded = coco_module.COCO(str(path))
        annotations = loaded.loadAnns(loaded.getAnnIds())
        assert {c['name'] for c in loaded.loadCats(loaded.getCatIds())} == CLASSES
        assert set(loaded.getImgIds()) >= {a['image_id'] for a in annotations}


def test_second_run_leaves_every_file_as_it_is(small):
    times = {path: path.stat().st_mtime_ns for path in small.rglob('*')}
    result = run(small, *SMALL)
    assert result.returncode == 0
    assert 'nothing to do' in result.stdout
    assert times == {path: path.stat().st_mtime_ns for path in small.rglob('*')}


@pytest.mark.parametrize('force', [(), ('--force',)])
@pytest.mark.parametrize(
    'files',
    [
        {'notes.txt': 'mine'},
        {'dataset.json': '{"generator": "somebody else"}'},
        {'dataset.json': '[]'},
        {'dataset.json': 'no JSON'},
        {'.hidden': ''},
    ],
    ids=['file', 'other marker', 'list', 'broken marker', 'hidden'],
)
def test_a_directory_of_the_users_is_never_touched(tmp_path, files, force):
    out = tmp_path / 'mine'
    out.mkdir()
    for name, text in files.items():
        (out / name).write_text(text)
    before = tree(tmp_path)
    assert_refused(run(out, *SMALL, *force), str(out), 'not made by this tool')
    assert tree(tmp_path) == before


def test_a_file_in_the_way_is_never_touched(tmp_path):
    (tmp_path / 'set').write_text('mine')
    assert_refused(run(tmp_path / 'set', *SMALL, '--force'), 'not made by this tool')
    assert (tmp_path / 'set').read_text() == 'mine'


def test_an_empty_directory_is_filled(small, tmp_path):
    assert run(tmp_path, *SMALL).returncode == 0
    assert tree(tmp_path) == tree(small)


@pytest.fixture
def own(small, tmp_path):
    out = tmp_path / 'set'
    for name, data in tree(small).items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
    return out


def test_other_options_need_force(own):
    before = tree(own)
    assert_refused(run(own, *SMALL, '--seed', 1), 'seed 0', '--force')
    assert tree(own) == before
    assert run(own, *SMALL, '--seed', 1, '--force').returncode == 0
    assert json.loads(tree(own)['dataset.json'])['options']['seed'] == 1
    assert [path.name for path in own.parent.iterdir()] == ['set']


def test_a_set_made_before_there_were_marks_is_complete(own):
    marker = json.loads((own / 'dataset.json').read_text())
    del marker['options']['mark_share']
    (own / 'dataset.json').write_text(json.dumps(marker))
    assert 'nothing to do' in run(own, *SMALL).stdout


def test_a_set_that_lost_a_file_is_not_called_complete(own, small):
    (own / 'val' / '000003.png').unlink()
    assert_refused(run(own, *SMALL), 'val/000003.png', '--force')
    assert run(own, *SMALL, '--force').returncode == 0
    assert tree(own) == tree(small)


def test_force_never_removes_what_the_user_put_into_the_set(own):
    (own / 'train' / 'notes.txt').write_text('mine')
    before = tree(own)
    assert_refused(run(own, *SMALL, '--seed', 1, '--force'), 'train/notes.txt')
    assert tree(own) == before


def start_big(out, *args):
    """Start a run that takes minutes; return it once it has drawn some images."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(out), '--train', '30000', *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):
        if len(list(out.parent.glob('.*/new/train/*.png'))) > 20:
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate())


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(tmp_path, number):
    process = start_big(tmp_path / 'set')
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert 'Traceback' not in said
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_remake_keeps_the_old_set(own, small):
    process = start_big(own, '--force')
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert tree(own.parent) == {
        f'set/{name}': data for name, data in tree(small).items()
    }


def test_a_killed_run_shows_no_set_and_the_next_run_sweeps_it_up(tmp_path, small):
    out = tmp_path / 'set'
    process = start_big(out)
    process.kill()
    process.communicate(timeout=30)
    assert not out.exists()
    assert list(tmp_path.iterdir()) != []
    assert run(out, *SMALL).returncode == 0
    assert list(tmp_path.iterdir()) == [out]
    assert tree(out) == tree(small)


def test_a_run_does_not_sweep_up_another_that_is_alive(tmp_path):
    process = start_big(tmp_path / 'set')
    try:
        (alive,) = tmp_path.iterdir()
        assert run(tmp_path / 'set', *SMALL).returncode == 0
        assert len(list(alive.glob('new/train/*.png'))) > 20
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    ('wrong', 'named'),
    [
        (['--train', 'many'], 'many'),
        (['--train', '0'], '--train'),
        (['--train', '-5'], '--train'),
        (['--defect-share', '0'], '--defect-share'),
        (['--defect-share', '1'], '--defect-share'),
        (['--defect-share', 'nan'], 'nan'),
        (['--train', '10', '--defect-share', '0.01'], '--defect-share'),
        (['--val', '1'], '--val'),
        (['--val-defect-share', '2'], '--val-defect-share'),
        (['--mark-share', '1.5'], '--mark-share'),
        (['--size', '8'], '--size'),
        (['--size', '160.5'], '160.5'),
        (['--seed', '-1'], '--seed'),
        (['--colour'], '--colour'),
    ],
    ids=lambda value: '_'.join(value) if isinstance(value, list) else '',
)
def test_a_wrong_option_is_refused_in_one_line(tmp_path, wrong, named):
    assert_refused(run(tmp_path / 'set', *wrong), named)
    assert list(tmp_path.iterdir()) == []


def test_a_parent_that_is_a_file_is_refused_in_one_line(tmp_path):
    (tmp_path / 'file').write_text('mine')
    assert_refused(run(tmp_path / 'file' / 'set', *SMALL), str(tmp_path / 'file'))


def test_help_says_what_is_made_and_shows_an_example():
    said = run('--help', COLUMNS='80').stdout
    for words in ('OUT/annotations/train.json', 'example:', 'data/synthetic', '0.03'):
        assert words in said
    assert max(map(len, said.splitlines())) <= 80


def test_output_that_is_no_terminal_gets_no_progress_bar(tmp_path):
    result = run(tmp_path / 'set', *SMALL)
    assert result.stderr == ''
    assert result.stdout.count('\n') == 1
