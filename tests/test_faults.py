"""What befalls a run in a night: processes killed, files broken, disks full."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from runner_configs import ROOT, RecordBatches, recorded, small_config

MMDET = 'mmdet' if os.environ.get('MMDEFECT_STACK') != 'onedl' else 'mmdetection'


def config(data_root, work_dir, **options):
    cfg = small_config(data_root, work_dir, **options)
    cfg.custom_hooks = [dict(type='QuotaResumeHook')]
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=1, max_keep_ckpts=2
    )
    return cfg


def train(cfg, *hooks):
    record = RecordBatches()
    runner = Runner.from_cfg(cfg)
    for hook in (record, *hooks):
        runner.register_hook(hook)
    runner.train()
    return record.batches


class At(Hook):
    """Does something before an iteration, the first of the run being 0."""

    def __init__(self, iteration, action):
        self.iteration, self.action = iteration, action

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            self.action()


def kill_a_worker():
    worker = multiprocessing.active_children()[0]
    os.kill(worker.pid, signal.SIGKILL)


def test_a_killed_worker_ends_the_run_and_it_resumes(synthetic, tmp_path):
    cfg = config(synthetic, tmp_path, train_dataloader__num_workers=1)
    whole = train(cfg)
    cfg.work_dir = str(tmp_path / 'killed')
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match=r'worker.*(killed|exited unexpectedly)'):
        train(cfg, At(4, kill_a_worker))
    assert time.monotonic() - begin < 60
    assert not multiprocessing.active_children()
    cfg.resume = True
    rest = train(cfg)
    assert 12 > len(rest) >= 8 - 3  # what was prefetched may still have been trained
    assert rest == whole[-len(rest) :]


def test_workers_that_are_spawned_load_the_same_batches(synthetic, tmp_path):
    options = dict(train_cfg__max_epochs=1)
    here = train(config(synthetic, tmp_path, **options))
    options['train_dataloader__num_workers'] = 1
    options['train_dataloader__multiprocessing_context'] = 'spawn'
    assert train(config(synthetic, tmp_path, **options)) == here


@pytest.fixture
def damaged(synthetic, tmp_path):
    """A copy of ``synthetic`` with a cut-off defect image, and the image's path."""
    root = tmp_path / 'damaged'
    shutil.copytree(synthetic, root)
    train = json.loads((root / 'annotations/train.json').read_text())
    image_id = train['annotations'][0]['image_id']
    (name,) = [i['file_name'] for i in train['images'] if i['id'] == image_id]
    path = root / 'train' / name
    path.write_bytes(path.read_bytes()[:40])
    return root, path


@pytest.mark.parametrize('workers', [0, 1])
def test_an_unreadable_image_stays_in_its_pool_and_is_told(
    damaged, defect_ids, tmp_path, workers
):
    root, path = damaged
    cfg = config(root, tmp_path / 'run', train_dataloader__num_workers=workers)
    runner, record = Runner.from_cfg(cfg), RecordBatches()
    runner.register_hook(record)
    runner.train()
    loader = runner.train_dataloader
    assert loader.dataset.counts['unreadable'] > 0
    assert len(loader.batch_sampler.sampler.pools['defect']) == len(defect_ids)
    for batch in record.batches:
        assert sum(image in defect_ids for image in batch) == 3
    (log,) = [file.read_text() for file in (tmp_path / 'run').glob('*/*.log')]
    assert str(path) in log


