"""The quota that the model gets is watched, and scheduled, in a real Runner."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import torch
from mmdet.registry import TRANSFORMS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rank_processes import torchrun
from runner_configs import (
    ROOT,
    RecordBatches,
    add_mosaic,
    load_onto_another_device,
    small_config,
)

from mmdefect import (
    DefectPoolSampler,
    QuotaBatchSampler,
    QuotaMonitorHook,
    QuotaScheduleHook,
)
from mmdefect.samplers.draws import MANY_DRAWS

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True)]
SMALL = [dict(type='Resize', scale=(64, 64), keep_ratio=True)]
CROP = [dict(type='RandomCrop', crop_size=(24, 24), allow_negative_crop=True)]
FULL_SIZE = [dict(type='Resize', scale=(64, 64), keep_ratio=False)]
PACK = [dict(type='PackDetInputs')]
ITERATIONS = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=12)
MONITOR = dict(type='QuotaMonitorHook')


def tiny_config(synthetic, work_dir, hooks, steps=(), **options):
    """A real YOLOX on 64 x 64 pixels: 6 iterations an epoch, 2 epochs."""
    cfg = small_config(synthetic, work_dir, **options)
    cfg.model.data_preprocessor.batch_augments = None
    cfg.optim_wrapper.paramwise_cfg = None
    cfg.default_hooks.checkpoint = None
    cfg.custom_hooks = list(hooks)
    leaf = cfg.train_dataloader.dataset
    while 'dataset' in leaf:
        leaf = leaf.dataset
    leaf.pipeline = [*LOAD, *SMALL, *steps, *PACK]
    cfg.train_dataloader.dataset = leaf
    return cfg


def train(cfg, *hooks):
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def log_of(runner):
    (path,) = Path(runner.log_dir).glob('*.log')
    return path.read_text()


def lines_of(text):
    """The lines of the text log that tell of an iteration."""
    pattern = re.compile(r'(Epoch|Iter)\(train\)')
    return [line for line in text.splitlines() if pattern.search(line)]


def logged(log_dir, name):
    """The values of one figure, as the training logged them."""
    lines = Path(log_dir, 'vis_data/scalars.json').read_text().splitlines()
    return [round(json.loads(line)[f'quota/{name}'], 4) for line in lines]


class RecordShown(Hook):
    """Keeps of each batch the ids of the images that hold a box of at least a pixel."""

    def __init__(self):
        self.batches = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        batch = []
        for sample in data_batch['data_samples']:
            boxes = sample.gt_instances.bboxes
            if ((boxes.widths >= 1) & (boxes.heights >= 1)).any():
                batch.append(sample.img_id)
        self.batches.append(batch)


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
def test_the_log_shows_what_the_model_got(synthetic, defect_ids, tmp_path, loop):
    cfg = tiny_config(synthetic, tmp_path, [MONITOR], CROP + FULL_SIZE)
    cfg.default_hooks.logger.interval = 3
    if loop == 'iterations':
        cfg.train_cfg = {k: v for k, v in ITERATIONS.items() if k != '_delete_'}
        cfg.train_dataloader.batch_sampler.infinite = True
        cfg.log_processor = dict(by_epoch=False)
    shown = RecordShown()
    runner = train(cfg, shown)
    intervals = [shown.batches[start : start + 3] for start in range(0, 12, 3)]
    counts = [[len(batch) for batch in interval] for interval in intervals]
    assert sum(map(sum, counts)) < 3 * 12
    assert logged(runner.log_dir, 'delivered') == [round(sum(c) / 3, 4) for c in counts]
    assert logged(runner.log_dir, 'min') == [min(c) for c in counts]
    seen = [
        {i for batch in shown.batches[:stop] for i in batch} for stop in (3, 6, 9, 12)
    ]
    shares = [round(len(s) / len(defect_ids), 4) for s in seen]
    assert logged(runner.log_dir, 'seen') == shares


def test_a_line_of_the_text_log_has_two_figures_of_the_quota(synthetic, tmp_path):
    runner = train(tiny_config(synthetic, tmp_path, [MONITOR]))
    text = log_of(runner)
    for line in lines_of(text):
        assert line.endswith('quota/delivered: 3.0000  quota/min: 3')
        assert 'loss_cls' in line
        assert line.count('quota/') == 2
    # Hundreds of lines tell of the weights between the two.
    said = r'291 normal \+ 9 defect images .* each batch of 8 = 5 normal \+ 3 defect'
    assert len(re.findall(said, text)) == 2
    assert re.search(rf'{said}.*\n(.*\n){{,3}}.*Epoch\(train\)', text)


def test_each_class_has_a_figure_of_its_own(synthetic, tmp_path):
    """Whatever its name: MMEngine smooths what has `loss` or `time` in it."""
    path = tmp_path / 'renamed.json'
    text = (synthetic / 'annotations/train.json').read_text()
    path.write_text(text.replace('"pit"', '"gloss"'))
    coco = json.loads(path.read_text())
    names = {category['id']: category['name'] for category in coco['categories']}
    shown = {}
    for annotation in coco['annotations']:
        name = names[annotation['category_id']]
        shown.setdefault(annotation['image_id'], set()).add(name)
    cfg = tiny_config(synthetic, tmp_path, [MONITOR])
    cfg.train_dataloader.dataset.ann_file = str(path)
    cfg.train_dataloader.dataset.metainfo = dict(classes=('scratch', 'gloss', 'dent'))
    record = RecordBatches()
    runner = train(cfg, record)
    for name in ('scratch', 'gloss', 'dent'):
        counts = [
            sum(name in shown.get(image, ()) for image in batch)
            for batch in record.batches
        ]
        assert len(set(counts)) > 1
        assert logged(runner.log_dir, name) == counts


def test_defects_that_only_a_later_part_of_the_dataset_knows_count(
    synthetic, two_parts, tmp_path
):
    cfg = many_draws(synthetic, tmp_path, [])
    leaf = cfg.train_dataloader.dataset
    parts = [dict(leaf, **part) for part in two_parts]
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
    runner = train(cfg)
    assert logged(runner.log_dir, 'delivered') == [15] * 7
    assert logged(runner.log_dir, 'added') == [0] * 7
    assert sum(logged(runner.log_dir, 'pit')) > 0
    assert sum(logged(runner.log_dir, 'dent')) > 0
    assert warnings_of(log_of(runner)) == []


@TRANSFORMS.register_module(force=True)
class LosesPits:
    """A user's transform, which loses the instances of one class."""

    def __call__(self, results):
        kept = results['gt_bboxes_labels'] != 1
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
            results[key] = results[key][kept]
        return results


