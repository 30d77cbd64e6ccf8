"""The annotations of a dataset that is no wrapper, image by image."""

from __future__ import annotations

import pickle
from typing import Any, Callable, Iterator, Mapping

from mmengine.dataset import BaseDataset


def infos_of(leaf: Any) -> Iterator[Mapping[str, Any]]:
    """The annotations of all images, front to back."""
    if not is_plain(leaf):
        read: Callable[[int], Any] = getattr(leaf, 'get_data_info', lambda index: {})
        yield from map(read, range(len(leaf)))
    elif not leaf.serialize_data:
        yield from leaf.data_list
    else:  # by index, MMEngine copies each image's bytes and adds its own keys
        stored, start = memoryview(leaf.data_bytes), 0
        for end in memoryview(leaf.data_address):
            yield pickle.loads(stored[start:end])
            start = end


def is_plain(leaf: Any) -> bool:
    """Whether a dataset hands out its annotations as MMEngine keeps them."""
    return all(
        getattr(type(leaf), name, None) is getattr(BaseDataset, name)
        for name in ('get_data_info', '__len__')
    )
