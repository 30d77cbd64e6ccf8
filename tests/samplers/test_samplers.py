"""The two classes that a config names, in the loaders that users have."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from itertools import chain, islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import ConfigDict
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdefect import DefectPoolSampler, QuotaBatchSampler

SAMPLER = 'train_dataloader.sampler'
BATCH_SAMPLER = 'train_dataloader.batch_sampler'


def make(dataset, quota=2, batch_size=6, rank=0, world_size=1, seed=3, **options):
    """A batch sampler as a config builds it, on any rank."""
    own = ('defect_classes', 'replacement', 'pools', 'weights')
    pools = {name: options.pop(name) for name in own if name in options}
    sampler = DefectPoolSampler(dataset, seed=seed, **pools)
    sampler.rank, sampler.world_size = rank, world_size
    return QuotaBatchSampler(sampler, batch_size, quota, **options)


def epochs(batch_sampler, numbers):
    """The batches of each epoch, as a training loop asks for them."""
    for number in numbers:
        batch_sampler.sampler.set_epoch(number)
        yield list(batch_sampler)


def defects(dataset, batch):
    return sum(bool(dataset.images[index]) for index in batch)


settings = st.fixed_dictionaries(
    dict(
        quota=st.sampled_from(
            [0, 1, 3, 1 / 3, None, dict(crack=1, dent=2), dict(defect=1, hard=1)]
        ),
        drop_last=st.booleans(),
        num_batches=st.sampled_from([None, 1, 7, 30]),
        replacement=st.booleans(),
        world_size=st.sampled_from([1, 3]),
        seed=st.integers(0, 2**64 - 1),
        pools=st.just(dict(hard=[1, 2, 3])),
    )
)


# --- what an epoch is --------------------------------------------------------


@given(options=settings, epoch=st.integers(0, 50))
def test_an_epoch_yields_as_many_full_batches_as_len_says(few_defects, options, epoch):
    for rank in range(options['world_size']):
        batch_sampler = make(few_defects, rank=rank, **options)
        (batches,) = epochs(batch_sampler, [epoch])
        assert len(batches) == len(batch_sampler)
        for batch in batches:
            assert type(batch) is list
            assert [type(index) for index in batch] == [int] * 6


def test_every_batch_shows_its_quota_of_defects(few_defects):
    for quota in (0, 1, 5, 0.5, dict(crack=2, dent=1)):
        number = sum(quota.values()) if isinstance(quota, dict) else quota
        number = int(number * 6) if number == 0.5 else number
        for batch in chain(*epochs(make(few_defects, quota), range(3))):
            assert defects(few_defects, batch) == number


def test_the_quota_of_each_class_and_list_is_met(few_defects):
    quota = dict(crack=1, dent=2, hard=1)
    batch_sampler = make(few_defects, quota, pools=dict(hard=[5, 6]))
    for batch in chain(*epochs(batch_sampler, range(3))):
        assert sum(0 in few_defects.images[index] for index in batch) >= 1
        assert sum(1 in few_defects.images[index] for index in batch) >= 2
        assert sum(index in (5, 6) for index in batch) == 1
        assert defects(few_defects, batch) == 3


def test_an_epoch_shows_each_normal_image_once_over_all_ranks(few_defects):
    ranks = [make(few_defects, 1, rank=rank, world_size=4) for rank in range(4)]
    for batches in zip(*(epochs(rank, range(3)) for rank in ranks)):
        seen = [i for i in chain(*chain(*batches)) if not few_defects.images[i]]
        assert len(seen) == len(set(seen)) == 40


def test_classes_that_are_no_defects_count_as_normal(few_defects):
    batch_sampler = make(few_defects, defect_classes=['dent'])
    assert batch_sampler.sampler.defect_classes == ('dent',)
    assert batch_sampler.sampler.pools['defect'].tolist() == [0, 17, 34, 51]
    assert 13 in batch_sampler.sampler.pools['normal']
    with pytest.raises(ValueError, match="'crack'"):
        make(few_defects, dict(crack=1), defect_classes=['dent'])


def test_epochs_differ_and_can_be_repeated(few_defects):
    first = list(epochs(make(few_defects), range(5)))
    assert first == list(epochs(make(few_defects), range(5)))
    assert [make(few_defects, seed=4).plan.batches(0, 0, 0, 1)[0].tolist()] != first[0]
    assert len({str(batches) for batches in first}) == 5
    batch_sampler = make(few_defects)
    assert list(batch_sampler) == list(batch_sampler) == first[0], 'without set_epoch'


def test_two_iterations_at_once_do_not_disturb_each_other(few_defects):
    batch_sampler = make(few_defects)
    one, other = iter(batch_sampler), iter(batch_sampler)
    pairs = list(zip(one, other))
    assert all(a == b for a, b in pairs)
    assert len(pairs) == len(batch_sampler)


def test_an_epoch_may_be_set_until_the_first_batch(few_defects):
    batch_sampler = make(few_defects)
    batches = iter(batch_sampler)
    batch_sampler.sampler.set_epoch(2)
    assert list(batches) == next(epochs(make(few_defects), [2]))


def test_what_others_read_from_the_samplers_is_there(few_defects):
    batch_sampler = make(few_defects, seed=None, pools=dict(hard=[9, 4]))
    sampler = batch_sampler.sampler
    assert list(sampler.pools) == ['normal', 'defect', 'crack', 'dent', 'hard']
    assert sampler.pools['hard'].tolist() == [4, 9]
    assert (sampler.rank, sampler.world_size, sampler.epoch) == (0, 1, 0)
    assert 0 <= sampler.seed < 2**64
    assert batch_sampler.batch_size == 6
    assert batch_sampler.quota == 2
    assert batch_sampler.drop_last is True


@given(options=settings, first=st.integers(0, 5))
def test_infinite_is_the_epochs_in_a_row(few_defects, options, first):
    rows = list(chain(*epochs(make(few_defects, **options), range(first, first + 3))))
    endless = make(few_defects, infinite=True, **options)
    endless.sampler.set_epoch(first)
    assert list(islice(endless, len(rows))) == rows


# --- a quota that changes ----------------------------------------------------


def test_a_schedule_changes_the_quota_at_its_steps(few_defects):
    batch_sampler = make(few_defects, 3, num_batches=10)
    batch_sampler.set_schedule([(4, 1), (10, 5), (25, 0)])
    assert len(batch_sampler) == 10
    shown = [defects(few_defects, b) for b in chain(*epochs(batch_sampler, range(3)))]
    assert shown == [3] * 4 + [1] * 6 + [5] * 15 + [0] * 5


def test_a_schedule_carries_the_pass_over_the_normal_images_on(few_defects):
    batch_sampler = make(few_defects, 3, infinite=True)
    batch_sampler.set_schedule([(5, 1), (11, dict(crack=1, dent=1))])
    seen = np.zeros(52, int)
    for batch in islice(batch_sampler, 40):
        np.add.at(seen, batch, 1)
        normal = seen[batch_sampler.sampler.pools['normal']]
        assert normal.max() - normal.min() <= 1


def test_a_schedule_may_end_without_a_quota(few_defects):
    batch_sampler = make(few_defects, 3, num_batches=10)
    batch_sampler.set_schedule([(10, None)])
    *_, last = epochs(batch_sampler, range(6))
    shown = chain(*epochs(batch_sampler, range(1, 6)))
    assert sum(map(len, last)) == 60
    seen = np.bincount(list(chain(*shown)), minlength=52)
    assert seen.max() - seen.min() <= 1


@pytest.mark.parametrize(
    ('milestones', 'error', 'words'),
    [
        ([(0, 1)], ValueError, ['[(0, 1)]', 'above 0', f'{BATCH_SAMPLER}.quota']),
        ([(5, 1), (5, 2)], ValueError, ['[(5, 1), (5, 2)]', 'rise']),
        ([(5, 6)], ValueError, ['quota=6', 'at most 5', f'{BATCH_SAMPLER}.quota']),
        ([(5, 'x')], TypeError, ["quota='x'", 'int', f'{BATCH_SAMPLER}.quota']),
    ],
    ids=repr,
)
def test_a_schedule_that_cannot_be_is_refused_and_changes_nothing(
    few_defects, milestones, error, words
):
    batch_sampler = make(few_defects)
    before = list(batch_sampler)
    with pytest.raises(error) as caught:
        batch_sampler.set_schedule(milestones)
    for word in words:
        assert word in str(caught.value)
    assert list(batch_sampler) == before


# --- stop and go on ----------------------------------------------------------


def through_json(state):
    return json.loads(json.dumps(state))


def through_torch(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@given(options=settings, schedule=st.booleans(), data=st.data())
def test_a_resumed_iteration_is_the_rest_of_the_uninterrupted_one(
    few_defects, options, schedule, data
):
    def fresh():
        batch_sampler = make(few_defects, **options)
        if schedule:
            batch_sampler.set_schedule([(2, 1), (5, None), (9, 2)])
        return batch_sampler

    whole = list(epochs(fresh(), range(4)))
    save = data.draw(st.sampled_from([through_json, through_torch, copy.deepcopy]))
    stopped = fresh()
    for epoch in range(2):
        stopped.sampler.set_epoch(epoch)
        for step, _ in enumerate(stopped, 1):
            state = save(stopped.state_dict())
            resumed = fresh()
            resumed.load_state_dict(state)
            assert resumed.state_dict() == save(resumed.state_dict())
            assert (state['epoch'], state['step']) == (epoch, step)
            assert resumed.sampler.epoch == epoch
            assert list(resumed) == whole[epoch][step:]
            assert list(epochs(resumed, range(epoch + 1, 4))) == whole[epoch + 1 :]


@given(options=settings, count=st.integers(0, 100))
def test_an_endless_iteration_is_resumed_at_any_step(few_defects, options, count):
    stopped = make(few_defects, infinite=True, **options)
    batches = iter(stopped)
    list(islice(batches, count))
    resumed = make(few_defects, infinite=True, **options)
    resumed.load_state_dict(stopped.state_dict())
    assert list(islice(resumed, 50)) == list(islice(batches, 50))


def test_saving_at_every_step_changes_nothing(few_defects):
    batch_sampler = make(few_defects)
    rows = []
    for batch in batch_sampler:
        rows.append(batch)
        assert batch_sampler.state_dict()['step'] == len(rows)
    assert rows == list(make(few_defects))


@pytest.mark.parametrize('ended', [False, True])
def test_what_is_saved_at_the_end_of_an_epoch_goes_on_with_the_next(few_defects, ended):
    def fresh(epoch):
        batch_sampler = make(few_defects)
        batch_sampler.sampler.set_epoch(epoch)
        return batch_sampler

    stopped, following = fresh(3), list(fresh(4))
    batches = iter(stopped)
    assert len(list(islice(batches, len(stopped) + ended))) == len(stopped)
    state = stopped.state_dict()
    # A loop that counts the epoch as done may say so before or after it loads.
    resumed = fresh(4)
    resumed.load_state_dict(state)
    assert list(resumed) == following
    resumed = fresh(0)
    resumed.load_state_dict(state)
    resumed.sampler.set_epoch(4)
    assert list(resumed) == following
    # One that does not finds nothing left of the epoch.
    resumed = fresh(3)
    resumed.load_state_dict(state)
    assert list(resumed) == []
    resumed.sampler.set_epoch(4)
    assert list(resumed) == following


@pytest.mark.parametrize('workers', [0, 2])
def test_nothing_is_left_of_an_epoch_in_a_plain_dataloader_either(few_defects, workers):
    loader = DataLoader(
        few_defects,
        batch_sampler=make(few_defects),
        num_workers=workers,
        collate_fn=list,
    )
    loader.batch_sampler.start_at(2, len(loader))
    assert list(loader) == []
    loader.batch_sampler.sampler.set_epoch(3)
    assert list(loader) == next(epochs(make(few_defects), [3]))


def test_a_state_saved_before_the_first_batch_is_that_of_its_epoch(few_defects):
    stopped = make(few_defects)
    for begin in (lambda: None, lambda: list(stopped)):
        begin()
        stopped.sampler.set_epoch(stopped.sampler.epoch + 5)
        epoch = stopped.sampler.epoch
        resumed = make(few_defects)
        resumed.load_state_dict(stopped.state_dict())
        assert resumed.sampler.epoch == epoch
        assert list(resumed) == next(epochs(make(few_defects), [epoch]))


def test_a_state_is_saved_again_before_it_was_used(few_defects):
    stopped = make(few_defects)
    list(islice(stopped, 4))
    resumed = make(few_defects)
    resumed.load_state_dict(stopped.state_dict())
    assert resumed.state_dict() == stopped.state_dict()


@pytest.mark.parametrize('schedule', [False, True])
@pytest.mark.parametrize('replacement', [False, True])
@pytest.mark.parametrize('num_batches', [None, 9])
def test_a_run_goes_on_with_more_or_fewer_ranks(
    annotated, schedule, replacement, num_batches
):
    dataset = annotated([[0] if i % 9 == 0 else [] for i in range(300)])

    def ranks(world_size, state=None):
        for rank in range(world_size):
            batch_sampler = make(
                dataset,
                quota=8 // world_size,
                batch_size=24 // world_size,
                rank=rank,
                world_size=world_size,
                replacement=replacement,
                num_batches=num_batches,
            )
            if schedule:
                milestones = [(3, 16 // world_size), (11, 0)]
                batch_sampler.set_schedule(milestones)
            if state:
                batch_sampler.load_state_dict(state)
            yield batch_sampler

    def images(samplers):
        return [sorted(chain(*step)) for step in zip(*samplers)]

    (alone,) = ranks(1)
    whole = images([alone])
    rows = iter(alone)
    for _ in range(5):
        next(rows)
    state = alone.state_dict()
    for world_size in (1, 2, 4, 8):
        assert images(ranks(world_size)) == whole
        resumed = list(ranks(world_size, state))
        assert images(resumed) == whole[5:]
        again = [chain(*epochs(sampler, [1])) for sampler in resumed]
        assert images(again) == images([next(epochs(alone, [1]))])


BASE = dict(quota=2, batch_size=6, seed=3)


@pytest.mark.parametrize(
    ('changed', 'words'),
    [
        (dict(quota=3), ['images per group', "'defect': 2", "'defect': 3"]),
        (dict(batch_size=8), ['images per group', "'normal': 4", "'normal': 6"]),
        (dict(seed=4), ['seed', '3', '4']),
        (dict(drop_last=False), ['drop_last', 'True', 'False']),
        (dict(num_batches=11), ['draws', "'pass'", "'cycles'"]),
        (dict(replacement=False), ['draws', "'independent'", "'cycles'"]),
        (dict(weights=len), ['draws', "'independent'", "'weighted'"]),
        (dict(pools=dict(hard=[1])), ['pools', "'normal': 45", "'normal': 44"]),
        (dict(defect_classes=['dent']), ['pools', "'defect': 7", "'defect': 4"]),
        (dict(world_size=2), ['images per group', "'defect': 2", "'defect': 4"]),
    ],
    ids=repr,
)
def test_a_state_of_other_settings_is_refused_with_what_differs(
    few_defects, changed, words
):
    state = make(few_defects, **BASE).state_dict()
    other = make(few_defects, **{**BASE, **changed})
    for saved in (state, through_json(state)):
        with pytest.raises(ValueError, match='the state belongs to other') as caught:
            other.load_state_dict(saved)
        message = str(caught.value)
        assert '\n' not in message
        for word in [*words, 'train_dataloader']:
            assert word in message
    assert list(other) == list(make(few_defects, **{**BASE, **changed}))


def test_a_state_of_other_data_is_refused(few_defects, annotated):
    state = make(few_defects, **BASE).state_dict()
    longer = annotated([*few_defects.images, []])
    with pytest.raises(ValueError, match=r'images.* 52.* 53'):
        make(longer, **BASE).load_state_dict(state)
    # as many of each, but other ones
    moved = annotated([few_defects.images[-1], *few_defects.images[:-1]])
    with pytest.raises(ValueError, match='checksum'):
        make(moved, **BASE).load_state_dict(state)


def test_a_state_of_another_schedule_is_refused(few_defects):
    state = make(few_defects, **BASE).state_dict()
    other = make(few_defects, **BASE)
    other.set_schedule([(7, 1)])
    with pytest.raises(ValueError, match='images per group'):
        other.load_state_dict(state)


def test_a_state_of_other_weights_is_refused(few_defects):
    one = make(few_defects, weights=lambda info: 1 + len(info['instances']))
    other = make(few_defects, weights=lambda info: 1 + 2 * len(info['instances']))
    with pytest.raises(ValueError, match='checksum'):
        other.load_state_dict(one.state_dict())


@pytest.mark.parametrize(
    'state', [{}, {'epoch': 1}, {'epoch': 1, 'step': 2, 'other': 3}]
)
def test_what_is_no_state_is_refused(few_defects, state):
    with pytest.raises(ValueError, match=r'no state of QuotaBatchSampler.*missing'):
        make(few_defects).load_state_dict(state)


# --- torchdata's StatefulDataLoader ------------------------------------------


def stateful(dataset, workers, every, **options):
    torchdata = pytest.importorskip('torchdata.stateful_dataloader')
    return torchdata.StatefulDataLoader(
        dataset,
        batch_sampler=make(dataset, **options),
        num_workers=workers,
        snapshot_every_n_steps=every,
        collate_fn=list,
    )


def trained(loader, first, last, tells_epochs, stop=None):
    """Batches of epochs ``first … last``, and the loader's state after ``stop``.

    After 11 batches the loop over the first epoch has not ended yet, after 11.5 it has.
    """
    rows, state = [], None
    for epoch in range(first, last + 1):
        if tells_epochs:
            loader.batch_sampler.sampler.set_epoch(epoch)
        for batch in loader:
            rows.append(batch)
            if len(rows) == stop:
                state = loader.state_dict()
        if len(rows) + 0.5 == stop:
            state = loader.state_dict()
    return rows, state


# Workers and the steps between two snapshots: after each batch, two to a remainder,
# never within an epoch.
LOADERS = [(0, 1), (2, 1), (2, 4), (2, 100)]


@pytest.mark.parametrize('tells_epochs', [False, True])
@pytest.mark.parametrize(('workers', 'every'), LOADERS)
@pytest.mark.parametrize('stop', [6, 11, 11.5, 17])
def test_a_stateful_dataloader_goes_on_where_it_stopped(
    few_defects, workers, every, stop, tells_epochs
):
    loader = stateful(few_defects, workers, every)
    whole, state = trained(loader, 0, 2, tells_epochs, stop)
    assert len(whole) == 33
    resumed = stateful(few_defects, workers, every)
    resumed.load_state_dict(through_torch(state))
    epoch_of_the_loop = int((stop - 0.5) // 11)
    rest, _ = trained(resumed, epoch_of_the_loop, 2, tells_epochs)
    assert rest == whole[int(stop) :]


@pytest.mark.parametrize('workers', [0, 2])
def test_a_loop_that_counts_an_epoch_as_done_with_its_last_batch_repeats_none(
    few_defects, workers
):
    loader = stateful(few_defects, workers, every=1)
    whole, state = trained(loader, 0, 2, True, stop=11)
    resumed = stateful(few_defects, workers, every=1)
    resumed.load_state_dict(through_torch(state))
    rest, _ = trained(resumed, 1, 2, True)
    assert rest == whole[11:]


@pytest.mark.parametrize(('workers', 'every'), LOADERS)
@pytest.mark.parametrize('stop', [6, 11])
def test_a_stateful_dataloader_goes_on_without_end(few_defects, workers, every, stop):
    whole = list(islice(make(few_defects, infinite=True), 33))
    stopped = stateful(few_defects, workers, every, infinite=True)
    assert list(islice(stopped, stop)) == whole[:stop]
    state = stopped.state_dict()
    resumed = stateful(few_defects, workers, every, infinite=True)
    resumed.load_state_dict(through_torch(state))
    assert list(islice(resumed, 33 - stop)) == whole[stop:]


# --- without a Runner --------------------------------------------------------


@pytest.fixture
def mmdet_scope():
    init_default_scope('mmdet')


PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(32, 32)),
    dict(type='PackDetInputs'),
]


def test_a_plain_dataloader_with_workers_gives_images_that_keep_the_quota(
    coco, mmdet_scope
):
    dataset = coco.dataset(pipeline=PIPELINE)
    batch_sampler = make(dataset, quota=dict(crack=2, dent=1), batch_size=8)
    loader = DataLoader(
        dataset,
        batch_sampler=batch_sampler,
        num_workers=2,
        collate_fn=pseudo_collate,
    )
    batches = list(loader)
    assert len(batches) == len(loader) == 52 // 5
    without_box, normal = 0, []
    for batch in batches:
        assert [tuple(image.shape) for image in batch['inputs']] == [(3, 32, 32)] * 8
        shown = []
        for sample in batch['data_samples']:
            labels = sample.gt_instances.labels.tolist()
            names = [dataset.metainfo['classes'][label] for label in labels]
            # the file was read again by another way: ids, not indices
            assert sorted(names) == sorted(coco.labels[sample.img_id])
            without_box += not names
            normal += [] if names else [sample.img_id]
            shown.append(names)
        assert sum(bool(names) for names in shown) == 3
        assert sum('crack' in names for names in shown) >= 2
        assert sum('dent' in names for names in shown) >= 1
    assert without_box == len(set(normal)) == 5 * len(batches)
    # what one epoch leaves out are two images, tiny ones were never there
    assert set(normal) < set(coco.ids) - set(coco.tiny)


def test_workers_and_their_number_change_no_batch(few_defects):
    def run(workers, **options):
        loader = DataLoader(
            few_defects,
            batch_sampler=make(few_defects),
            num_workers=workers,
            collate_fn=list,
            **options,
        )
        rows = []
        for epoch in range(2):
            loader.batch_sampler.sampler.set_epoch(epoch)
            rows.append(list(loader))
        return rows

    expected = list(epochs(make(few_defects), range(2)))
    assert run(0) == expected
    assert run(1) == expected
    assert run(2, persistent_workers=True, prefetch_factor=4) == expected


SCRIPT = """
import random, sys
import numpy, torch
from torch.utils.data import DataLoader