def test_an_image_that_lost_the_class_of_the_quota_is_not_delivered(
    synthetic, tmp_path
):
    """Whatever else it shows; with a plain quota it is one that shows a defect."""
    path = tmp_path / 'both.json'
    content = json.loads((synthetic / 'annotations/train.json').read_text())
    (pit,) = (c['id'] for c in content['categories'] if c['name'] == 'pit')
    (dent,) = (c['id'] for c in content['categories'] if c['name'] == 'dent')
    for annotation in [a for a in content['annotations'] if a['category_id'] == pit]:
        number = 1000 + len(content['annotations'])
        content['annotations'].append({**annotation, 'id': number, 'category_id': dent})
    path.write_text(json.dumps(content))
    for quota, milestone, delivered in (
        (dict(pit=3), dict(dent=3), [0] * 6 + [3] * 6),
        (dict(dent=1, pit=2), 3, [3] * 12),
    ):
        schedule = dict(type='QuotaScheduleHook', milestones=[(1, milestone)])
        work_dir = tmp_path / str(delivered[0])
        cfg = tiny_config(
            synthetic, work_dir, [MONITOR, schedule], [dict(type='LosesPits')]
        )
        cfg.train_dataloader.dataset.ann_file = str(path)
        cfg.train_dataloader.batch_sampler.quota = quota
        assert logged(train(cfg).log_dir, 'delivered') == delivered


def test_defects_of_other_images_do_not_hide_a_loss(synthetic, defect_ids, tmp_path):
    cfg = small_config(synthetic, tmp_path, custom_hooks=[MONITOR])
    add_mosaic(cfg)
    shown = RecordShown()
    log_dir = train(cfg, shown).log_dir
    drawn = [[i in defect_ids for i in batch] for batch in shown.batches]
    assert logged(log_dir, 'delivered') == [sum(d) for d in drawn]
    assert logged(log_dir, 'added') == [len(d) - sum(d) for d in drawn]
    assert sum(logged(log_dir, 'added')) > 0


