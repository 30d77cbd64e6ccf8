"""A list that is written by name is read back as the same images."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import Annotated

from mmdefect.pools.names import image_names
from mmdefect.pools.pools import find_images
from mmdefect.pools.source import source_of


class Named(Annotated):
    """Images of which only the paths matter."""

    def __init__(self, paths, ids=None):
        super().__init__([[0]] * len(paths))
        self.paths, self.ids = paths, ids or range(len(paths))

    def get_data_info(self, index):
        info = super().get_data_info(index)
        return dict(info, img_path=self.paths[index], img_id=self.ids[index])


@pytest.mark.parametrize(
    ('paths', 'ids', 'names'),
    [
        (['/a/1.png', '/a/2.png'], None, ['1.png', '2.png']),
        (
            ['/a/x/1.png', '/a/y/1.png', '/a/3.png'],
            None,
            ['x/1.png', 'y/1.png', '3.png'],
        ),
        # the end of one is the whole of another
        (['1.png', 'a/1.png'], [5, 6], ['5', 'a/1.png']),
        # the name of one is the id of another, and one reads as a comment
        (['/a/b/7', '/a/b/8'], [8, 7], ['b/7', 'b/8']),
        (['/a/#1.png', '/a/2 3.png'], None, ['a/#1.png', '2 3.png']),
    ],
)
def test_each_name_finds_its_image_again(paths, ids, names):
    dataset = Named(paths, ids)
    found = image_names(dataset)
    assert list(found.values()) == names
    again = find_images(names, source_of(dataset), 'list.txt', 'line')
    assert [again[name].tolist() for name in names] == [[n] for n in range(len(names))]


def test_real_images_are_found_again(coco):
    dataset = coco.dataset()
    found = image_names(dataset)
    again = find_images(list(found.values()), source_of(dataset), 'list.txt', 'line')
    assert np.concatenate(list(again.values())).tolist() == list(range(len(dataset)))
