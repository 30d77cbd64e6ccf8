"""What is read off the bytes of annotations is what unpickling them gives."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.dataset import BaseDataset

from mmdefect.pools.serialized import CHUNK, Serialized, is_serialized, keys


class Listed(BaseDataset):
    def load_data_list(self):
        return [dict(info) for info in self.metainfo['infos']]


def stored(infos):
    dataset = Listed(metainfo=dict(infos=tuple(infos)))
    assert is_serialized(dataset)
    return Serialized(dataset)


IDS = st.sampled_from(
    [0, 1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**70, -1, 'a', '1', None, 2.5]
)
PATHS = st.text(max_size=3) | st.sampled_from(
    ['씌1.png', '┌x.png', 'a' * 255, 'b' * 256, 'c' * 70000]
)
NUMBERS = st.sampled_from([0, 75, 104, 500, 70000, 0.5])


def instance(flag, label, box, mask):
    """As CocoDataset makes it."""
    made = dict(ignore_flag=flag, bbox=box, bbox_label=label)
    return dict(made, mask=[box * 2]) if mask else made


INSTANCES = st.lists(
    st.builds(
        instance,
        st.integers(0, 1),
        st.integers(0, 300),
        st.lists(NUMBERS, min_size=4, max_size=4),
        st.booleans(),
    ),
    max_size=3,
)
INFOS = st.lists(
    st.builds(
        lambda path, image, instances: dict(
            img_path=path, img_id=image, height=64, instances=instances
        ),
        PATHS,
        IDS,
        INSTANCES,
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=50)
@given(infos=INFOS)
def test_ids_paths_and_counts_are_those_of_the_annotations(infos):
    read = stored(infos)
    assert read.ids().tolist() == keys([x['img_id'] for x in infos]).tolist()
    seen = []
    read.paths(lambda path: seen.append(path) or 0)
    assert seen == [x['img_path'].encode() for x in infos]
    counted = [sum(not i['ignore_flag'] for i in x['instances']) for x in infos]
    assert read.counted().tolist() == counted
    assert list(read.load_all()) == infos
    assert [read.load(index) for index in range(len(infos))] == infos


@settings(max_examples=50)
@given(infos=INFOS, data=st.data())
def test_no_instance_is_counted_that_does_not_count(infos, data):
    """Where a user's dataset makes its instances otherwise."""
    for info in infos:
        info['instances'] = [
            dict(data.draw(st.permutations(list(each.items()))))
            for each in info['instances']
        ]
    counted = [sum(not i['ignore_flag'] for i in x['instances']) for x in infos]
    assert (stored(infos).counted() <= counted).all()


def test_many_images_are_read_in_parts_that_miss_none():
    size = 2 * CHUNK + 3
    infos = [dict(img_path=f'{n}.png', img_id=n) for n in range(size)]
    infos[CHUNK + 5]['img_id'] = 'text'
    read = stored(infos)
    expected = np.arange(size)
    expected[CHUNK + 5] = hash('text')
    assert read.ids().tolist() == expected.tolist()
    assert read.holding(b'text').tolist() == [CHUNK + 5]
    assert read.paths(lambda path: int(path[:-4])).tolist() == list(range(size))


def test_an_image_without_a_path_has_none():
    seen = []
    stored([dict(img_id=1), dict(img_id=2, img_path='x')]).paths(
        lambda path: seen.append(path) or 0
    )
    assert seen == [None, b'x']


@pytest.mark.parametrize('values', [[], [1, 2], [-1, 2], ['a', 1, 2.5], [True, 2**80]])
def test_equal_values_have_equal_keys(values):
    assert keys(values).dtype == np.int64
    for value in values:
        assert keys([value]).tolist() == keys([value, 'x']).tolist()[:1]
    assert pickle.loads(pickle.dumps(keys(values))).tolist() == keys(values).tolist()
