"""What a COCO file gives its images, as far as MMDetection's dataset remembers it.

``CocoDataset`` drops instances without a word, but keeps ``cat_img_map``: of each
category, the ids of the images that the file gives an instance of it.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, Mapping, Sequence

import numpy as np

from mmdefect.pools.indices import NONE, hashes, union
from mmdefect.pools.infos import infos_of, is_plain
from mmdefect.pools.walk import is_a, loads_as_mmdet


def reads_coco(leaf: Any) -> bool:
    """Whether a dataset reads a COCO file, also in a way of its own."""
    kept = is_plain(leaf) and hasattr(leaf, 'cat_img_map')
    return kept and is_a(leaf, 'CocoDataset')


def reads_coco_as_mmdet(leaf: Any) -> bool:
    """Whether a dataset reads it as MMDetection does."""
    stock = loads_as_mmdet(leaf, 'load_data_list', 'parse_data_info')
    return stock and reads_coco(leaf)


def not_taken(
    leaf: Any, kinds: Sequence[Mapping[Any, np.ndarray]]
) -> tuple[set | None, dict[Any, np.ndarray]]:
    """What its COCO file gives images, and a dataset does not.

    Args:
        leaf: The dataset.
        kinds (Sequence[dict]): By label, indices of images that have instances of it.

    Returns:
        tuple: The labels that images lack, None where its images and those of the file
        cannot be compared; and by category without a label the indices of the images
        with it that have no instance.
    """
    unseen, left_out, size, stock = set(), {}, len(leaf), reads_coco_as_mmdet(leaf)
    annotated, ids = union(chain(*(kind.values() for kind in kinds)), size), NONE
    if not (stock and leaf.cat2label.keys() >= leaf.cat_img_map.keys()):
        ids = hashes(info.get('img_id') for info in infos_of(leaf))
    for category, listed in leaf.cat_img_map.items():
        given, label = np.unique(hashes(listed)), leaf.cat2label.get(category)
        seen = union((kind.get(label, NONE) for kind in kinds), size)
        if label is None:
            left_out[category] = np.flatnonzero(np.isin(ids, given) & ~annotated)
        # A class of the user's may have other images than the file.
        elif len(given) > seen.sum() if stock else not np.isin(given, ids[seen]).all():
            unseen.add(label)
    comparable = stock or len(np.unique(ids)) == size
    return unseen if comparable else None, left_out
