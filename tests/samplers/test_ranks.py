"""Several ranks: real processes that train a real detector on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from mmengine.runner import Runner
from rank_processes import torchrun
from runner_configs import ROOT, RecordBatches, recorded, small_config
from sampler_ranks import CASES

from mmdefect.plan.plan import Plan

TOOL = ROOT / 'tools/train_on_cpu_ranks.py'
# The global batch of every training here: images, and defect images of these.
IMAGES, DEFECTS, STEPS = 8, 4, 12
ITERATIONS = dict(
    train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=STEPS),
    train_dataloader__batch_sampler__infinite=True,
)


def config(data_root, work_dir, ranks, **options):
    """Two epochs of six steps, with a checkpoint after the fourth and the eighth."""
    cfg = small_config(data_root, work_dir, **options)
    cfg.train_dataloader.batch_size = IMAGES // ranks
    cfg.train_dataloader.batch_sampler.quota = DEFECTS // ranks
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=4
    )
    cfg.custom_hooks = [dict(type='QuotaResumeHook')]
    return cfg


def over_config(data_root, work_dir, ranks, batch_size, **options):
    """Two epochs of six optimizer steps: 8 images, 3 of every 16 with a defect."""
    cfg = config(data_root, work_dir, ranks, **options)
    accumulated = IMAGES // (ranks * batch_size)
    cfg.optim_wrapper.accumulative_counts = accumulated
    cfg.train_dataloader.batch_size = batch_size
    cfg.train_dataloader.batch_sampler.update(
        quota=3, over=2 * IMAGES, num_batches=6 * accumulated
    )
    if cfg.train_cfg.type == 'IterBasedTrainLoop':
        cfg.train_cfg.max_iters *= accumulated
    return cfg


def train(ranks, data_root, work_dir, **options):
    """Batches that the model got: an array (ranks, steps, images a batch) of ids."""
    return train_config(ranks, config(data_root, work_dir, ranks, **options))


def train_config(ranks, cfg):
    work_dir = cfg.work_dir
    cfg.custom_imports['imports'] += ['runner_configs']
    cfg.custom_hooks += [dict(type='RecordBatches', path=f'{work_dir}/rank')]
    cfg.dump(f'{work_dir}/config.py')
    resume = ['--resume'] if cfg.get('resume') else []
    done = torchrun(ranks, TOOL, f'{work_dir}/config.py', *resume)
    assert done.returncode == 0, done.stdout[-3000:]
    records = [recorded(f'{work_dir}/rank', rank) for rank in range(ranks)]
    return np.array([[ids for _, ids in record] for record in records])


def train_alone(cfg):
    runner, record = Runner.from_cfg(cfg), RecordBatches()
    runner.register_hook(record)
    runner.train()
    return np.array([record.batches])


def images_of_steps(batches):
    return [sorted(step.ravel().tolist()) for step in batches.swapaxes(0, 1)]


def check_quota(batches, ranks, defect_ids):
    assert batches.shape == (ranks, STEPS, IMAGES // ranks)
    defect = np.isin(batches, sorted(defect_ids))
    assert (defect.sum(axis=2) == DEFECTS // ranks).all()
    normal = batches[~defect].tolist()
    assert len(set(normal)) == len(normal)


@pytest.fixture(scope='module')
def two_ranks(synthetic, tmp_path_factory):
    """Batches of two ranks, and the directory with their checkpoints."""
    work_dir = tmp_path_factory.mktemp('two_ranks')
    return train(2, synthetic, work_dir), work_dir


def test_two_ranks_keep_the_quota_and_share_the_normals(two_ranks, defect_ids):
    batches, _ = two_ranks
    check_quota(batches, 2, defect_ids)
    assert (batches[0] != batches[1]).any()


def test_two_ranks_train_each_step_on_the_images_of_one(two_ranks, synthetic, tmp_path):
    batches, _ = two_ranks
    alone = train_alone(config(synthetic, tmp_path, 1))
    assert images_of_steps(batches) == images_of_steps(alone)


def test_a_run_of_two_ranks_goes_on_with_one(two_ranks, synthetic, tmp_path):
    batches, work_dir = two_ranks
    cfg = config(synthetic, tmp_path, 1)
    cfg.resume, cfg.load_from = True, f'{work_dir}/iter_4.pth'
    assert images_of_steps(train_alone(cfg)) == images_of_steps(batches)[4:]


def test_a_number_of_ranks_that_cannot_go_on_is_told_how_it_can(
    two_ranks, synthetic, tmp_path
):
    batches, work_dir = two_ranks
    cfg = config(synthetic, tmp_path, 1)
    cfg.resume, cfg.load_from = True, f'{work_dir}/iter_4.pth'
    loader = cfg.train_dataloader
    loader.batch_size, loader.batch_sampler.quota = IMAGES // 2, DEFECTS // 2
    with pytest.raises(ValueError, match='they go on with over=8, quota=4 in'):
        train_alone(cfg)
    loader.batch_sampler.update(over=8, quota=4, num_batches=12)
    rest = train_alone(cfg).reshape(1, STEPS - 4, IMAGES)
    assert images_of_steps(rest) == images_of_steps(batches)[4:]


def groups_of(batches, seen=()):
    """Sorted images of each group of 16, after those of an interrupted run."""
    images = [*seen, *batches.swapaxes(0, 1).ravel().tolist()]
    return [sorted(images[i : i + 16]) for i in range(0, len(images), 16)]


def test_two_ranks_accumulate_the_groups_that_one_has_in_its_batches(
    synthetic, defect_ids, tmp_path
):
    alone = train_alone(over_config(synthetic, tmp_path, 1, batch_size=8))
    two = train_config(2, over_config(synthetic, tmp_path, 2, batch_size=1))
    assert two.shape == (2, 4 * STEPS, 1)
    assert groups_of(two) == groups_of(alone)
    assert {sum(i in defect_ids for i in group) for group in groups_of(two)} == {3}


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['epoch loop', 'iteration loop'])
def test_a_run_of_four_ranks_goes_on_in_the_middle_of_a_group(
    synthetic, defect_ids, tmp_path, loop
):
    options = {} if loop == 'epoch loop' else ITERATIONS
    for name in ('four', 'one', 'two'):
        (tmp_path / name).mkdir()
    cfg = over_config(synthetic, tmp_path / 'four', 4, batch_size=2, **options)
    cfg.default_hooks.checkpoint.interval = 3
    four = train_config(4, cfg)
    assert four.shape == (4, STEPS, 2)
    assert {sum(i in defect_ids for i in group) for group in groups_of(four)} == {3}
    checkpoint = str(tmp_path / 'four/iter_3.pth')
    seen = four[:, :3].swapaxes(0, 1).ravel().tolist()
    cfg = over_config(synthetic, tmp_path / 'one', 1, batch_size=8, **options)
    cfg.resume, cfg.load_from = True, checkpoint
    assert groups_of(train_alone(cfg), seen) == groups_of(four)
    cfg = over_config(synthetic, tmp_path / 'two', 2, batch_size=1, **options)
    cfg.resume = True
    (tmp_path / 'two/last_checkpoint').write_text(checkpoint)
    assert groups_of(train_config(2, cfg), seen) == groups_of(four)


def test_two_ranks_keep_the_quota_in_the_iteration_loop(
    synthetic, defect_ids, tmp_path
):
    check_quota(train(2, synthetic, tmp_path, **ITERATIONS), 2, defect_ids)


@pytest.mark.slow
@pytest.mark.parametrize('loop', ['epoch loop', 'iteration loop'])
def test_four_ranks_train_on_what_one_would_and_so_does_a_resumed_run(
    two_ranks, synthetic, defect_ids, tmp_path, loop
):
    options = {} if loop == 'epoch loop' else ITERATIONS
    batches = train(4, synthetic, tmp_path, **options)
    check_quota(batches, 4, defect_ids)
    assert images_of_steps(batches) == images_of_steps(two_ranks[0])
    (tmp_path / 'two').mkdir()
    options.update(resume=True)
    (tmp_path / 'two/last_checkpoint').write_text(f'{tmp_path}/iter_8.pth')
    rest = train(2, synthetic, tmp_path / 'two', **options)
    assert images_of_steps(rest) == images_of_steps(batches)[8:]


@pytest.fixture(scope='module')
def told(tmp_path_factory):
    """What two ranks that differ were told, by case: on rank 0, and on rank 1."""
    path = tmp_path_factory.mktemp('told') / 'rank'
    done = torchrun(2, ROOT / 'tests/samplers/sampler_ranks.py', path)
    assert done.returncode == 0, done.stdout[-3000:]
    ranks = [json.loads(path.with_name(f'rank{r}.json').read_text()) for r in (0, 1)]
    return {name: [rank[name] for rank in ranks] for name in ranks[0]}


DIFFER = {
    'images': 'images rank 0 100, rank 1 120',
    'pools': 'indices in the pools',
    'classes': "'dent': 0",
    'seed': 'seed: rank 0 7, rank 1 8',
    'no seed': 'seed: rank 0 7, rank 1 None',
    'quota': "images per group rank 0 [[0, {'defect': 4, 'normal': 12}]]",
    'batch size': "rank 1 [[0, {'defect': 4, 'normal': 10}]]",
    'drop_last': 'drop_last rank 0 True, rank 1 False',
    'num_batches': 'steps per epoch rank 0 7, rank 1 5',
    'infinite': 'infinite rank 0 False, rank 1 True',
    'over': "rank 1 [[0, {'defect': 2, 'normal': 6}]]",
    'replacement': "draws rank 0 {'defect': 'independent'",
    'weights': "rank 1 {'defect': 'weighted'",
}


@pytest.mark.parametrize('case', DIFFER)
def test_ranks_that_differ_are_told_at_once_what_differs(told, case):
    for error, text, seconds in told[case]:
        assert error == 'ValueError'
        assert DIFFER[case] in text
        assert seconds < 5


@pytest.mark.parametrize('case', sorted(CASES.keys() - DIFFER.keys()))
def test_a_rank_that_fails_does_not_leave_the_others_waiting(told, case):
    (error, text, seconds), (own_error, own_text, own_seconds) = told[case]
    assert error == 'RuntimeError'
    assert text == f'rank 1 failed. {own_error}: {own_text}'
    assert own_error in ('ValueError', 'TypeError')
    assert max(seconds, own_seconds) < 5


def test_ranks_without_a_seed_agree_on_one(told):
    (seed, batch, _), (other_seed, other_batch, _) = told['agreed seed']
    assert seed == other_seed
    assert batch != other_batch


def test_batches_that_are_built_anew_in_mid_training_go_on_on_every_rank(told):
    for (seed, *_), (drawn, batch, expected) in zip(
        told['agreed seed'], told['taken over']
    ):
        assert drawn != seed
        assert batch == expected


def test_a_day_of_batches_keeps_the_ranks_together_in_flat_memory():
    # 5 steps a second for 24 hours, in epochs of 864 steps on 2 ranks
    pools = dict(normal=np.arange(10_000), defect=np.arange(10_000, 10_300))
    ranks, epochs = 2, 500
    plan = Plan(pools, quota=3, batch_size=8, world_size=ranks, seed=1)
    assert len(plan) * epochs > 5 * 86_400
    tracemalloc.start()
    peaks = []
    for epoch in range(epochs):
        if epoch % 100 == 0:
            tracemalloc.reset_peak()
        times = np.zeros(10_300, int)
        for rank in range(ranks):
            steps = 0
            for stop, rows in plan.chunks(epoch, rank):
                steps += len(rows)
                assert stop == steps
                times += np.bincount(rows.ravel(), minlength=len(times))
                assert ((rows >= 10_000).sum(axis=1) == 3).all()
            assert steps == len(plan)
        assert times[:10_000].max() == 1
        assert times[:10_000].sum() == 5 * ranks * len(plan)
        if epoch % 100 == 99:
            peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert max(peaks) < 1.01 * peaks[0] + 100_000


def test_the_tool_says_how_to_start_it(tmp_path):
    alone = subprocess.run(
        [sys.executable, str(TOOL), 'no.py'], capture_output=True, text=True
    )
    assert alone.returncode == 2
    assert 'start it with `torchrun --nproc_per_node=2' in alone.stderr
