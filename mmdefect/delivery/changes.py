"""What is done to images that are drawn in another form than they are stored in."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Sequence

import numpy as np
from mmengine.logging import print_log

from mmdefect.delivery.attempts import Form, check_form
from mmdefect.forms.counterexample import LEAST, Counterexample, free_windows
from mmdefect.forms.paste import PasteDefect
from mmdefect.forms.pasted import Pasted
from mmdefect.forms.sources import Sources
from mmdefect.plan.quotas import LINE
from mmdefect.pools.forms import COUNTEREXAMPLE, pasted_class
from mmdefect.pools.labels import LabelNames
from mmdefect.pools.source import source_of
from mmdefect.pools.walk import DATASET


class Changes:
    """Makes, for an image and a form, what changes the one to the other."""

    def __init__(
        self,
        dataset: Any,
        defects: np.ndarray,
        classes: Sequence[str] | None,
        paste: PasteDefect,
    ) -> None:
        self._dataset = dataset
        self._defects = defects
        self._classes = classes
        self._paste = paste

    def make(self, image: int, form: str) -> Form:
        """What changes an image to a form."""
        if form == COUNTEREXAMPLE:
            return Counterexample(list(self._names.of(image)))
        return Pasted(self._sources, self._paste, image, pasted_class(form))

    def check(self, form: str) -> None:
        """Check that images can be delivered in a form; how many there are for it."""
        check_form(self._dataset, f'a quota of {form!r} images')
        if form == COUNTEREXAMPLE:
            said = f'{len(self.counterexamples):,} of {len(self._defects):,} defect '
            said += 'images have a part without a defect that is large enough'
            if not len(self.counterexamples):
                raise ValueError(
                    f'{LINE} names {form!r}, but {said} ({LEAST:g} of the image): take '
                    f'it out, or mend the boxes of {DATASET}'
                )
        else:
            name = pasted_class(form)
            self._paste.check(self._sources, name)
            fitting = self._sources.of[name].values()
            said = f'{sum(map(len, fitting)):,} of {self._sources.seen[name]:,} '
            said += f'instances, on {len(fitting):,} images, are small enough'
        print_log(f'{form}: {said}', logger='current')

    @cached_property
    def counterexamples(self) -> np.ndarray:
        """np.ndarray: Of the defect images, those with a part that shows none."""
        free = [image for image in self._defects.tolist() if self._has_free_part(image)]
        return np.array(free, np.int64)

    def _has_free_part(self, image: int) -> bool:
        info, names = self._dataset.get_data_info(image), self._names.of(image)
        shape = info.get('height'), info.get('width')
        boxes = [
            instance.get('bbox')
            for instance in info.get('instances', ())
            if instance.get('ignore_flag', 0) or instance['bbox_label'] in names
        ]
        # Where nothing is known of it, nothing is promised.
        if None in shape or not all(box is not None and len(box) == 4 for box in boxes):
            return False
        return bool(free_windows(shape, np.reshape(boxes, (-1, 4))))

    @cached_property
    def _names(self) -> LabelNames:
        return source_of(self._dataset).names(self._classes)

    @cached_property
    def _sources(self) -> Sources:
        return Sources(self._dataset, self._defects, self._classes, self._paste)