def test_images_in_other_forms_are_counted_apart_from_delivered_ones(
    synthetic, tmp_path
):
    later = dict(defect=2, counterexample=2)
    schedule = dict(type='QuotaScheduleHook', milestones=[(1, later)])
    cfg = tiny_config(synthetic, tmp_path, [MONITOR, schedule], CROP + FULL_SIZE)
    leaf = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='DefectPreservingDataset', dataset=leaf)
    cfg.train_dataloader.batch_sampler.quota = dict(defect=1, pasted=dict(pit=2))
    shown = RecordShown()
    log_dir = train(cfg, shown).log_dir
    assert logged(log_dir, 'pasted') == [2] * 6 + [0] * 6
    assert logged(log_dir, 'counterexample') == [0] * 6 + [2] * 6
    assert logged(log_dir, 'delivered') == [1] * 6 + [2] * 6
    assert logged(log_dir, 'added') == [0] * 12
    assert [len(batch) for batch in shown.batches] == [3] * 6 + [2] * 6


def test_tensorboard_shows_the_same_figures_as_scalars_json(synthetic, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    cfg = tiny_config(synthetic, tmp_path, [MONITOR], CROP + FULL_SIZE)
    backends = [dict(type=f'{name}VisBackend') for name in ('Tensorboard', 'Local')]
    cfg.visualizer = dict(type='Visualizer', vis_backends=backends)
    runner = train(cfg)
    events = EventAccumulator(f'{runner.log_dir}/vis_data').Reload()
    for name in ('delivered', 'min', 'seen', 'added', 'scratch', 'pit', 'dent'):
        written = events.Scalars(f'quota/{name}')
        assert [event.step for event in written] == list(range(1, 13))
        values = [round(event.value, 4) for event in written]
        assert values == logged(runner.log_dir, name)


def many_draws(synthetic, work_dir, steps, quota=15):
    """A run with 105 or more defect images in an epoch."""
    return tiny_config(
        synthetic,
        work_dir,
        [MONITOR],
        steps,
        train_dataloader__batch_size=16,
        train_dataloader__batch_sampler__quota=quota,
        train_dataloader__batch_sampler__num_batches=105 // quota,
        train_cfg__max_epochs=1,
    )


def test_what_breaks_the_quota_is_told_when_the_sampler_is_built(synthetic, tmp_path):
    for steps, told in (([], 0), (CROP + FULL_SIZE, 1)):
        cfg = tiny_config(synthetic, tmp_path / str(told), [], steps)
        text = log_of(train(cfg, Stop()))
        assert text.count('no DefectPreservingDataset around RandomCrop') == told


def test_what_breaks_the_quota_later_is_told_at_the_start(synthetic, tmp_path):
    """The sampler sees the dataset as it is now, and neither hooks nor the loop."""
    switch = dict(type='PipelineSwitchHook', switch_epoch=1)
    refusing = [dict(CROP[0], allow_negative_crop=False)]
    for steps, told in (([], 0), (refusing, 1)):
        pipeline = [*LOAD, *SMALL, *steps, *PACK]
        hooks = [MONITOR, dict(switch, switch_pipeline=pipeline)]
        text = log_of(
            train(tiny_config(synthetic, tmp_path / str(told), hooks), Stop())
        )
        where = 'custom_hooks[1].switch_pipeline[3].allow_negative_crop'
        assert text.count(f'WARNING - {where}') == told


def warnings_of(text):
    return [line for line in text.splitlines() if 'reached the model without' in line]


def test_a_lost_quota_is_warned_of_once_and_the_transform_named(synthetic, tmp_path):
    cfg = many_draws(synthetic, tmp_path, CROP + FULL_SIZE)
    cfg.train_cfg.max_epochs = 2
    (warning,) = warnings_of(log_of(train(cfg)))
    assert 'RandomCrop (train_dataloader.dataset.pipeline[3])' in warning
    assert "type='DefectPreservingDataset'" in warning
    assert 'WARNING' in warning
    assert '`mmdefect check CONFIG` tells more' in warning


def test_normal_images_replaced_by_defects_are_warned_of(synthetic, tmp_path):
    crop = [dict(CROP[0], allow_negative_crop=False)]
    cfg = many_draws(synthetic, tmp_path, crop + FULL_SIZE, quota=13)
    (warning,) = warnings_of(log_of(train(cfg)))
    # 3 normal images in each of 8 batches, but for those cut to less than a pixel
    assert 16 <= int(re.search(r'and (\d+) came in place of others', warning)[1]) <= 24
    assert 'allow_negative_crop=True' in warning


def test_a_kept_quota_is_not_warned_of(synthetic, tmp_path):
    assert warnings_of(log_of(train(many_draws(synthetic, tmp_path, [])))) == []


def test_a_loss_below_the_tolerance_is_not_warned_of(synthetic, tmp_path):
    cfg = many_draws(synthetic, tmp_path, CROP + FULL_SIZE)
    cfg.custom_hooks = [dict(MONITOR, tolerance=0.999)]
    assert warnings_of(log_of(train(cfg))) == []


class Stop(Hook):
    """Ends training before its first iteration."""

    priority = 'LOWEST'

    def before_train(self, runner):
        runner.train_loop.stop_training = True


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
def test_a_quota_that_shows_an_image_too_often_is_told_at_the_start(
    synthetic, defect_ids, tmp_path, loop
):
    # 3 defect images in each of 6 iterations an epoch
    epochs = MANY_DRAWS * len(defect_ids) // (3 * 6)
    for extra, told in ((0, False), (1, True)):
        cfg = tiny_config(synthetic, tmp_path / str(extra), [MONITOR])
        if loop == 'epochs':
            cfg.train_cfg.max_epochs = epochs + extra
        else:
            cfg.train_cfg = dict(
                type='IterBasedTrainLoop', max_iters=6 * (epochs + extra)
            )
        text = log_of(train(cfg, Stop()))
        assert ('learned by heart' in text) is told
        longest = f'max_epochs={epochs}'
        if loop == 'iterations':
            longest = f'max_iters={MANY_DRAWS * len(defect_ids) // 3}'
        assert (f'Train shorter (train_cfg.{longest})' in text) is told


def test_without_a_quota_no_smaller_one_is_advised(synthetic, tmp_path):
    cfg = tiny_config(synthetic, tmp_path, [MONITOR])
    cfg.train_dataloader.batch_sampler.quota = None
    # 8 of 300 images in each of 6 iterations an epoch
    cfg.train_cfg.max_epochs = MANY_DRAWS * 300 // (8 * 6) + 1
    text = log_of(train(cfg, Stop()))
    assert 'learned by heart' in text
    assert 'smaller quota' not in text


def test_a_schedule_that_ends_the_quota_ends_that_warning(synthetic, tmp_path):
    schedule = dict(type='QuotaScheduleHook', milestones=[(0, 3), (20, None)])
    cfg = tiny_config(synthetic, tmp_path, [MONITOR, schedule])
    cfg.train_cfg.max_epochs = 1000
    # Without a quota 8 * 6 * 980 / 300 = 157 draws, with it 3 * 6 * 20 / 9 = 40 more.
    assert 'learned by heart' not in log_of(train(cfg, Stop()))


def test_images_seen_before_an_interruption_stay_seen(synthetic, tmp_path):
    hooks = [MONITOR, dict(type='QuotaResumeHook')]
    cfg = tiny_config(synthetic, tmp_path, hooks)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    whole = logged(train(cfg).log_dir, 'seen')
    assert whole[0] < whole[5]
    cfg.resume, cfg.load_from = True, str(tmp_path / 'epoch_1.pth')
    assert logged(train(cfg).log_dir, 'seen') == whole[6:]


def test_a_run_that_was_interrupted_on_a_gpu_goes_on(synthetic, tmp_path, monkeypatch):
    schedule = dict(type='QuotaScheduleHook', milestones=[(0, 3), (1, 2)])
    hooks = [MONITOR, schedule, dict(type='QuotaResumeHook')]
    cfg = tiny_config(synthetic, tmp_path, hooks)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    whole = logged(train(cfg).log_dir, 'seen')
    cfg.resume, cfg.load_from = True, str(tmp_path / 'epoch_1.pth')
    load_onto_another_device(monkeypatch)
    assert logged(train(cfg).log_dir, 'seen') == whole[6:]


def test_watching_costs_less_than_a_hundredth_of_an_iteration(synthetic, tmp_path):
    spent = []

    class Timed(QuotaMonitorHook):
        def after_train_iter(self, *args, **kwargs):
            start = time.thread_time()
            super().after_train_iter(*args, **kwargs)
            spent.append(time.thread_time() - start)

    cfg = small_config(
        synthetic, tmp_path, custom_hooks=[], default_hooks__logger__interval=3
    )
    clock = []

    class Clock(Hook):
        def after_train_iter(self, *args, **kwargs):
            clock.append(time.thread_time())

    train(cfg, Timed(), Clock())
    # The first iteration warms up, and reads the names of the defect images.
    assert sum(spent[1:]) < 0.01 * (clock[-1] - clock[0])


def test_all_ranks_are_counted(synthetic, defect_ids, tmp_path):
    script = ROOT / 'tests/hooks/monitor_ranks.py'
    done = torchrun(2, script, synthetic, tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    (log,) = tmp_path.glob('*/*.log')
    shown = [torch.load(tmp_path / f'shown{rank}.pt') for rank in (0, 1)]
    assert shown[0] != shown[1]
    counts = [len(a) + len(b) for a, b in zip(*shown)]
    assert logged(log.parent, 'delivered') == [
        round(sum(counts[start : start + 3]) / 6, 4) for start in range(0, 12, 3)
    ]
    assert logged(log.parent, 'min') == [
        min(len(batch) for rank in shown for batch in rank[start : start + 3])
        for start in range(0, 12, 3)
    ]
    seen = {image for rank in shown for batch in rank for image in batch}
    assert logged(log.parent, 'seen')[-1] == round(len(seen) / len(defect_ids), 4)


SCHEDULE = [(0, 3), (2, 5), (7, 1), (9, None)]


def defects_per_batch(batches, defect_ids):
    return [sum(image in defect_ids for image in batch) for batch in batches]


@pytest.mark.parametrize(('workers', 'infinite'), [(0, False), (0, True), (2, True)])
def test_the_model_gets_the_quota_of_each_iteration(
    synthetic, defect_ids, tmp_path, workers, infinite
):
    """Also of the iterations that were prefetched before the hook could speak."""
    cfg = tiny_config(
        synthetic,
        tmp_path,
        [dict(type='QuotaScheduleHook', milestones=SCHEDULE, by_epoch=False), MONITOR],
        train_cfg=ITERATIONS,
        train_dataloader__num_workers=workers,
        train_dataloader__persistent_workers=workers > 0,
        train_dataloader__batch_sampler__infinite=infinite,
    )
    record = RecordBatches()
    train(cfg, record)
    counts = defects_per_batch(record.batches, defect_ids)
    assert counts[:9] == [3] * 2 + [5] * 5 + [1] * 2
    assert {len(batch) for batch in record.batches} == {8}
    normal = [i for batch in record.batches[:9] for i in batch if i not in defect_ids]
    assert len(set(normal)) == len(normal)


@pytest.mark.parametrize('workers', [0, 2])
def test_the_model_gets_the_quota_of_each_epoch(
    synthetic, defect_ids, tmp_path, workers
):
    cfg = tiny_config(
        synthetic,
        tmp_path,
        [dict(type='QuotaScheduleHook', milestones=[(0, 3), (1, 6), (2, 0)])],
        train_cfg__max_epochs=3,
        train_dataloader__num_workers=workers,
        train_dataloader__persistent_workers=workers > 0,
    )
    record = RecordBatches()
    text = log_of(train(cfg, record))
    counts = defects_per_batch(record.batches, defect_ids)
    assert counts == [3] * 6 + [6] * 6 + [0] * 6
    assert 'quota 3 to begin with, quota 6 from epoch 1, quota 0 from epoch 2' in text


def test_a_schedule_leaves_the_length_of_an_epoch_as_it_is(synthetic, tmp_path):
    cfg = tiny_config(
        synthetic,
        tmp_path,
        [dict(type='QuotaScheduleHook', milestones=[(1, 6), (2, None)])],
    )
    cfg.train_dataloader.batch_sampler.num_batches = None
    runner = train(cfg, Stop())
    sampler = runner.train_dataloader.batch_sampler
    for epoch in range(4):
        sampler.sampler.set_epoch(epoch)
        assert len(list(sampler)) == len(sampler) == len(runner.train_dataloader) == 58


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
def test_a_resumed_run_follows_the_schedule(synthetic, tmp_path, loop):
    by_epoch = loop == 'epochs'
    milestones = [(1, 5)] if by_epoch else SCHEDULE
    hooks = [
        dict(type='QuotaScheduleHook', milestones=milestones, by_epoch=by_epoch),
        dict(type='QuotaResumeHook'),
    ]
    options = {} if by_epoch else dict(train_cfg=ITERATIONS)
    cfg = tiny_config(synthetic, tmp_path, hooks, **options)
    cfg.train_dataloader.batch_sampler.infinite = not by_epoch
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=1, save_best=None
    )
    whole = RecordBatches()
    train(cfg, whole)
    for done in (1, 8):
        cfg.resume, cfg.load_from = True, str(tmp_path / f'iter_{done}.pth')
        rest = RecordBatches()
        train(cfg, rest)
        assert rest.batches == whole.batches[done:]


def test_a_milestone_after_the_end_is_told(synthetic, tmp_path):
    schedule = dict(type='QuotaScheduleHook', milestones=[(0, 3), (2, 1)])
    cfg = tiny_config(synthetic, tmp_path, [schedule])
    text = log_of(train(cfg, Stop()))
    assert 'at epoch 2 are never reached: training ends after 2' in text


def test_a_milestone_in_an_epoch_that_is_not_finished_is_reached(synthetic, tmp_path):
    schedule = dict(type='QuotaScheduleHook', milestones=[(2, 5)])
    loop = dict(type='IterBasedTrainLoop', max_iters=2 * 6 + 3)
    cfg = tiny_config(synthetic, tmp_path, [schedule, MONITOR])
    cfg.train_cfg = loop
    runner = train(cfg)
    assert logged(runner.log_dir, 'delivered') == [3] * 12 + [5] * 3
    assert 'never reached' not in log_of(runner)


@pytest.mark.parametrize(
    ('milestones', 'error', 'said'),
    [
        ([], ValueError, 'at least one'),
        ([(10, 2), (0, 3)], ValueError, 'each above the one before'),
        ([(0, 3), (5, 2), (5, 1)], ValueError, 'each above the one before'),
        ([(-1, 3)], ValueError, 'not below 0'),
        ([(0.5, 3)], TypeError, 'milestones=0.5: expected an int'),
        ([(True, 3)], TypeError, 'milestones=True: expected an int'),
        ([3, 2], TypeError, 'a list of pairs'),
        ({0: 3}, TypeError, 'a list of pairs'),
        ('0,3', TypeError, 'a list of pairs'),
        (None, TypeError, 'a list of pairs'),
    ],
)
def test_a_wrong_schedule_is_refused_when_the_hook_is_built(milestones, error, said):
    with pytest.raises(error, match=said) as caught:
        QuotaScheduleHook(milestones)
    assert 'custom_hooks' in str(caught.value)


@pytest.mark.parametrize(
    ('milestones', 'error', 'said'),
    [
        ([(1, 8)], ValueError, 'quota=8 takes 8 of a batch of 8'),
        ([(1, -1)], ValueError, 'quota=-1: expected 0 or more'),
        ([(1, dict(crack=2))], ValueError, "names the pool 'crack'"),
        ([(1, 0.3)], ValueError, 'expected a whole number'),
        ([(1, '3')], TypeError, 'expected an int'),
        ([(0, 4), (1, 2)], ValueError, 'the entry at 0 is 4'),
    ],
)
def test_a_quota_that_does_not_fit_is_refused_before_training(
    synthetic, tmp_path, milestones, error, said
):
    schedule = dict(type='QuotaScheduleHook', milestones=milestones)
    cfg = tiny_config(synthetic, tmp_path, [schedule])
    with pytest.raises(error, match=said) as caught:
        train(cfg)
    assert 'milestones=' in str(caught.value)


def test_the_entry_at_the_start_may_be_written_as_a_share(synthetic, tmp_path):
    schedule = dict(type='QuotaScheduleHook', milestones=[(0, 0.375), (1, 2)])
    train(tiny_config(synthetic, tmp_path, [schedule]), Stop())


def test_a_milestone_inside_a_group_waits_for_the_next_and_says_so(
    synthetic, defect_ids, tmp_path
):
    milestones = [(0, 3), (5, 1), (12, None)]
    schedule = dict(type='QuotaScheduleHook', milestones=milestones, by_epoch=False)
    cfg = tiny_config(synthetic, tmp_path, [schedule], train_cfg=ITERATIONS)
    cfg.train_dataloader.batch_size = 2
    cfg.train_dataloader.batch_sampler.update(over=8, num_batches=12)
    record = RecordBatches()
    text = log_of(train(cfg, record))
    shown = defects_per_batch(record.batches, defect_ids)
    assert [sum(shown[start : start + 4]) for start in (0, 4, 8)] == [3, 3, 1]
    assert (
        'quota 3 to begin with, quota 1 from iteration 8 (5 is inside a group of 8 '
        'images), no quota from iteration 12'
    ) in text


def test_a_quota_over_several_batches_is_counted_over_them(
    synthetic, defect_ids, tmp_path
):
    cfg = tiny_config(synthetic, tmp_path, [MONITOR])
    cfg.train_dataloader.batch_size = 2
    cfg.train_dataloader.batch_sampler.update(over=8, num_batches=8)
    cfg.default_hooks.logger.interval = 3
    record = RecordBatches()
    text = log_of(train(cfg, record))
    counts = defects_per_batch(record.batches, defect_ids)
    groups = [sum(counts[start : start + 4]) for start in range(0, 16, 4)]
    assert groups == [3] * 4
    lines = lines_of(text)
    found = [re.search(r'quota/delivered: ([\d.]+)', line) for line in lines]
    # of groups that have ended, none of them by the third iteration
    assert [match and float(match[1]) for match in found] == [None, 3, 3, 3]
    assert all(line.endswith('quota/min: 3') for line in lines[1:])
    assert 'optimizer step of 2 images (batch_size=2) holds 0.75 for the quota' in text
    assert 'Write there: accumulative_counts=4' in text


def test_two_milestones_inside_a_group_are_refused(few_defects):
    sampler = DefectPoolSampler(few_defects, seed=0)
    batch_sampler = QuotaBatchSampler(sampler, 2, 3, over=8)
    hook = QuotaScheduleHook([(5, 1), (7, 2)], by_epoch=False)
    with pytest.raises(ValueError, match=r'\(8, 1\), \(8, 2\)\]: expected steps that'):
        hook.apply(batch_sampler)


def weigh_alike(info):
    return 1


def test_a_schedule_says_where_weights_no_longer_count(synthetic, tmp_path):
    schedule = dict(type='QuotaScheduleHook', milestones=[(0, 3), (1, None)])
    cfg = tiny_config(synthetic, tmp_path, [schedule])
    cfg.train_dataloader.sampler.weights = f'{__name__}.weigh_alike'
    text = log_of(train(cfg, Stop()))
    assert 'quota 3 to begin with, no quota and no weights from epoch 1' in text


@pytest.mark.parametrize(
    'hook', [MONITOR, dict(type='QuotaScheduleHook', milestones=[(1, 2)])]
)
@pytest.mark.parametrize('inherited', [None, dict(type='AspectRatioBatchSampler')])
def test_a_hook_without_a_quota_to_look_at_is_refused(
    synthetic, tmp_path, hook, inherited
):
    cfg = tiny_config(synthetic, tmp_path, [hook])
    cfg.train_dataloader.batch_sampler = inherited
    with pytest.raises(TypeError) as caught:
        train(cfg)
    for words in (hook['type'], "batch_sampler=dict(type='QuotaBatchSampler'"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ('tolerance', 'error'),
    [(-0.1, ValueError), (1.1, ValueError), ('5 %', TypeError), (True, TypeError)],
)
def test_a_wrong_tolerance_is_refused(tolerance, error):
    with pytest.raises(error, match='set custom_hooks: QuotaMonitorHook'):
        QuotaMonitorHook(tolerance=tolerance)