class FullDisk(Hook):
    """Lets no file grow beyond 10 kB while the checkpoint of an iteration is saved."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_save_checkpoint(self, runner, checkpoint):
        if runner.iter == self.iteration:
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))


def test_a_full_disk_leaves_the_checkpoint_before_it(synthetic, tmp_path):
    cfg = config(synthetic, tmp_path)
    whole = train(cfg)
    run = tmp_path / 'full'
    cfg.work_dir = str(run)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with pytest.raises(OSError, match='File too large'):
            train(cfg, FullDisk(6))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    sizes = [(run / f'iter_{n}.pth').stat().st_size for n in (6, 7)]
    assert sizes[1] <= 10_000 < sizes[0]
    cfg.resume = True
    assert train(cfg) == whole[6:]


# The command that users type --------------------------------------------------------


def write_config(data_root, work_dir, **options):
    """20 iterations an epoch, 3 epochs, two workers, a checkpoint every 3."""
    settings = dict(
        train_cfg__max_epochs=3,
        train_dataloader__batch_sampler__num_batches=20,
        train_dataloader__num_workers=2,
        train_dataloader__persistent_workers=True,
    )
    work_dir.mkdir()
    cfg = config(data_root, work_dir, **{**settings, **options})
    cfg.default_hooks.checkpoint.interval = 3
    cfg.custom_imports['imports'] += ['runner_configs']
    cfg.custom_hooks += [dict(type='RecordBatches', path=f'{work_dir}/rank')]
    cfg.dump(f'{work_dir}/config.py')


def start(work_dir, *options):
    mim = Path(sys.executable).with_name('mim')
    env = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '-1',
        'PYTHONPATH': str(ROOT / 'tests'),
    }
    with open(work_dir / 'output.txt', 'a') as output:
        return subprocess.Popen(
            [mim, 'train', MMDET, work_dir / 'config.py', *options],
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def finish(process, work_dir):
    code = process.wait(timeout=300)
    assert code == 0, (work_dir / 'output.txt').read_text()[-3000:]


def wait_for(process, work_dir, iteration):
    """Wait until a process has trained an iteration itself."""
    before = len(recorded(work_dir / 'rank'))
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        own = recorded(work_dir / 'rank')[before:]
        if own and own[-1][0] >= iteration:
            return
        assert process.poll() is None, (work_dir / 'output.txt').read_text()[-3000:]
        time.sleep(0.01)
    raise TimeoutError(f'iteration {iteration} was not trained')


def processes_of(session):
    """Living processes of a session."""
    living = []
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            state, _, _, owner = path.read_text().rpartition(')')[2].split()[:4]
        except OSError:
            continue
        if int(owner) == session and state != 'Z':
            living.append(path.parent.name)
    return living


def test_ctrl_c_ends_every_process(synthetic, tmp_path):
    work_dir = tmp_path / 'run'
    write_config(synthetic, work_dir)
    process = start(work_dir)
    wait_for(process, work_dir, 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    deadline = time.monotonic() + 30
    while processes_of(process.pid) and time.monotonic() < deadline:
        process.poll()
        time.sleep(0.1)
    left = processes_of(process.pid)
    if left:
        os.killpg(process.pid, signal.SIGKILL)
    assert not left
    assert process.wait(timeout=30) != 0
    last = recorded(work_dir / 'rank')[-1][0]
    assert (work_dir / 'last_checkpoint').exists()
    assert last < 59


@pytest.mark.slow
def test_a_run_killed_ten_times_trains_on_the_batches_of_one_left_alone(
    synthetic, tmp_path
):
    alone, killed = tmp_path / 'alone', tmp_path / 'killed'
    for work_dir in (alone, killed):
        write_config(synthetic, work_dir)
    finish(start(alone), alone)
    whole = dict(recorded(alone / 'rank'))
    assert list(whole) == list(range(60))

    kills = sorted(random.Random(0).sample(range(4, 56), 10))
    for number, iteration in enumerate(kills):
        process = start(killed, *(['--resume'] if number else []))
        wait_for(process, killed, iteration)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
    finish(start(killed, '--resume'), killed)

    lines = recorded(killed / 'rank')
    assert all(ids == whole[iteration] for iteration, ids in lines)
    assert {iteration for iteration, _ in lines} == set(whole)
    steps = [(a, b) for (a, _), (b, _) in zip(lines, lines[1:]) if b != a + 1]
    # Only what was trained after the last whole checkpoint is repeated.
    assert all(-6 <= b - (a + 1) <= 0 for a, b in steps)


@pytest.mark.slow
def test_two_runs_in_one_directory_leave_a_checkpoint_that_goes_on(synthetic, tmp_path):
    work_dir = tmp_path / 'run'
    write_config(synthetic, work_dir, train_cfg__max_epochs=1)
    both = [start(work_dir), start(work_dir)]
    for process in both:
        finish(process, work_dir)
    lines = recorded(work_dir / 'rank')
    assert len(lines) == 40
    whole = dict(lines)
    assert all(ids == whole[iteration] for iteration, ids in lines)
    finish(
        start(work_dir, '--resume', '--cfg-options', 'train_cfg.max_epochs=2'), work_dir
    )
    assert [i for i, _ in recorded(work_dir / 'rank')[40:]] == list(range(20, 40))
