"""What a COCO file gives its images, as far as MMDetection's dataset remembers it.

``CocoDataset`` drops instances without a word, but keeps ``cat_img_map``: of each
category, the ids of the images that the file gives an instance of it. So an image whose
instances all count, and are as many as the file gives it, shows what the file says, and
need not be read; and an image that is missing there has lost something.
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from mmdefect.pools.serialized import (
    Serialized,
    is_plain,
    is_serialized,
    keys,
)
from mmdefect.pools.walk import is_a, loads_as_mmdet


def is_coco(leaf: Any) -> bool:
    """Whether a dataset reads a COCO file as MMDetection does, not in its own way."""
    stock = loads_as_mmdet(leaf, 'load_data_list', 'parse_data_info')
    return stock and is_plain(leaf) and hasattr(leaf, 'cat_img_map')


def reads_coco(leaf: Any) -> bool:
    """The same, or a class of the user's that derives from MMDetection's."""
    derived = is_plain(leaf) and is_a(leaf, 'CocoDataset')
    return is_coco(leaf) or (derived and hasattr(leaf, 'cat_img_map'))


def image_ids(leaf: Any) -> np.ndarray:
    """Keys of the image ids of a dataset, int64 in its order."""
    if is_serialized(leaf):
        return Serialized(leaf).ids()
    return keys([info.get('img_id') for info in leaf.data_list])


class Listed:
    """Which image shows which class, according to the COCO file of a dataset.

    Attributes:
        uncertain (np.ndarray): Indices of the images that have to be read, because not
            all that the file gives them is seen to count.
        left_out (np.ndarray): Indices of the images that the file gives instances of
            other categories than the dataset takes.
    """

    def __init__(self, leaf: Any) -> None:
        self._ids, self._labels = image_ids(leaf), dict(leaf.cat2label)
        # By category: where it is in the dataset, and of the others, their ids.
        self._images: dict[Any, np.ndarray] = {}
        self._elsewhere: dict[Any, np.ndarray] = {}
        find = _Finder(self._ids)
        given = np.zeros(len(self._ids), np.int32)
        others = np.zeros(len(given), bool)
        for category, listed in leaf.cat_img_map.items():
            ids = keys(listed)
            images = find(ids)
            inside = images[images >= 0]
            if category in self._labels:
                # An image is listed once for each of its instances.
                given += np.bincount(inside, minlength=len(given))
                shows = np.zeros(len(given), bool)
                shows[inside] = True
                self._images[category] = np.flatnonzero(shows).astype(np.int32)
                self._elsewhere[category] = np.unique(ids[images < 0])
            else:
                others[inside] = True
        self.left_out = np.flatnonzero(others)
        # A class of the user's may have other images, and make others of their boxes.
        self._comparable = is_coco(leaf) or find.unique
        if find.unique and is_serialized(leaf) and is_coco(leaf):
            self._certain = given == Serialized(leaf).counted()
        else:
            self._certain = np.zeros(len(given), bool)
        self.uncertain = np.flatnonzero(~self._certain)

    def shown(self) -> dict[int, np.ndarray]:
        """By label, the sorted indices of the other images that show it."""
        return {
            self._labels[category]: images[self._certain[images]].astype(np.int64)
            for category, images in self._images.items()
        }

    def unseen(
        self, seen: Sequence[Mapping[Any, np.ndarray]]
    ) -> dict[Any, np.ndarray] | None:
        """Images that the file gives an instance, and the dataset does not."""
        if not self._comparable:
            return None
        lost = {}
        for category, images in self._images.items():
            images = images[~self._certain[images]]
            for kind in seen:
                images = np.setdiff1d(images, kind.get(self._labels[category], ()))
            ids = np.append(self._ids[images], self._elsewhere[category])
            if len(ids):
                lost[category] = ids
        return lost


class _Finder:
    # Finds images by the keys of their ids.

    def __init__(self, ids: np.ndarray) -> None:
        self._order, self._sorted = None, ids
        if not _rise(ids):  # most files list them in order
            self._order = np.argsort(ids, kind='stable').astype(np.int32)
            self._sorted = ids[self._order]
        self.unique = _rise(self._sorted)

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        # Their indices, -1 where there is none.
        places = np.searchsorted(self._sorted, ids)
        places[places == len(self._sorted)] = 0
        images = places if self._order is None else self._order[places]
        return np.where(self._sorted[places] == ids, images, -1)


def _rise(ids: np.ndarray) -> bool:
    return bool((ids[1:] > ids[:-1]).all())
