"""What a dataset is, asked in one place: its images, their names and what they show."""

from __future__ import annotations

from itertools import chain
from typing import Any, Container, Iterator, Mapping

import numpy as np

from mmdefect.pools.indices import union
from mmdefect.pools.infos import infos_of
from mmdefect.pools.labels import LabelNames
from mmdefect.pools.photographs import PhotographIds
from mmdefect.pools.scan import Scan, scan_leaves
from mmdefect.pools.walk import WRAPPER, is_a
from mmdefect.pools.wrappers import class_names, unwrap

# Where a dataset keeps its own; of no use in another process, or to a copy.
KEPT = '_mmdefect_source'


class Source:
    """A dataset through all its wrappers. What is asked of it is found out once.

    Attributes:
        dataset: The dataset, or the outermost wrapper around it.
        leaves (list): The datasets inside that store images.
        origin (np.ndarray): Of each index the place of its image among those of all
            leaves, one after the other, int64 of shape (images,).
        examined (dict): What was found of it, by what was asked.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.leaves, self.origin = unwrap(dataset)
        self._sizes = self._measure()
        self._ends = np.cumsum([len(leaf) for leaf in self.leaves])
        self.examined: dict[Any, list] = {}
        self._scan: Scan | None = None
        self._photographs: PhotographIds | None = None

    def __len__(self) -> int:
        return len(self.origin)

    def __reduce__(self) -> tuple:
        return type(None), ()  # a copy of the dataset makes its own

    def is_of(self, dataset: Any) -> bool:
        """Whether this is what there is to say of a dataset, as it is now."""
        return self.dataset is dataset and self._sizes == self._measure()

    def _measure(self) -> list[int]:
        return [len(part) for part in (self.dataset, *self.leaves)]

    @property
    def scan(self) -> Scan:
        """Scan: What the annotations say."""
        if self._scan is None:
            self._scan = scan_leaves(self.leaves, self.origin)
        return self._scan

    @property
    def classes(self) -> dict[str, np.ndarray]:
        """dict[str, np.ndarray]: By class, sorted int64 indices of what shows it."""
        return self.scan.classes

    def defect_images(self, classes: Container[str] | None = None) -> np.ndarray:
        """Indices of the images that show some classes, or any, sorted int64."""
        wanted = self.classes if classes is None else classes
        shown = [images for name, images in self.classes.items() if name in wanted]
        return np.flatnonzero(union(shown, len(self)))

    def once(self, indices: np.ndarray) -> np.ndarray:
        """Some indices, each stored image once: wrappers repeat them."""
        _, first = np.unique(self.origin[indices], return_index=True)
        return indices[first]

    @property
    def photographs(self) -> PhotographIds:
        """PhotographIds: Which indices are one photograph."""
        if self._photographs is None:
            self._photographs = PhotographIds(self.scan.photographs)
        return self._photographs

    @property
    def class_names(self) -> tuple[str, ...]:
        """tuple[str, ...]: The classes of all leaves, each once."""
        return tuple(dict.fromkeys(chain(*map(class_names, self.leaves))))

    def names(self, classes: Container[str] | None = None) -> LabelNames:
        """What labels mean, of some classes or of all."""
        return LabelNames(self.leaves, self.origin, classes)

    def leaf_of(self, index: int) -> tuple[Any, int]:
        """The leaf that stores an image, and the index of the image there."""
        position = int(self.origin[index])
        number = int(self._ends.searchsorted(position, side='right'))
        leaf = self.leaves[number]
        return leaf, position - int(self._ends[number]) + len(leaf)

    def info(self, index: int) -> dict[str, Any]:
        """A copy of what the dataset knows of an image."""
        leaf, position = self.leaf_of(index)
        return leaf.get_data_info(position)

    def infos(self) -> Iterator[Mapping[str, Any]]:
        """What the leaves know of their images, in the order that `origin` counts."""
        return chain.from_iterable(map(infos_of, self.leaves))


def source_of(dataset: Any) -> Source:
    """The source of a dataset: made once, and anew where images have left it."""
    if is_a(dataset, WRAPPER):  # it has the images of what it wraps
        source_of(dataset.dataset)  # says why files cannot be read
        dataset.full_init()
        return source_of(dataset.dataset)
    held = getattr(dataset, '__dict__', {})
    source = held.get(KEPT)
    if source is None or not source.is_of(dataset):
        source = held[KEPT] = Source(dataset)
    return source
