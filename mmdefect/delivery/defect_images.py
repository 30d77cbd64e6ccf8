"""Which defect image a delivered sample is, and what its labels mean."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

import numpy as np

from mmdefect.pools.source import source_of


class DefectImages:
    """The defect images of a dataset, known again in what its pipelines deliver.

    They are known by path, or by image id where no path is packed; where neither is,
    ``len`` is 0 and none is known. An image that a wrapper repeats is one image. Labels
    mean what they mean in the image's own part, as parts may number their classes
    differently.
    """

    def __init__(
        self, dataset: Any, indices: np.ndarray, classes: Sequence[str], sample: Any
    ) -> None:
        names = source_of(dataset).names(classes)
        # Of an image that is no defect image, the part is not looked up.
        self._other: tuple[None, Mapping[int, str]] = (None, names.of_any())
        # Ids repeat over the parts of a ConcatDataset.
        keys = ('img_path', 'img_id') if hasattr(dataset, 'get_data_info') else ()
        self._key = next((key for key in keys if key in sample), None)
        self._images: dict[Any, tuple[int, Mapping[int, str]]] = {}
        for index in indices.tolist() if self._key else ():
            image = dataset.get_data_info(index).get(self._key)
            self._images.setdefault(image, (len(self._images), names.of(index)))

    def __len__(self) -> int:
        return len(self._images)

    def find(self, sample: Any) -> tuple[int | None, Mapping[int, str]]:
        """Tell which image a sample is, and what its labels mean."""
        image = sample.get(self._key) if self._key else None
        return self._images.get(image, self._other)
