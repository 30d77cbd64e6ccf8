"""What a label means: the parts of a dataset may name different classes."""

from __future__ import annotations

from collections import ChainMap
from typing import Any, Container, Sequence

import numpy as np

from mmdefect.pools.wrappers import class_names


class LabelNames:
    """The names of a dataset's classes by label, as the part of each image has them.

    Parts of a ``ConcatDataset`` may lack classes that others have. With
    ``return_classes=True``, where names go into the model, they may also number them
    differently. A label that a part lacks, which Mosaic may bring into its images,
    means what it means in the first part that has it.
    """

    def __init__(
        self,
        leaves: Sequence[Any],
        origin: np.ndarray,
        classes: Container[str] | None = None,
    ) -> None:
        self._origin = origin
        self._ends = np.cumsum([len(leaf) for leaf in leaves])
        own = [dict(enumerate(class_names(leaf))) for leaf in leaves]
        self._parts = [
            {
                label: name
                for label, name in ChainMap(names, *own).items()
                if classes is None or name in classes
            }
            for names in own
        ]

    def of(self, index: int) -> dict[int, str]:
        """The names for an image."""
        part = self._ends.searchsorted(self._origin[index], side='right')
        return self._parts[part]

    def of_any(self) -> dict[int, str]:
        """The names for an image of an unknown part."""
        first, *others = self._parts
        return {
            label: name
            for label, name in first.items()
            if all(label in names for names in others)
        }