number, workers = int(sys.argv[1]), int(sys.argv[2])
random.seed(number), numpy.random.seed(number), torch.manual_seed(number)
from mmdefect import DefectPoolSampler, QuotaBatchSampler

class Dataset(list):
    metainfo = dict(classes=('crack', 'dent'))

    def get_data_info(self, index):
        labels = [index % 2] if index % 7 == 0 else []
        return dict(img_id=index, instances=[dict(bbox_label=n) for n in labels])

dataset = Dataset(range(100))
pools = dict(hard=[1, 3], easy=[5, 9])
quota = dict(crack=1, easy=1, dent=1, hard=1)
weigh = lambda info: info['img_id'] % 5 + 0.1 if info['img_id'] % 7 == 0 else 1
for options in (dict(), dict(replacement=False), dict(weights=weigh)):
    sampler = DefectPoolSampler(dataset, seed=5, pools=pools, **options)
    batches = QuotaBatchSampler(sampler, 8, quota)
    loader = DataLoader(
        dataset, batch_sampler=batches, num_workers=workers, collate_fn=list
    )
    for epoch in range(2):
        sampler.set_epoch(epoch)
        print('BATCHES', *loader)
"""


def test_another_process_hash_seed_random_state_or_worker_count_changes_no_batch():
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', SCRIPT, number, workers],
            env={**os.environ, 'PYTHONHASHSEED': hash_seed, 'OMP_NUM_THREADS': '1'},
            stdout=subprocess.PIPE,
            text=True,
        )
        for hash_seed, number, workers in [('0', '1', '0'), ('123', '2', '2')]
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    lines = [
        [line for line in output.splitlines() if line.startswith('BATCHES')]
        for output in outputs
    ]
    assert len(lines[0]) == len(set(lines[0])) == 6
    assert lines[0] == lines[1]


# --- DefectPoolSampler in the place of DefaultSampler ------------------------


@pytest.mark.parametrize('world_size', [1, 2, 3, 8, 52])
def test_alone_it_yields_this_ranks_share_of_one_shuffled_epoch(
    few_defects, world_size
):
    orders = []
    for epoch in range(3):
        shares = []
        for rank in range(world_size):
            sampler = DefectPoolSampler(few_defects, seed=3)
            sampler.rank, sampler.world_size = rank, world_size
            sampler.set_epoch(epoch)
            shares.append(list(sampler))
            assert len(shares[-1]) == len(sampler)
        missing = -52 % world_size
        seen = np.bincount(list(chain(*shares)), minlength=52)
        # every image once; what fills up the last round comes twice, as it does there
        assert seen.min() == 1
        assert seen.sum() == 52 + missing
        assert seen.max() == 1 + bool(missing)
        orders.append(str(shares))
    assert len(set(orders)) == 3


def test_alone_it_is_as_long_as_default_sampler(few_defects):
    assert len(DefectPoolSampler(few_defects)) == len(DefaultSampler(few_defects))


def test_alone_it_serves_a_plain_dataloader(few_defects):
    loader = DataLoader(
        few_defects,
        batch_size=8,
        sampler=DefectPoolSampler(few_defects, seed=1),
        num_workers=2,
        collate_fn=list,
    )
    batches = list(loader)
    assert len(batches) == len(loader) == 7
    assert sorted(chain(*batches)) == list(range(52))
    assert list(chain(*batches)) != list(range(52))


def test_alone_its_order_does_not_gather_the_defects(few_defects):
    places = []
    for epoch in range(300):
        sampler = DefectPoolSampler(few_defects, seed=1)
        sampler.set_epoch(epoch)
        places += [p for p, i in enumerate(sampler) if few_defects.images[i]]
    # seven defects: 300 * 7 places, uniform over 52
    assert abs(np.mean(places) - 25.5) < 4 * 15 / np.sqrt(len(places))
    assert np.std(places) == pytest.approx(np.sqrt((52**2 - 1) / 12), rel=0.05)


def test_alone_it_does_not_ignore_weights_without_a_word(few_defects):
    sampler = DefectPoolSampler(few_defects, weights=len)
    with pytest.raises(ValueError, match=r'set train_dataloader\.batch'):
        next(iter(sampler))


@pytest.mark.parametrize(
    ('config', 'refused'),
    [
        ('', False),
        ("sampler=dict(type='DefaultSampler')", False),
        ("sampler=dict(type='DefectPoolSampler')", True),
        ("sampler=dict(type='DefectPoolSampler'), type='QuotaBatchSampler'", False),
    ],
)
def test_alone_it_is_refused_only_where_a_config_forgot_the_batch_sampler(
    few_defects, config, refused
):
    # A Runner of the same process leaves its config in the message hub.
    hub = MessageHub.get_instance(f'test {config}')
    assert MessageHub.get_current_instance() is hub
    hub.update_info('cfg', config)
    sampler = DefectPoolSampler(few_defects)
    if refused:
        with pytest.raises(ValueError, match='QuotaBatchSampler') as caught:
            list(sampler)
        assert "batch_sampler=dict(type='QuotaBatchSampler', quota=" in str(
            caught.value
        )
    else:
        assert sorted(sampler) == list(range(52))


# --- as MMEngine builds them -------------------------------------------------


def build(dataset, batch_size=6, **train_dataloader):
    cfg = dict(dataset=dataset, batch_size=batch_size, num_workers=0)
    cfg['sampler'] = dict(type='DefectPoolSampler')
    cfg['batch_sampler'] = dict(type='QuotaBatchSampler', quota=2)
    for key, value in train_dataloader.items():
        section, _, name = key.partition('__')
        cfg[section] = {**cfg[section], name: value}
    return Runner.build_dataloader(ConfigDict(cfg), seed=3).batch_sampler


@pytest.mark.parametrize('quota', [0, {}, dict(crack=0)], ids=repr)
def test_a_quota_that_draws_no_defect_image_is_told(few_defects, log, quota):
    make(few_defects, quota=quota)
    said = log[1]
    assert said.startswith(f'train_dataloader.batch_sampler.quota: {quota=!r} draws')
    log.clear()
    make(few_defects, quota=None)
    make(few_defects, quota=1)
    assert not any('draws no defect image' in line for line in log)


@pytest.mark.parametrize(
    ('written', 'options'),
    [
        (dict(), dict()),
        (dict(batch_sampler__quota=np.int64(2)), dict()),
        (dict(batch_sampler__quota=1 / 3), dict()),
        (dict(sampler__shuffle=True), dict()),
        (dict(sampler__seed=np.int32(7)), dict(seed=7)),
        (
            dict(batch_sampler__quota=dict(dent=np.int8(1), crack=1)),
            dict(quota=dict(dent=1, crack=1)),
        ),
        (
            dict(
                sampler__pools=dict(hard=[4, 5, 6]),
                batch_sampler__quota=dict(defect=1, hard=1),
                batch_sampler__num_batches=np.int64(7),
            ),
            dict(
                pools=dict(hard=[4, 5, 6]), quota=dict(defect=1, hard=1), num_batches=7
            ),
        ),
        (
            dict(sampler__defect_classes=['dent'], sampler__replacement=False),
            dict(defect_classes=['dent'], replacement=False),
        ),
    ],
    ids=repr,
)
def test_a_config_builds_what_python_builds(few_defects, written, options):
    built = build(few_defects, **written)
    expected = make(few_defects, **options)
    assert list(epochs(built, [0, 3])) == list(epochs(expected, [0, 3]))
    assert through_json(built.state_dict()) == through_json(expected.state_dict())


@pytest.mark.parametrize(
    ('written', 'error', 'words'),
    [
        (dict(batch_sampler__quota=-1), ValueError, ['-1', 'quota']),
        (dict(batch_sampler__quota=6), ValueError, ['6', 'at most 5', 'quota']),
        (dict(batch_sampler__quota=True), TypeError, ['True', 'quota']),
        (dict(batch_sampler__quota='2'), TypeError, ["'2'", 'quota']),
        (dict(batch_sampler__quota=0.3), ValueError, ['0.3', '1.8 images', 'quota']),
        (dict(batch_sampler__quota=dict(crakc=1)), ValueError, ["'crakc'", "'crack'"]),
        (dict(batch_sampler__num_batches=0), ValueError, ['num_batches=0']),
        (dict(batch_sampler__drop_last=1), TypeError, ['drop_last=1', 'True or False']),
        (
            dict(batch_sampler__infinite='x'),
            TypeError,
            ["infinite='x'", 'True or False'],
        ),
        (
            dict(batch_size=0),
            ValueError,
            ['batch_size=0', 'train_dataloader.batch_size'],
        ),
        (dict(batch_size=50, batch_sampler__quota=1), ValueError, ['45 normal', '49']),
        (dict(sampler__seed=-1), ValueError, ['seed=-1', '0 …']),
        (dict(sampler__seed=2**64), ValueError, [f'seed={2**64}', f'{2**64 - 1}']),
        (dict(sampler__seed=1.5), TypeError, ['seed=1.5', 'expected an int']),
        (dict(sampler__seed=True), TypeError, ['seed=True', 'expected an int']),
        (dict(sampler__seed='a'), TypeError, ["seed='a'", 'expected an int']),
        (dict(sampler__replacement=0), TypeError, ['replacement=0', 'True or False']),
        (dict(sampler__shuffle=False), ValueError, ['shuffle=False', 'True']),
        (dict(sampler__pools=['a.txt']), TypeError, ["['a.txt']", 'dict']),
        (dict(sampler__pools=dict(crack=[1])), ValueError, ["'crack'", 'another name']),
        (
            dict(sampler__pools=dict(hard='x.txt')),
            FileNotFoundError,
            ['x.txt', "'hard'"],
        ),
        (dict(sampler__pools=dict(hard=[52])), ValueError, ['[52]', '52 images']),
        (
            dict(sampler__pools=dict(hard=list(range(52)))),
            ValueError,
            ['hard', 'no normal image'],
        ),
        (dict(sampler__defect_classes=['dnet']), ValueError, ["'dnet'", "'dent'"]),
        (dict(sampler__weights='x.txt'), FileNotFoundError, ['x.txt']),
        (dict(sampler__weights=3), TypeError, ['=3', 'text file or a function']),
        (
            dict(sampler__weights=len, sampler__replacement=False),
            ValueError,
            ['replacement=True', 'weights'],
        ),
        (
            dict(sampler__weights=lambda info: float(info['img_id'] != 8986)),
            ValueError,
            ['1 of 45 normal images', '0 (image 2)', 'instead of 1', '.sampler.pools'],
        ),
        (
            dict(sampler__weights=len, batch_sampler__quota=None),
            ValueError,
            ['quota=None', f'{BATCH_SAMPLER}.quota', 'take train_dataloader.sampler'],
        ),
    ],
    ids=lambda value: repr(value).partition(' at 0x')[0],
)
def test_a_bad_setting_is_refused_when_the_dataloader_is_built(
    few_defects, written, error, words
):
    with pytest.raises(error) as caught:
        build(few_defects, **written)
    assert caught.type is error
    message = str(caught.value)
    section = next(iter(written)).partition('__')[0]
    assert '\n' not in message
    for word in [*words, f'train_dataloader.{section}']:
        assert word in message


def test_a_sampler_that_knows_no_defects_is_refused_with_the_lines_to_write(
    few_defects,
):
    with pytest.raises(TypeError, match='got a DefaultSampler') as caught:
        build(few_defects, sampler__type='DefaultSampler')
    assert "sampler=dict(type='DefectPoolSampler')" in str(caught.value)
    assert "batch_sampler=dict(type='QuotaBatchSampler', quota=" in str(caught.value)


# --- what the log says -------------------------------------------------------


@pytest.fixture
def factory(annotated):
    """3,000 images, 3 % of them with a defect, three with ignored instances only."""
    images = [[0] if i % 100 < 3 else [] for i in range(3000)]
    for index in (5, 6, 7):
        images[index] = [-1]
    return annotated(images)


def test_one_line_says_what_the_user_got(factory, log):
    make(factory, 3, 8)
    (line,) = log
    assert line == (
        '2,910 normal + 90 defect images (3.0 %), 3 normal with ignored instances '
        'only; each batch of 8 = 5 normal + 3 defect; 582 batches per epoch; each '
        'defect image drawn about 19.4 times per epoch; without a quota 78 % of '
        'batches would hold no defect'
    )


def test_the_line_counts_all_ranks(factory, log):
    make(factory, 3, 8, world_size=4)
    assert 'each batch of 8 on each of 4 ranks = 5 normal + 3 defect; 145 ' in log[0]
    assert 'drawn about 19.3 times per epoch' in log[0]


def test_the_line_names_each_pool_of_the_quota(few_defects, log):
    make(few_defects, dict(dent=1, hard=2), pools=dict(hard=[1, 2]))
    assert 'each batch of 6 = 3 normal + 1 dent + 2 hard' in log[0]
    assert 'each dent image drawn about 3.5 times per epoch' in log[0]
    assert 'each hard image drawn about 14 times per epoch' in log[0]
    assert 'ignored' not in log[0]


@pytest.mark.parametrize(
    ('quota', 'said'), [(0, '= 6 normal; 7 batches'), (None, '= 6 all; 8 batches')]
)
def test_the_line_tells_of_no_quota(few_defects, log, quota, said):
    make(few_defects, quota)
    assert len(log) == (2 if quota == 0 else 1)  # which is warned of
    assert said in log[0]
    assert 'drawn about' not in log[0]


def test_images_that_are_never_drawn_are_told(few_defects, log):
    make(few_defects, dict(crack=1), pools=dict(hard=[1, 2]))
    assert len(log) == 2
    assert '3 dent, 2 hard images' in log[1]
    assert f'{BATCH_SAMPLER}.quota' in log[1]


def test_a_further_pool_takes_places_of_normal_images_and_the_pass_goes_on(few_defects):
    def drawn(contents, milestones=()):
        sampler = DefectPoolSampler(few_defects, seed=3)
        batches = QuotaBatchSampler(sampler, batch_size=8, quota=2, num_batches=12)
        batches.set_schedule(milestones)
        batches.set_further_pool('hard', 2, contents)
        rows = []
        for epoch in range(3):
            sampler.set_epoch(epoch)
            rows += list(batches)
        return sampler.pools, rows

    hard = np.array([1, 2, 3])
    pools, rows = drawn([(12, hard)])
    _, before = drawn([])
    assert rows[:12] == before[:12]  # nothing changes before it is there
    defect = set(pools['defect'].tolist())
    for step, batch in enumerate(rows):
        assert sum(index in defect for index in batch) == 2
        assert step < 12 or sum(index in hard for index in batch) >= 2
    # The pass over all normal images goes on, whatever else a batch holds.
    times = np.bincount(np.concatenate(rows), minlength=len(few_defects))
    times = times[np.setdiff1d(pools['normal'], hard)]
    assert times.max() - times.min() <= 1
    # Other images, and a quota that ends: no hard ones without a quota.
    other = np.array([4, 5])
    _, changed = drawn([(12, hard), (24, other)], [(30, None)])
    assert changed[:24] == rows[:24]
    for batch in changed[24:30]:
        assert sum(index in other for index in batch) >= 2
    _, plain = drawn([], [(30, None)])
    assert changed[30:] == plain[30:]


def test_a_further_pool_that_does_not_fit_leaves_the_batches_as_they_are(few_defects):
    sampler = DefectPoolSampler(few_defects, seed=3)
    batches = QuotaBatchSampler(sampler, batch_size=8, quota=2)
    before = list(batches)
    for name, images, said in (
        ('crack', 1, "the pool 'crack' is there already"),
        ('hard', 6, 'takes 8 of a batch of 8: expected at most 7'),
    ):
        with pytest.raises(ValueError, match=said):
            batches.set_further_pool(name, images, [(2, np.array([1]))])
    assert list(batches) == before
