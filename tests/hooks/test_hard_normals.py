"""The hardest normal images are seen more, and a wrong label among them is found."""

from __future__ import annotations

import copy
import zlib

import mmyolo_like  # noqa: F401
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rank_processes import torchrun
from runner_configs import (
    ROOT,
    RecordBatches,
    load_onto_another_device,
    small_config,
)

from mmdefect import HardNormalHook
from mmdefect.hooks import hard_normals

LOOPS = {
    'epoch loop': {},
    'iteration loop': dict(
        train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=18)
    ),
    'infinite iteration loop': dict(
        train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=18),
        train_dataloader__batch_sampler__infinite=True,
    ),
}
# That of a batch sampler that ends restarts the workers, and sleeps, for every epoch.
LOOP_CASES = [
    'epoch loop',
    'infinite iteration loop',
    pytest.param('iteration loop', marks=pytest.mark.slow),
]
STEPS = 6  # of an epoch
STARTS = range(0, 6 * STEPS, STEPS)  # of six epochs


def hard_config(synthetic, work_dir, hook=None, **options):
    """Three short epochs, each of which ends with a choice, and no validation."""
    options = {'model__test_cfg__score_thr': 0.0, **options}
    cfg = small_config(synthetic, work_dir, **options)
    ready = Config.fromfile(str(ROOT / 'configs/defect_yolox.py'))
    for name in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[name] = copy.deepcopy(ready[name])
    cfg.val_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.val_dataloader.dataset.data_root = f'{synthetic}/'
    cfg.val_evaluator = dict(type='DefectImageMetric', num_bootstrap=0)
    if 'max_epochs' in cfg.train_cfg:
        cfg.train_cfg.max_epochs = 3
    cfg.train_cfg.val_begin = 1000
    hook = dict(type='HardNormalHook', **(hook or dict(size=4, sample=12)))
    cfg.custom_hooks = [dict(type='QuotaResumeHook'), hook]
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=3, save_best=None
    )
    return cfg


def train(cfg):
    runner = Runner.from_cfg(cfg)
    record = RecordBatches()
    runner.register_hook(record)
    runner.train()
    return runner, record.batches


def hook_of(runner):
    return next(hook for hook in runner.hooks if isinstance(hook, HardNormalHook))


def ids_of(runner, indices):
    dataset = runner.train_dataloader.dataset
    return {dataset.get_data_info(int(index))['img_id'] for index in indices}


def by_name(salt=lambda: 0):
    """Scores that depend on the image, and on what else is asked for."""

    def score(model, infos, *rest):
        codes = [zlib.crc32(f'{info["img_id"]} {salt()}'.encode()) for info in infos]
        return np.array(codes, np.float32) / 2**32

    return score


def log_of(work_dir):
    return [line for path in work_dir.glob('*/*.log') for line in path.open()]


