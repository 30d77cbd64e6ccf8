"""Which image of a dataset is in which pool, and lists that users write."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import ConfigDict
from mmengine.dataset import ClassBalancedDataset, RepeatDataset
from torch.utils.data import Subset

from mmdefect.pools.pools import find_images, make_pools, read_lines, read_pool
from mmdefect.pools.scan import Scan
from mmdefect.pools.source import source_of

LINE = "train_dataloader.sampler.pools['hard']"


def pools_of(dataset, defect_classes=None, extra=None):
    scanned = source_of(dataset).scan
    return make_pools(scanned, defect_classes or tuple(scanned.classes), extra)


def ids(dataset, indices):
    return sorted(dataset.get_data_info(int(i))['img_id'] for i in indices)


# --- indices, not annotation ids ---------------------------------------------


@pytest.mark.parametrize('serialize', [True, False])
@pytest.mark.parametrize('lazy', [True, False])
def test_pools_hold_indices_where_image_ids_are_sparse_and_shuffled(
    coco, serialize, lazy
):
    dataset = coco.dataset(serialize_data=serialize, lazy_init=lazy)
    pools = pools_of(dataset)
    assert len(dataset) == 58
    assert min(coco.ids) > len(dataset), 'no id may pass for an index'
    for name in ('crack', 'dent'):
        shown = [i for i, names in coco.labels.items() if name in names]
        assert ids(dataset, pools[name]) == sorted(shown)
    assert ids(dataset, pools['defect']) == sorted(
        i for i in coco.ids if coco.labels[i]
    )
    kept = set(coco.ids) - set(coco.tiny)
    assert ids(dataset, pools['normal']) == sorted(
        i for i in kept if not coco.labels[i]
    )
    for pool in pools.values():
        assert pool.dtype == np.int64
        assert (np.diff(pool) > 0).all()


def test_an_image_with_crowds_or_ignored_instances_only_is_normal(coco):
    dataset = coco.dataset()
    scanned = source_of(dataset).scan
    pools = pools_of(dataset)
    assert len(coco.ignored) == 3
    assert ids(dataset, scanned.ignored) == sorted(coco.ignored)
    assert np.isin(scanned.ignored, pools['normal']).all()
    # a crowd beside an instance that counts takes nothing away
    assert len(pools['defect']) == 6


def test_a_class_that_metainfo_leaves_out_is_no_defect(coco):
    dataset = coco.dataset(metainfo=dict(classes=('dent',)))
    pools = pools_of(dataset)
    shown = sorted(i for i in coco.ids if 'dent' in coco.labels[i])
    assert ids(dataset, pools['defect']) == shown
    assert 'crack' not in pools
    assert len(pools['normal']) + len(shown) == len(dataset)


@pytest.mark.parametrize(
    'indices', [20, [3, 11, 1, 58 - 1, 21, 41]], ids=['the first 20', 'a list']
)
def test_pools_follow_the_indices_that_the_dataset_was_cut_to(coco, indices):
    dataset = coco.dataset(indices=indices)
    pools = pools_of(dataset)
    for index in range(len(dataset)):
        shown = bool(coco.labels[dataset.get_data_info(index)['img_id']])
        assert (index in pools['defect']) == shown
        assert (index in pools['normal']) != shown


def test_wrappers_are_looked_through_in_any_order(coco):
    from mmdet.datasets import ConcatDataset, MultiImageMixDataset

    twice = dict(type=RepeatDataset, dataset=coco.dataset(), times=2)
    balanced = dict(
        type=ClassBalancedDataset, dataset=coco.dataset(), oversample_thr=0.5
    )
    both = dict(type=ConcatDataset, datasets=[twice, balanced])
    dataset = MultiImageMixDataset(both, [dict(type='mmdet.RandomFlip', prob=0.5)])
    assert len(dataset) > 3 * 58
    pools = pools_of(dataset)
    for index in range(len(dataset)):
        names = coco.labels[dataset.get_data_info(index)['img_id']]
        assert (index in pools['normal']) == (not names)
        assert (index in pools['crack']) == ('crack' in names)
        assert (index in pools['dent']) == ('dent' in names)
    half = np.arange(len(dataset))[::-2]
    subset = pools_of(Subset(dataset, half.tolist()))
    for name, pool in subset.items():
        assert half[pool].tolist() == np.intersect1d(half, pools[name])[::-1].tolist()


def test_a_users_own_dataset_needs_instances_or_cat_ids_only(few_defects):
    class Labelled:
        metainfo = few_defects.metainfo

        def __len__(self):
            return 52

        def get_cat_ids(self, index):
            return few_defects.images[index]

    expected = pools_of(few_defects)
    found = pools_of(Labelled())
    assert expected['crack'].tolist() == [0, 13, 26, 39]
    assert expected['dent'].tolist() == [0, 17, 34, 51]
    assert {n: p.tolist() for n, p in found.items()} == {
        n: p.tolist() for n, p in expected.items()
    }


def test_an_image_without_the_key_instances_is_normal(annotated):
    class Sparse(annotated):
        def get_data_info(self, index):
            info = super().get_data_info(index)
            return info if info['instances'] else {'img_path': info['img_path']}

        def get_cat_ids(self, index):
            raise AssertionError('not needed')

    pools = pools_of(Sparse([[], [0], [], [1], []]))
    assert pools['crack'].tolist() == [1]
    assert pools['dent'].tolist() == [3]
    assert pools['normal'].tolist() == [0, 2, 4]


def test_a_label_beyond_the_classes_is_refused(annotated):
    with pytest.raises(ValueError, match='bbox_label=2') as caught:
        assert source_of(annotated([[], [], [2]])).scan
    for word in ('image 2', '2 classes', 'crack, dent', 'train_dataloader.dataset'):
        assert word in str(caught.value)


def test_a_dataset_without_class_names_is_refused(annotated):
    with pytest.raises(ValueError, match=r'train_dataloader\.dataset\.metainfo'):
        assert source_of(annotated([[], [0]], classes=())).scan


def test_a_dataset_that_does_not_tell_its_defects_is_refused(few_defects):
    class Silent:
        metainfo = few_defects.metainfo

        def __len__(self):
            return 3

    with pytest.raises(TypeError, match='Silent') as caught:
        assert source_of(Silent()).scan
    assert 'train_dataloader.dataset' in str(caught.value)
    assert 'get_cat_ids' in str(caught.value)


# --- pools made of these -----------------------------------------------------


@given(data=st.data(), length=st.integers(1, 40))
def test_an_image_is_normal_where_no_class_and_no_list_claims_it(data, length):
    subsets = st.lists(st.integers(0, length - 1), unique=True).map(sorted)
    classes = {n: np.array(data.draw(subsets), np.int64) for n in ('a', 'b', 'c')}
    hard = np.array(data.draw(subsets), np.int64)
    scanned = Scan(length, classes, np.array([], np.int64))
    pools = make_pools(scanned, ('a', 'b'), {'hard': hard})
    defect = set(classes['a']) | set(classes['b'])
    assert set(pools['defect']) == defect
    assert set(pools['hard']) == set(hard)
    assert set(pools['normal']) == set(range(length)) - defect - set(hard)
    assert 'c' not in pools
    assert list(pools) == ['normal', 'defect', 'a', 'b', 'hard']


def test_a_class_named_defect_does_not_replace_the_pool_of_all_defects():
    classes = {'defect': np.array([1]), 'other': np.array([2])}
    pools = make_pools(Scan(4, classes, np.array([], int)), ('defect', 'other'))
    assert pools['defect'].tolist() == [1, 2]
    assert pools['normal'].tolist() == [0, 3]


# --- a user's own list -------------------------------------------------------


@pytest.mark.parametrize(
    'listing',
    [
        [7, 2, 30],
        (7, 2, 30),
        np.array([7, 2, 30], np.int32),
        [np.int64(7), np.uint8(2), 30],
        ConfigDict(hard=[7, 2, 30]).hard,
    ],
    ids=['list', 'tuple', 'array', 'NumPy ints', 'config'],
)
def test_a_pool_may_be_listed_by_indices(few_defects, listing):
    assert read_pool('hard', listing, source_of(few_defects)).tolist() == [2, 7, 30]


@pytest.mark.parametrize(
    'text',
    [
        '0007.png\n0002.png\n0030.png\n',
        'line1/0007.png\nline0/0002.png\nline0/0030.png',
        '8951\n8986\n8790',
        '\n# hard ones\n8951\n\n  0002.png  \r\n0030.png\n\n',
    ],
    ids=['names', 'ends of paths', 'image ids', 'mixed, with comments'],
)
@pytest.mark.parametrize('kind', [str, Path])
def test_a_pool_may_be_listed_in_a_file(few_defects, tmp_path, text, kind):
    path = tmp_path / 'hard.txt'
    path.write_text(text)
    assert read_pool('hard', kind(path), source_of(few_defects)).tolist() == [2, 7, 30]


def test_an_image_id_is_never_taken_for_an_index(coco, tmp_path):
    dataset = coco.dataset()
    image = dataset.get_data_info(9)['img_id']
    (tmp_path / 'hard.txt').write_text(f'{image}\n')
    assert read_pool('hard', tmp_path / 'hard.txt', source_of(dataset)).tolist() == [9]


def test_a_listed_image_is_found_in_every_copy_that_a_wrapper_makes(coco, tmp_path):
    repeated = RepeatDataset(coco.dataset(), 3)
    name = Path(repeated.get_data_info(4)['img_path']).name
    (tmp_path / 'hard.txt').write_text(name)
    expected = [4, 62, 120]
    assert (
        read_pool('hard', tmp_path / 'hard.txt', source_of(repeated)).tolist()
        == expected
    )
    subset = Subset(repeated, [120, 5, 4])
    assert read_pool('hard', tmp_path / 'hard.txt', source_of(subset)).tolist() == [
        0,
        2,
    ]


def refusal(error, call, *args):
    with pytest.raises(error) as caught:
        call(*args)
    assert caught.type is error
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ('listing', 'error', 'words'),
    [
        ([], ValueError, ['empty']),
        (
            [0, 52, 5, -1, 99, 70],
            ValueError,
            ['4 indices', '52 images', '[52, -1, 99]'],
        ),
        ([3, 1, 3, 1, 1], ValueError, ['2 images twice', '[1, 3]']),
        ([0.5, 1], TypeError, ['[0.5, 1]', 'text file or a list of indices']),
        ([True, False], TypeError, ['[True, False]', 'list of indices']),
        (['0001.png'], TypeError, ["['0001.png']", 'text file']),
        ([[1, 2], [3]], TypeError, ['[[1, 2], [3]]', 'list of indices']),
        ([[1, 2], [3, 4]], TypeError, ['[[1, 2], [3, 4]]', 'list of indices']),
        (5, TypeError, ['=5', 'list of indices']),
        (None, TypeError, ['None', 'list of indices']),
        (ConfigDict(a=1), TypeError, ["{'a': 1}", 'list of indices']),
    ],
    ids=repr,
)
def test_a_list_that_does_not_fit_the_dataset_is_refused(
    few_defects, listing, error, words
):
    message = refusal(error, read_pool, 'hard', listing, source_of(few_defects))
    for word in ["pools['hard']", LINE, *words]:
        assert word in message


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', ['empty', 'file name or image id']),
        ('\n# nothing\n\n', ['empty', 'file name or image id']),
        (
            '0001.png\nx.png\ny.png\n0\nz.png\n',
            ['4 images', 'not in the dataset', "['x.png', 'y.png', '0']"],
        ),
        ('0001.png\n0002.png\n0001.png', ['twice', "['0001.png', '0001.png']"]),
        ('0001.png\n8993', ['twice', "['0001.png', '8993']"]),
    ],
    ids=['empty', 'comments only', 'unknown', 'twice', 'by name and by id'],
)
def test_a_file_that_does_not_fit_the_dataset_is_refused(
    few_defects, tmp_path, text, words
):
    path = tmp_path / 'hard.txt'
    path.write_text(text)
    message = refusal(ValueError, read_pool, 'hard', str(path), source_of(few_defects))
    for word in [str(path), LINE, *words]:
        assert word in message


def test_a_missing_file_is_named(few_defects, tmp_path):
    for path in (tmp_path / 'none.txt', tmp_path):
        message = refusal(
            FileNotFoundError, read_pool, 'hard', path, source_of(few_defects)
        )
        assert str(path) in message
        assert LINE in message


def test_a_name_that_fits_several_images_is_refused(annotated, tmp_path):
    class SameNames(annotated):
        def get_data_info(self, index):
            info = super().get_data_info(index)
            return {**info, 'img_path': f'line{index}/front.png'}

    dataset = SameNames([[], [0], []])
    path = tmp_path / 'hard.txt'
    path.write_text('front.png')
    message = refusal(ValueError, read_pool, 'hard', path, source_of(dataset))
    for word in ('1 images that fit several', "['front.png']", LINE):
        assert word in message
    path.write_text('line2/front.png')
    assert read_pool('hard', path, source_of(dataset)).tolist() == [2]


def test_images_are_found_by_whole_parts_of_their_path(few_defects):
    found = find_images(['line1/0007.png'], source_of(few_defects), 'x', LINE)
    assert {name: indices.tolist() for name, indices in found.items()} == {
        'line1/0007.png': [7]
    }
    for part in ('7.png', '1/0007.png', 'line1', '0007'):
        refusal(ValueError, find_images, [part], source_of(few_defects), 'x', LINE)


def test_lines_are_read_without_blanks_and_comments(tmp_path):
    path = tmp_path / 'ümlaut.txt'
    path.write_text('a b.png\n\n#c\n ä.png \n', encoding='utf-8')
    assert read_lines(path, LINE) == ['a b.png', 'ä.png']


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig'])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_a_list_is_read_as_any_editor_saves_it(few_defects, tmp_path, encoding, end):
    path = tmp_path / 'hard.txt'
    path.write_bytes(end.join(['0007.png', '0002.png']).encode(encoding))
    assert read_pool('hard', path, source_of(few_defects)).tolist() == [2, 7]


@pytest.mark.parametrize(
    ('encoding', 'said'), [('utf-16', 'is UTF-16'), ('cp949', 'is not UTF-8')]
)
def test_a_list_in_another_encoding_is_told_so(few_defects, tmp_path, encoding, said):
    path = tmp_path / 'hard.txt'
    path.write_bytes('불량/0007.png\n'.encode(encoding))
    message = refusal(ValueError, read_pool, 'hard', path, source_of(few_defects))
    for word in (f'{path} {said}', 'expected a text file in UTF-8', LINE):
        assert word in message


@pytest.mark.parametrize('name', ['한글/é.png', 'ば é.png', '한글\\é.png'])
@pytest.mark.parametrize('forms', [('NFC', 'NFD'), ('NFD', 'NFC')])
def test_a_name_with_letters_taken_apart_is_found(annotated, tmp_path, name, forms):
    """As macOS writes them, and as a spreadsheet does."""
    listed, stored = (normalize(form, name) for form in forms)

    class Named(annotated):
        def get_data_info(self, index):
            info = super().get_data_info(index)
            path = f'line{index}/{stored}'.replace('\\', '/')
            return {**info, 'img_path': path} if index else info

    path = tmp_path / 'hard.txt'
    path.write_text(listed, encoding='utf-8')
    assert read_pool('hard', path, source_of(Named([[], []]))).tolist() == [1]
