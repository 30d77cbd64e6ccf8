"""Every dataset class and wrapper of MMDetection, over real files: what is scanned is
what the pipeline hands to the model, or there is an error that names file or class."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import dataset_files as files
import numpy as np
import pytest
import torch
from dataset_files import CLASSES, IMAGES
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import ChainDataset, IterableDataset, Subset

from mmdefect import DefectPoolSampler, QuotaBatchSampler
from mmdefect.pools.pools import find_images
from mmdefect.pools.source import source_of
from mmdefect.pools.wrappers import unwrap

mmdet = pytest.importorskip('mmdet.datasets')
ROOT = Path(__file__).resolve().parents[2]


def pools(scanned):
    return {name: indices.tolist() for name, indices in scanned.classes.items()}


# --- Datasets ---------------------------------------------------------------------


@pytest.mark.parametrize('kind', files.BUILDERS)
def test_every_dataset_class_tells_its_defect_images(kind, tmp_path):
    if kind.startswith('LVIS'):
        pytest.importorskip('lvis')
    dataset, images = files.BUILDERS[kind](tmp_path)
    scanned = source_of(dataset).scan
    by_class, ignored = files.expected(dataset, images, tuple(scanned.classes))
    assert type(dataset).__name__ == kind
    assert pools(scanned) == by_class
    assert pools(scanned) == files.loaded(dataset, tuple(scanned.classes))
    assert scanned.ignored.tolist() == ignored
    assert scanned.length == len(dataset)


@pytest.mark.parametrize(
    'options',
    [
        dict(serialize_data=False),
        dict(lazy_init=True),
        dict(indices=5),
        dict(indices=-4),
        dict(indices=[7, 3, 3, 0]),
        dict(test_mode=True, filter_cfg=dict(filter_empty_gt=True, min_size=32)),
        dict(filter_cfg=dict(min_size=32)),
        dict(filter_cfg=dict(filter_empty_gt=True)),
        dict(filter_cfg=dict(filter_empty_gt=True, min_size=32)),
        dict(serialize_data=False, lazy_init=True, indices=[11, 1]),
    ],
    ids=str,
)
@pytest.mark.parametrize('build', [files.coco, files.xml, files.data_list])
def test_options_of_a_dataset_shift_no_index(build, options, tmp_path):
    dataset, _ = build(tmp_path, **options)
    scanned = source_of(dataset).scan
    assert pools(scanned) == files.expected(dataset)[0] == files.loaded(dataset)
    assert scanned.ignored.tolist() == files.expected(dataset)[1]


@pytest.mark.parametrize('indices', [4, -5, [8, 1, 5]])
@pytest.mark.parametrize('serialize', [True, False])
def test_a_subset_by_get_subset_shifts_no_index(serialize, indices, tmp_path):
    dataset, _ = files.coco(tmp_path, serialize_data=serialize)
    subset = dataset.get_subset(indices)
    assert pools(source_of(subset).scan) == files.loaded(subset)


def test_a_class_of_the_user_that_changes_data_info_is_scanned_as_it_trains(tmp_path):
    class Relabelled(mmdet.CocoDataset):
        def get_data_info(self, idx):
            info = super().get_data_info(idx)
            for instance in info['instances']:
                instance['bbox_label'] = 1 - instance['bbox_label']
            return info

    dataset, _ = files.coco(tmp_path)
    dataset.__class__ = Relabelled
    assert pools(source_of(dataset).scan) == files.loaded(dataset)


def test_a_class_of_the_user_that_shortens_itself_is_scanned_as_it_trains(tmp_path):
    class Half(mmdet.CocoDataset):
        def __len__(self):
            return 6

    dataset, _ = files.coco(tmp_path)
    dataset.__class__ = Half
    assert pools(source_of(dataset).scan) == files.loaded(dataset)


def test_a_class_of_the_user_needs_no_more_than_get_cat_ids():
    class Labels(list):
        metainfo = property(lambda self: dict(classes=CLASSES))

        def get_cat_ids(self, index):
            return np.array(self[index], int)

    labels = Labels([[], [0], [1, 0, 0], [], [1]])
    assert pools(source_of(labels).scan) == dict(crack=[1, 2], dent=[2, 4])


def test_images_without_the_key_instances_are_normal_as_in_mmdetection(tmp_path):
    dataset, _ = files.data_list(tmp_path, serialize_data=False)
    before = pools(source_of(dataset).scan)
    for info in dataset.data_list:
        if not info['instances']:
            del info['instances']
    assert pools(source_of(dataset).scan) == before


# --- Wrappers ---------------------------------------------------------------------


@pytest.fixture(scope='session')
def parts(tmp_path_factory):
    """Real datasets of three dataset classes, with the same metainfo."""
    from mmdet.registry import DATASETS

    folder = tmp_path_factory.mktemp('parts')
    coco = dict(
        type=mmdet.CocoDataset,
        ann_file=files.coco_json(folder / 'train.json'),
        data_prefix=dict(img='coco/'),
    )
    xml = dict(
        type=mmdet.XMLDataset,
        ann_file=files.xml_files(folder / 'xml', 'Annotations'),
        data_root=str(folder / 'xml'),
        data_prefix=dict(sub_data_root=''),
    )
    listed = dict(
        type=mmdet.BaseDetDataset,
        ann_file=files.data_list_json(folder / 'list.json'),
        data_prefix=dict(img_path='list/'),
        indices=[3, 0, 5],
        serialize_data=False,
    )
    shared = dict(metainfo=dict(classes=CLASSES), pipeline=list(files.LABELS))
    return [DATASETS.build({**part, **shared}) for part in (coco, xml, listed)]


def nested(parts):
    """Configs of wrappers in any order, around datasets that are built already."""
    import mmengine.dataset as mmengine

    differ = ['palette', 'cumulative_sizes']
    # Wrappers take another wrapper's config only, but its type may be any function.
    leaf = st.sampled_from([dict(type=lambda part=part: part) for part in parts])
    balanced = st.builds(
        lambda inner, share: dict(
            type=mmengine.ClassBalancedDataset, dataset=inner, oversample_thr=share
        ),
        leaf,
        st.sampled_from([0.1, 0.9]),
    )

    def wrap(inner):
        repeat = st.builds(
            lambda x, n: dict(type=mmengine.RepeatDataset, dataset=x, times=n),
            inner,
            st.integers(1, 3),
        )
        mix = st.builds(
            lambda x: dict(type=mmdet.MultiImageMixDataset, dataset=x, pipeline=[]),
            inner,
        )
        concat = st.builds(
            lambda x, kind: dict(type=kind, datasets=x, ignore_keys=differ),
            st.lists(inner, min_size=1, max_size=3),
            st.sampled_from([mmengine.ConcatDataset, mmdet.ConcatDataset]),
        )
        return repeat | mix | concat

    return st.recursive(leaf | balanced, wrap, max_leaves=4)


@given(data=st.data())
def test_wrappers_nested_in_any_order_shift_no_index(parts, data):
    from mmdet.registry import DATASETS
    from mmengine.runner.runner import _SlicedDataset

    dataset = DATASETS.build(data.draw(nested(parts)))
    for _ in range(data.draw(st.integers(0, 2))):  # what takes objects only
        length = len(dataset)
        kind = data.draw(st.sampled_from(['subset', 'concat', 'slice']))
        if kind == 'subset':
            index = st.integers(0, length - 1) if length else st.nothing()
            dataset = Subset(dataset, data.draw(st.lists(index)))
        elif kind == 'concat':
            other = DATASETS.build(data.draw(nested(parts)))
            dataset = torch.utils.data.ConcatDataset([dataset, other])
        else:
            dataset = _SlicedDataset(dataset, data.draw(st.integers(0, length)))
    scanned = source_of(dataset).scan
    assert pools(scanned) == files.loaded(dataset)
    assert scanned.length == len(dataset)
    leaves, origin = unwrap(dataset)
    scans = [source_of(leaf).scan for leaf in leaves]
    starts = np.cumsum([0] + [inside.length for inside in scans])
    for kind in ('ignored', 'left_out'):
        inside = [getattr(part, kind) + start for part, start in zip(scans, starts)]
        outside = np.flatnonzero(np.isin(origin, np.concatenate(inside)))
        assert getattr(scanned, kind).tolist() == outside.tolist()


def test_a_list_of_file_names_finds_images_through_every_wrapper(parts):
    coco, xml, _ = parts
    both = torch.utils.data.ConcatDataset([Subset(coco, [5, 1, 5, 2]), xml])
    found = find_images(
        ['coco/b05.jpg', 'JPEGImages/b05.jpg'], source_of(both), 'list', 'line'
    )
    assert {name: both_at.tolist() for name, both_at in found.items()} == {
        'coco/b05.jpg': [0, 2],
        'JPEGImages/b05.jpg': [4 + 5],
    }
    with pytest.raises(ValueError, match=r'not in the dataset.*coco/d03\.jpg'):
        find_images(['coco/d03.jpg'], source_of(both), 'list', 'line')


def test_an_epoch_cut_by_num_batch_per_epoch_draws_no_image_beyond_its_end(parts):
    loader = Runner.build_dataloader(
        dict(
            dataset=mmdet.ConcatDataset(parts[:2]),
            sampler=dict(type='DefectPoolSampler'),
            batch_sampler=dict(type='QuotaBatchSampler', quota=1),
            batch_size=2,
            num_batch_per_epoch=5,
            num_workers=0,
        ),
        seed=0,
    )
    assert max(max(batch) for batch in loader.batch_sampler) < 10
    assert source_of(loader.dataset).scan.length == 10


def test_a_slice_longer_than_its_dataset_is_refused_with_the_line_to_change(parts):
    from mmengine.runner.runner import _SlicedDataset

    with pytest.raises(ValueError, match=r'length 50 .* the 12 .*num_batch_per_epoch'):
        assert source_of(_SlicedDataset(parts[0], 50)).scan
    with pytest.raises(
        ValueError, match='Subset of length 2 asks for images beyond the 12'
    ):
        assert source_of(Subset(parts[0], [0, 12])).scan


# --- Labels and class names -------------------------------------------------------


def sampler(dataset, **options):
    return DefectPoolSampler(dataset, seed=0, **options)


def only(name):
    """The images that show nothing but one class, and those without a defect."""
    return [x for x in IMAGES if {*x.shows, *x.ignored} <= {name}]


def test_classes_in_another_order_than_the_file_are_refused_with_the_right_one(
    tmp_path,
):
    """MMDetection would train, and the pool 'crack' would hold the dents."""
    dataset, _ = files.coco(tmp_path, classes=('dent', 'crack'))
    with pytest.raises(ValueError, match=r'train\.json') as error:
        sampler(dataset)
    assert "classes=('crack', 'dent')" in str(error.value)
    right, _ = files.coco(tmp_path, classes=('crack', 'dent'))
    assert sampler(right).pools['crack'].tolist() == files.expected(right)[0]['crack']


def test_a_misspelt_class_that_shifts_the_labels_after_it_is_refused(tmp_path):
    dataset, _ = files.coco(tmp_path, classes=('krack', 'dent'))
    with pytest.raises(ValueError, match=r"'dent'.*such as 'krack'"):
        sampler(dataset)


def test_a_class_that_the_file_lacks_is_told_next_to_those_left_out(tmp_path, log):
    dataset, _ = files.coco(tmp_path, classes=('crack', 'stane'))
    sampler(dataset)
    (message,) = [m for m in log if 'it leaves out' in m]
    assert "show: 'dent' (in 6), 'stain' (in 2); none shows ('stane',)" in message
    assert "metainfo=dict(classes=('crack', 'dent', 'stain'))" in message


def test_lvis_with_some_of_its_classes_is_refused_for_it_ignores_the_choice(tmp_path):
    pytest.importorskip('lvis')
    path = files.coco_json(tmp_path / 'lvis.json', IMAGES[:2], ('stain', *CLASSES))
    dataset, _ = files.coco(
        tmp_path, 'LVISV1Dataset', ('crack', 'stain', 'dent'), ann_file=path
    )
    with pytest.raises(ValueError, match=r"LVISV1Dataset.*label 0 to 'stain'"):
        sampler(dataset)


def test_categories_are_found_in_a_file_that_lists_them_first(tmp_path):
    content = json.loads(Path(files.coco_json(tmp_path / 'last.json')).read_text())
    turned = dict(reversed(list(content.items())))
    (tmp_path / 'first.json').write_text(json.dumps(turned, indent=1))
    path = str(tmp_path / 'first.json')
    dataset, _ = files.coco(tmp_path, classes=('dent', 'crack'), ann_file=path)
    with pytest.raises(ValueError, match="label 0 to 'crack'"):
        sampler(dataset)


def test_a_class_of_the_user_that_merges_categories_is_accepted(tmp_path):
    class Merged(mmdet.CocoDataset):
        def parse_data_info(self, raw_data_info):
            self.cat2label = dict.fromkeys(self.cat2label, 0)
            return super().parse_data_info(raw_data_info)

        def load_data_list(self):
            self._metainfo['classes'] = CLASSES
            infos = super().load_data_list()
            self._metainfo['classes'] = ('defect',)
            return infos

    dataset, _ = files.coco(tmp_path, lazy_init=True)
    dataset.__class__ = Merged
    by_class = files.expected(dataset)[0]
    merged = sampler(dataset).pools['defect']
    assert merged.tolist() == sorted({i for c in by_class.values() for i in c})


def test_a_class_with_two_labels_in_two_parts_is_refused(tmp_path):
    one, _ = files.xml(tmp_path / 'one')
    two, _ = files.xml(tmp_path / 'two', classes=CLASSES[::-1])
    dataset = mmdet.ConcatDataset([one, two])
    with pytest.raises(ValueError, match=r"'dent' is label 1 in .*one.* 0 in .*two"):
        sampler(dataset)


def test_parts_that_hand_their_class_names_to_the_model_may_number_them_freely(
    tmp_path,
):
    one, _ = files.xml(tmp_path / 'one', return_classes=True)
    two, _ = files.xml(tmp_path / 'two', classes=CLASSES[::-1], return_classes=True)
    dataset = mmdet.ConcatDataset([one, two])
    by_class = files.expected(dataset)[0]
    assert sampler(dataset).pools['crack'].tolist() == by_class['crack']


def test_parts_with_different_metainfo_are_matched_by_name(tmp_path, log):
    coco, _ = files.coco(tmp_path / 'coco')
    xml, _ = files.xml(tmp_path / 'xml', classes=(*CLASSES, 'stain'))
    dataset = mmdet.ConcatDataset([coco, xml])
    crack = sampler(dataset, defect_classes=['crack']).pools['crack']
    assert crack.tolist() == files.expected(dataset)[0]['crack']
    stains = [12 + i for i, image in enumerate(IMAGES) if 'stain' in image.shows]
    assert source_of(dataset).scan.classes['stain'].tolist() == stains
    assert not [message for message in log if 'label' in message]


def test_two_classes_under_one_label_are_told(tmp_path, log):
    parts = [
        files.xml(tmp_path / name, classes=(name,), images=only(name))[0]
        for name in ('crack', 'dent')
    ]
    made = sampler(mmdet.ConcatDataset(parts))
    assert made.defect_classes == ('crack', 'dent')
    assert [m for m in log if "label 0 is 'crack'" in m and "'dent'" in m]


def test_a_part_whose_images_show_a_class_that_it_leaves_out_is_refused(tmp_path):
    one, _ = files.coco(tmp_path / 'one')
    two, _ = files.coco(tmp_path / 'two', classes=('crack',))
    dataset = mmdet.ConcatDataset([one, two])
    dents = [x for x in IMAGES if 'dent' in (*x.shows, *x.ignored)]
    with pytest.raises(ValueError, match=rf"'dent'.*two.* show: {len(dents)}, such"):
        sampler(dataset)
    assert sampler(dataset, defect_classes=['crack']).defect_classes == ('crack',)


def test_a_part_without_a_class_that_it_has_no_image_of_is_accepted(tmp_path, log):
    cracks = [x for x in IMAGES if not {'dent', 'stain'} & {*x.shows, *x.ignored}]
    path = files.coco_json(tmp_path / 'cracks.json', cracks, ('crack',))
    both = files.coco_json(tmp_path / 'both.json', categories=CLASSES)
    one, _ = files.coco(tmp_path / 'one', ann_file=both)
    two, _ = files.coco(tmp_path / 'two', classes=('crack',), ann_file=path)
    dataset = mmdet.ConcatDataset([one, two])
    assert (
        sampler(dataset).pools['crack'].tolist()
        == (files.expected(dataset)[0]['crack'])
    )
    assert not [message for message in log if 'name' in message]


def test_an_xml_part_whose_images_show_a_class_that_it_leaves_out_is_refused(tmp_path):
    one, _ = files.xml(tmp_path / 'one')
    two, _ = files.xml(tmp_path / 'two', classes=('crack',))
    with pytest.raises(ValueError, match=r"leaves out the defect class 'dent'.*two"):
        sampler(mmdet.ConcatDataset([one, two]))


# --- What the log says ------------------------------------------------------------


def test_the_log_counts_normal_images_with_ignored_or_other_instances(tmp_path, log):
    dataset, _ = files.coco(tmp_path)
    made = sampler(dataset, defect_classes=['crack'])
    QuotaBatchSampler(made, batch_size=2, quota=1)
    no_crack = [x for x in IMAGES if 'crack' not in x.shows]
    other = [x for x in no_crack if {'dent', 'stain'} & set(x.shows)]
    ignored = [x for x in no_crack if x.ignored and not x.shows]
    line = next(message for message in log if 'batches per epoch' in message)
    assert f'{len(no_crack)} normal + ' in line
    assert f', {len(other)} normal with other classes only' in line
    assert f', {len(ignored)} normal with ignored instances only' in line


def test_boxes_without_an_area_are_not_told_as_of_other_classes(tmp_path):
    """MMDetection drops them: what is left is a plain normal image."""
    path = Path(files.coco_json(tmp_path / 'flat.json'))
    content = json.loads(path.read_text())
    for annotation in content['annotations']:
        annotation['area'] = 0
    path.write_text(json.dumps(content))
    scanned = source_of(files.coco(tmp_path, ann_file=str(path))[0]).scan
    assert scanned.left_out.tolist() == [
        i for i, image in enumerate(IMAGES) if 'stain' in image.shows
    ]
    assert pools(scanned) == dict(crack=[], dent=[])


def test_the_log_says_nothing_of_such_images_where_there_are_none(tmp_path, log):
    path = files.coco_json(tmp_path / 'clean.json', IMAGES[:2])
    dataset, _ = files.coco(tmp_path, ann_file=path)
    QuotaBatchSampler(sampler(dataset), batch_size=2, quota=1, num_batches=1)
    assert not [message for message in log if ' only' in message]


def test_a_scan_longer_than_two_seconds_shows_its_progress(annotated, log):
    class Slow(annotated):
        def get_data_info(self, index):
            time.sleep(0.008)
            return super().get_data_info(index)

    assert source_of(Slow([[0], []] * 150)).scan
    assert [m for m in log if m.startswith('reading the annotations: 2')]


def test_a_short_scan_is_silent(tmp_path, log):
    dataset, _ = files.coco(tmp_path)
    log.clear()
    assert source_of(dataset).scan
    assert not log


# --- Configs ----------------------------------------------------------------------

TEXT_BASE = """
dataset_type = 'mmdet.CocoDataset'
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        type='RepeatDataset',
        times=2,
        dataset=dict(
            type=dataset_type,
            ann_file='train.json',
            data_root='{root}',
            data_prefix=dict(img='images/'),
            metainfo=dict(classes=('crack', 'dent')),
            pipeline=[
                dict(type='mmdet.LoadAnnotations', with_bbox=True),
                dict(type='mmdet.PackDetInputs', meta_keys=('img_id',)),
            ])))