def check_batches(runner, batches, defect_ids, images=1):
    """Each batch has its 3 defects, and from epoch 1 on its hard images."""
    hook = hook_of(runner)
    choices = dict(hook._chosen)
    assert sorted(choices) == [STEPS, 2 * STEPS]
    for step, batch in enumerate(batches):
        assert sum(image in defect_ids for image in batch) == 3
        if step >= STEPS:
            hard = ids_of(runner, choices[step // STEPS * STEPS])
            assert sum(image in hard for image in batch) >= images


@pytest.mark.parametrize('loop', LOOP_CASES)
def test_from_the_next_epoch_on_each_batch_has_its_share_of_the_hardest(
    synthetic, defect_ids, tmp_path, monkeypatch, loop
):
    monkeypatch.setattr(hard_normals, 'score_images', by_name())
    cfg = hard_config(synthetic, tmp_path, dict(size=4, images=2), **LOOPS[loop])
    runner, batches = train(cfg)
    assert len(batches) == 3 * STEPS
    check_batches(runner, batches, defect_ids, images=2)
    hook = hook_of(runner)
    infos = [hook._info(index) for index in hook._normal.tolist()]
    hardest = hook._normal[np.argsort(-by_name()(None, infos), kind='stable')[:4]]
    for _, chosen in hook._chosen:
        assert chosen.tolist() == sorted(hardest.tolist())


@pytest.mark.slow
def test_they_are_drawn_on_after_the_dataloader_is_built_anew(
    synthetic, defect_ids, tmp_path, monkeypatch
):
    scores = [by_name(lambda: 'one choice'), by_name(lambda: 'another')]
    monkeypatch.setattr(
        hard_normals, 'score_images', lambda *asked: scores.pop()(*asked)
    )
    cfg = hard_config(synthetic, tmp_path, dict(size=4, images=2))
    cfg.custom_hooks.append(dict(type='BuildsAnewHook', epoch=1))
    runner, batches = train(cfg)
    assert len(batches) == 3 * STEPS
    check_batches(runner, batches, defect_ids, images=2)


def test_the_log_and_the_checkpoint_name_the_images(synthetic, tmp_path, monkeypatch):
    monkeypatch.setattr(hard_normals, 'score_images', by_name())
    runner, _ = train(hard_config(synthetic, tmp_path, dict(size=4)))
    said = [
        line for line in log_of(tmp_path) if 'hard normal images from epoch' in line
    ]
    assert len(said) == 2
    state = torch.load(tmp_path / 'iter_15.pth', weights_only=False)['hard_normals']
    for line, (group, chosen) in zip(said, state['chosen']):
        assert f'from epoch {group // STEPS} on: 4 of 291 scored' in line
        names = {hook_of(runner)._name(index) for index in chosen}
        assert all(name in line for name in names)


@pytest.mark.parametrize('loop', LOOP_CASES)
def test_a_resumed_run_chooses_and_draws_the_same_images(
    synthetic, defect_ids, tmp_path, monkeypatch, loop
):
    # Others each time. What augmentation makes of them no checkpoint knows, and so the
    # model of a resumed run is another one.
    now = {}
    choose = HardNormalHook._choose

    def choose_at(hook, runner, epoch):
        now['epoch'] = epoch
        choose(hook, runner, epoch)

    monkeypatch.setattr(HardNormalHook, '_choose', choose_at)
    score = by_name(lambda: now['epoch'])
    monkeypatch.setattr(hard_normals, 'score_images', score)
    cfg = hard_config(synthetic, tmp_path, **LOOPS[loop])
    runner, whole = train(cfg)
    check_batches(runner, whole, defect_ids)
    chosen = [indices.tolist() for _, indices in hook_of(runner)._chosen]
    # At the end of the first epoch, before or after the choice, and in the second.
    for done in (6, 9):
        cfg.resume, cfg.load_from = True, str(tmp_path / f'iter_{done}.pth')
        again, batches = train(cfg)
        assert batches == whole[done:]
        assert [x.tolist() for _, x in hook_of(again)._chosen] == chosen


def test_a_run_that_was_interrupted_on_a_gpu_draws_the_same_images(
    synthetic, tmp_path, monkeypatch
):
    monkeypatch.setattr(hard_normals, 'score_images', by_name())
    cfg = hard_config(synthetic, tmp_path)
    _, whole = train(cfg)
    load_onto_another_device(monkeypatch)
    cfg.resume, cfg.load_from = True, str(tmp_path / 'iter_9.pth')
    assert train(cfg)[1] == whole[9:]


def test_the_scores_are_those_of_the_model_at_the_end_of_the_epoch(synthetic, tmp_path):
    class Score(Hook):
        priority = 'HIGHEST'  # before the hook itself

        def after_train_epoch(self, runner):
            hook = hook_of(runner)
            assert runner.model.training
            runner.model.eval()
            dataset = Runner.build_dataloader(runner.cfg.val_dataloader).dataset
            pipeline = dataset.pipeline
            pipeline.transforms = [
                t for t in pipeline.transforms if 'Annotations' not in type(t).__name__
            ]
            self.scores = {}
            for index in hook._candidates(runner.epoch + 1).tolist():
                item = pipeline(hook._info(index))
                data = dict(
                    inputs=[item['inputs']], data_samples=[item['data_samples']]
                )
                with torch.no_grad():
                    (one,) = runner.model.test_step(data)
                self.scores[index] = float(one.pred_instances.scores.max())
            runner.model.train()

    cfg = hard_config(synthetic, tmp_path)
    cfg.train_cfg.max_epochs = 2
    runner = Runner.from_cfg(cfg)
    score = Score()
    runner.register_hook(score, 'HIGHEST')

    class StillTrains(Hook):
        priority = 'LOWEST'

        def after_train_epoch(self, runner):
            assert runner.model.training

    runner.register_hook(StillTrains())
    first = {}

    class Keep(Hook):
        priority = 'LOWEST'

        def after_train_epoch(self, runner):
            first.setdefault('scores', dict(score.scores))

    runner.register_hook(Keep())
    runner.train()
    ((_, chosen),) = hook_of(runner)._chosen
    expected = sorted(first['scores'], key=lambda index: -first['scores'][index])[:4]
    assert sorted(expected) == chosen.tolist()


def test_an_image_that_stays_on_top_is_named_and_drawn_no_more(
    synthetic, tmp_path, monkeypatch
):
    monkeypatch.setattr(hard_normals, 'score_images', by_name())
    cfg = hard_config(synthetic, tmp_path, dict(size=4))
    cfg.train_cfg.max_epochs = 6
    runner, _ = train(cfg)
    hook = hook_of(runner)
    (named,) = [line for line in log_of(tmp_path) if 'nobody labelled' in line]
    (suspect,) = hook._suspects
    assert f'WARNING - {hook._name(suspect)} is among the hardest' in named
    first, second, third, *rest = [set(x.tolist()) for _, x in hook._chosen]
    assert first == second
    assert suspect in first - third
    assert len(third) == 4  # another one has come up
    assert all(suspect not in chosen for chosen in rest)


def test_without_a_single_box_training_goes_on_as_it_was(
    synthetic, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        hard_normals, 'score_images', lambda m, infos, *r: np.zeros(len(infos))
    )
    runner, batches = train(hard_config(synthetic, tmp_path, dict(size=4)))
    assert len(batches) == 3 * STEPS
    assert hook_of(runner)._chosen == []
    said = [line for line in log_of(tmp_path) if 'no normal image has a box' in line]
    assert len(said) == 2


def only(*surest):
    """Nothing is found, but on some images, by their place among those asked for."""

    def score(model, infos, *rest):
        ids = [info['img_id'] for info in infos]
        return np.array([float(one in surest) for one in ids], np.float32)

    return score


def test_a_suspect_that_alone_has_a_box_leaves_the_pool_and_never_fills_it(
    synthetic, tmp_path, monkeypatch
):
    cfg = hard_config(synthetic, tmp_path, dict(size=8))
    cfg.train_cfg.max_epochs = 6
    monkeypatch.setattr(hard_normals, 'score_images', by_name())
    probe, _ = train(hard_config(synthetic, tmp_path / 'probe', dict(size=8)))
    index = int(hook_of(probe)._normal[5])
    (wrong,) = ids_of(probe, [index])
    monkeypatch.setattr(hard_normals, 'score_images', only(wrong))
    runner, batches = train(cfg)
    hook = hook_of(runner)
    assert hook._suspects == [index]
    drawn = [sum(batch.count(wrong) for batch in batches[n:][:STEPS]) for n in STARTS]
    # One pass shows it once; of 6 places of the pool it takes one in 8 at chance.
    assert max(drawn) <= 4
    assert max(drawn[3:]) <= 1
    assert [len(chosen) for _, chosen in hook._chosen] == [8] * 3
    said = [line for line in log_of(tmp_path) if 'but suspects' in line]
    assert "the pool 'hard' goes on without the suspects" in said[0]
    assert any('3 times in a row' in line for line in log_of(tmp_path))


@pytest.mark.parametrize('sample', [1, 3])
def test_no_image_takes_every_place_however_few_are_scored(
    sample, synthetic, tmp_path, monkeypatch
):
    monkeypatch.setattr(hard_normals, 'score_images', by_name())
    cfg = hard_config(synthetic, tmp_path, dict(size=6, sample=sample))
    runner, _ = train(cfg)
    assert [len(chosen) for _, chosen in hook_of(runner)._chosen] == [6, 6]


def test_a_pool_whose_last_image_is_a_suspect_ends(synthetic, tmp_path, monkeypatch):
    cfg = hard_config(synthetic, tmp_path, dict(size=1))
    cfg.train_cfg.max_epochs = 5
    runner = Runner.from_cfg(cfg)
    record = RecordBatches()
    runner.register_hook(record)

    def score(model, infos, *rest):
        return (np.arange(len(infos)) == 0).astype(np.float32) * first.pop()

    first = [0.0, 0.9, 0.9, 0.9]
    monkeypatch.setattr(hard_normals, 'score_images', score)
    runner.train()
    assert [len(chosen) for _, chosen in hook_of(runner)._chosen] == [1, 1, 0]
    assert any("the pool 'hard' ends" in line for line in log_of(tmp_path))
    assert len(record.batches) == 5 * STEPS


def test_a_normal_image_that_cannot_be_read_does_not_end_training(
    synthetic, tmp_path, monkeypatch
):
    load = hard_normals.score_images

    def with_a_broken_one(model, infos, *rest):
        look_up = infos.info_of
        broken = int(infos.indices[3])

        def info_of(index):
            info = look_up(index)
            return dict(info, img_path='gone.png') if index == broken else info

        infos.info_of = info_of
        return load(model, infos, *rest)

    monkeypatch.setattr(hard_normals, 'score_images', with_a_broken_one)
    cfg = hard_config(synthetic, tmp_path)
    cfg.train_cfg.max_epochs = 2
    runner, _ = train(cfg)
    assert runner.iter == 2 * STEPS
    (said,) = [line for line in log_of(tmp_path) if 'cannot be read' in line]
    assert '1 normal images' in said
    assert len(hook_of(runner)._chosen) == 1


def test_two_ranks_choose_the_same_and_each_draws_its_share(
    synthetic, defect_ids, tmp_path
):
    done = torchrun(2, ROOT / 'tests/hooks/hard_ranks.py', synthetic, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    ranks = [torch.load(tmp_path / f'rank{rank}.pt') for rank in (0, 1)]
    assert ranks[0]['chosen'] == ranks[1]['chosen']
    assert len(ranks[0]['chosen']) == 2
    for one in ranks:
        for step, batch in enumerate(one['batches']):
            assert sum(image in defect_ids for image in batch) == 3
            hard = one['chosen'].get(step // STEPS)
            assert hard is None or any(image in hard for image in batch)
    assert ranks[0]['batches'] != ranks[1]['batches']


@pytest.mark.parametrize(
    ('options', 'error', 'said'),
    [
        (dict(interval=0), ValueError, 'interval=0: expected at least 1'),
        (dict(size=2.5), TypeError, 'size=2.5: expected an int'),
        (dict(images=True), TypeError, 'images=True: expected an int'),
        (dict(sample=0), ValueError, 'sample=0: expected at least 1'),
        (dict(pool=3), TypeError, 'pool=3: expected a name'),
    ],
)
def test_a_wrong_argument_is_refused_with_the_line_to_change(options, error, said):
    with pytest.raises(error, match=said) as caught:
        HardNormalHook(**options)
    assert 'HardNormalHook' in str(caught.value)


@pytest.mark.parametrize(
    ('hook', 'said'),
    [
        (dict(pool='scratch'), "the pool 'scratch' is there already"),
        (dict(images=5), 'takes 8 of a batch of 8: expected at most 7'),
    ],
)
def test_what_does_not_fit_is_refused_before_an_epoch_is_trained(
    synthetic, tmp_path, hook, said
):
    runner = Runner.from_cfg(hard_config(synthetic, tmp_path, hook))
    with pytest.raises(ValueError, match='HardNormalHook') as caught:
        runner.train()
    assert said in str(caught.value)
    assert runner.iter == 0


def test_without_validation_it_says_what_it_lacks(synthetic, tmp_path):
    cfg = hard_config(synthetic, tmp_path)
    for name in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[name] = None
    with pytest.raises(ValueError, match='has no val_dataloader'):
        Runner.from_cfg(cfg).train()