"""
TEXT = """
_base_ = './base.py'
custom_imports = dict(imports=['mmdefect'], allow_failed_imports=False)
train_dataloader = dict(
    sampler=dict(type='DefectPoolSampler'),
    batch_sampler=dict(type='QuotaBatchSampler', quota=3))
"""
PYTHON_BASE = """
from mmdet.datasets import AspectRatioBatchSampler, CocoDataset
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmengine.dataset import DefaultSampler, RepeatDataset

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type=DefaultSampler, shuffle=True),
    batch_sampler=dict(type=AspectRatioBatchSampler),
    dataset=dict(
        type=RepeatDataset,
        times=2,
        dataset=dict(
            type=CocoDataset,
            ann_file='train.json',
            data_root='{root}',
            data_prefix=dict(img='images/'),
            metainfo=dict(classes=('crack', 'dent')),
            pipeline=[
                dict(type=LoadAnnotations, with_bbox=True),
                dict(type=PackDetInputs, meta_keys=('img_id',)),
            ])))
"""
PYTHON = """
from mmengine.config import read_base

with read_base():
    from .base import *

from mmdefect import DefectPoolSampler, QuotaBatchSampler

train_dataloader.update(
    sampler=dict(type=DefectPoolSampler),
    batch_sampler=dict(type=QuotaBatchSampler, quota=3))
"""
OPTIONS = {
    'train_dataloader.sampler': dict(type='DefectPoolSampler'),
    'train_dataloader.batch_sampler': dict(type='QuotaBatchSampler', quota=3),
}


@pytest.mark.parametrize(
    ('base', 'config', 'options'),
    [
        (TEXT_BASE, TEXT, {}),
        (PYTHON_BASE, PYTHON, {}),
        (TEXT_BASE, "_base_ = './base.py'", OPTIONS),
        (TEXT_BASE, TEXT, {'train_dataloader.batch_sampler.quota': 1}),
    ],
    ids=['text', 'pure Python', 'merge_from_dict', 'quota by merge_from_dict'],
)
def test_every_way_to_write_a_config_gives_the_quota(base, config, options, tmp_path):
    files.coco_json(tmp_path / 'train.json')
    (tmp_path / 'base.py').write_text(base.replace('{root}', f'{tmp_path}/'))
    (tmp_path / 'config.py').write_text(config)
    cfg = Config.fromfile(str(tmp_path / 'config.py'))
    cfg.merge_from_dict(options)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    quota = loader.batch_sampler.quota
    assert quota == options.get('train_dataloader.batch_sampler.quota', 3)
    batches = list(loader)
    assert len(batches) == len(loader) > 1
    for batch in batches:
        assert len(batch['data_samples']) == 4
        assert sum(len(x.gt_instances) > 0 for x in batch['data_samples']) == quota


# --- Refused by name --------------------------------------------------------------


def video(folder):
    path = files.coco_json(Path(folder, 'train.json'))
    meta = dict(classes=CLASSES)
    return mmdet.BaseVideoDataset(
        ann_file=path, metainfo=meta, filter_cfg=dict(min_size=1)
    )


class Stream(IterableDataset):
    def __iter__(self):
        yield from IMAGES


def semi_supervised(folder):
    branch = dict(type='mmdet.MultiBranch', branch_field=['sup'], sup=[])
    labelled, _ = files.coco(folder, pipeline=[*files.LABELS, branch])
    return mmdet.ConcatDataset([labelled, labelled])


def phrases(folder):
    region = dict(bbox=[1, 1, 9, 9], phrase='a crack', tokens_positive=[[0, 7]])
    grounding = dict(caption='a crack', regions=[region])
    line = dict(filename='c01.jpg', height=64, width=64, grounding=grounding)
    path = Path(folder, 'odvg.jsonl')
    path.write_text(json.dumps(line))
    return mmdet.ODVGDataset(
        ann_file=str(path), data_prefix=dict(img=''), return_classes=True
    )


def people(folder):
    path = Path(folder, 'list.txt')
    path.write_text('c01.jpg 0\nc02.jpg 1')
    return mmdet.ReIDDataset(ann_file=str(path), data_prefix=dict(img_path=''))


def proposals(folder):
    dataset, _ = files.data_list(folder, serialize_data=False)
    for info in dataset.data_list:
        info['proposals'] = info.pop('instances')
    return dataset


def own_format(folder):
    dataset = proposals(folder)
    dataset.__class__ = type('OwnDataset', (mmdet.BaseSegDataset.__base__,), {})
    return dataset


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (video, r'BaseVideoDataset .*train\.json.* holds videos: take CocoDataset'),
        (lambda _: Stream(), 'Stream has no indices to draw: take a dataset with len'),
        (lambda _: ChainDataset([Stream()]), 'ChainDataset has no indices'),
        (semi_supervised, r'CocoDataset .*MultiBranch.*MultiSourceSampler'),
        (phrases, 'ODVGDataset .*phrases.*CocoDataset with return_classes=True'),
        (people, 'ReIDDataset .*no boxes: take CocoDataset'),
        (proposals, r"BaseDetDataset .*'instances'\] or get_cat_ids"),
        (own_format, r"OwnDataset .*'instances'\] or get_cat_ids"),
        (lambda _: [1, 2, 3], r"list does not tell .*'instances'\] or get_cat_ids"),
    ],
)
@pytest.mark.parametrize('wrapped', [False, True])
def test_what_has_no_images_to_draw_is_refused_by_name(
    build, message, wrapped, tmp_path
):
    dataset = build(tmp_path)
    if wrapped:
        dataset = Subset(dataset, [0])
    with pytest.raises(TypeError, match=message):
        sampler(dataset)


# --- Bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ('content', 'kind'),
    [
        (None, FileNotFoundError),
        ('', ValueError),
        ('{"images": [{"id": 1, "file', ValueError),
        ('{"images": [], "annotations": [], "categories": []}', ValueError),
        ('{"images": []}', ValueError),
    ],
    ids=['missing', 'empty', 'cut off', 'no image', 'no annotations'],
)
def test_a_broken_annotation_file_is_named(content, kind, tmp_path):
    path = tmp_path / 'broken.json'
    if content is not None:
        path.write_text(content)
    fine, _ = files.coco(tmp_path)
    broken, _ = files.coco(tmp_path, ann_file=str(path), lazy_init=True)
    dataset = mmdet.ConcatDataset([fine, broken], lazy_init=True)
    with pytest.raises(kind, match=r'CocoDataset \(.*broken\.json\)'):
        sampler(dataset)


def test_a_part_without_images_is_named(tmp_path):
    fine, _ = files.coco(tmp_path)
    path = files.coco_json(tmp_path / 'none.json', [])
    empty, _ = files.coco(tmp_path, ann_file=path, serialize_data=False)
    for dataset in (empty, mmdet.ConcatDataset([fine, empty])):
        with pytest.raises(ValueError, match=r'none\.json\) holds no image.*ann_file'):
            sampler(dataset)


@pytest.mark.parametrize(
    ('instance', 'message'),
    [
        (dict(bbox=[1, 1, 9, 9], ignore_flag=0), "without a bbox_label .*'bbox_label'"),
        (dict(bbox_label=2, ignore_flag=0), 'bbox_label=2, but.* 2 classes: crack'),
        (dict(bbox_label=-1, ignore_flag=0), 'bbox_label=-1, but'),
        (dict(bbox_label='dent', ignore_flag=0), "bbox_label='dent', but"),
        (dict(bbox_label=[1], ignore_flag=0), 'without a bbox_label .*unhashable'),
    ],
)
@pytest.mark.parametrize('serialize', [True, False])
def test_an_instance_without_a_class_is_named(instance, message, serialize, tmp_path):
    path = Path(files.data_list_json(tmp_path / 'list.json'))
    content = json.loads(path.read_text())
    content['data_list'][6]['instances'].append(instance)
    path.write_text(json.dumps(content))
    dataset, _ = files.data_list(tmp_path, ann_file=path, serialize_data=serialize)
    with pytest.raises(
        ValueError, match=rf'list\.json\), image 6 .*n06.jpg.*{message}'
    ):
        sampler(Subset(dataset, [6]))


def test_classes_that_metainfo_does_not_name_are_asked_for(tmp_path):
    path = Path(files.data_list_json(tmp_path / 'list.json'))
    path.write_text(json.dumps(dict(json.loads(path.read_text()), metainfo={})))
    dataset, _ = files.data_list(tmp_path, ann_file=str(path))
    with pytest.raises(ValueError, match=r'list\.json\) names no classes.*metainfo='):
        sampler(dataset)


def test_a_class_that_metainfo_names_twice_is_refused(tmp_path):
    dataset, _ = files.xml(tmp_path, classes=('crack', 'dent', 'crack'))
    with pytest.raises(ValueError, match=r"'crack' is label 0 .* and label 2"):
        sampler(dataset)


# --- Speed ------------------------------------------------------------------------


def test_a_scan_costs_a_fraction_of_loading_and_little_memory(tmp_path):
    """Bounds are wide, for a busy machine; the tool measures the ones promised."""
    tool, report = ROOT / 'tools/benchmark_scan.py', tmp_path / 'report.json'
    options = ['--images', '10000', '--sets', 'sparse', '--rounds', '3', '--json']
    subprocess.run([sys.executable, str(tool), *options, str(report)], check=True)
    row = json.loads(report.read_text())['sparse']
    assert row['scan / loading'] < 0.3
    assert row['wrapped twice / scan'] < 2.6
    assert row['scan and truth / loading'] < 0.5
    assert row['extra memory, MB'] < 10
