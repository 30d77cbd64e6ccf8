"""The forms in which images are delivered, and the indices that ask for them.

An image may be delivered as it is stored, with a defect of another one pasted in, or
without its own. In form ``n`` the image ``index`` of ``size`` has the index
``n * size + index``: what draws indices, and the data loader, need to know no forms.
"""

from __future__ import annotations

from typing import Any, Iterable

import numpy as np

PASTED = 'pasted'
COUNTEREXAMPLE = 'counterexample'


def pasted_class(form: str) -> str:
    """The class of which a form shows a defect, ``''`` for any."""
    return form[len(PASTED) + 1 :]


class Forms:
    """The forms in which a dataset delivers its images.

    Attributes:
        names (list[str]): Of the forms, by number: ``''`` is an image as it is stored.
    """

    def __init__(self, size: int, classes: Iterable[str]) -> None:
        self.size = size
        pasted = [f'{PASTED} {name}' for name in classes]
        self.names = ['', COUNTEREXAMPLE, PASTED, *pasted]

    def offset(self, name: str) -> int:
        """What is added to the index of an image in a form."""
        return self.names.index(name) * self.size

    def split(self, index: int) -> tuple[str, int]:
        """The form and the image that an index asks for."""
        if index < self.size:
            return '', index
        number, image = divmod(index, self.size)
        return self.names[number], image


def forms_of(dataset: Any) -> Forms | None:
    """The forms in which any dataset delivers its images, where it has such."""
    forms = getattr(dataset, 'forms', None)
    return forms if isinstance(forms, Forms) else None


def split_index(dataset: Any, index: int) -> tuple[str, int]:
    """The form and the image that an index asks of any dataset."""
    forms = forms_of(dataset)
    return forms.split(index) if forms else ('', index)


def shows_defect(size: int, indices: Any, defects: Any) -> np.ndarray:
    """Which indices ask for an image with a defect, its own or a pasted one."""
    form, image = np.divmod(np.asarray(indices), size)
    # As it is stored, as a counterexample, and then as one of the pasted forms.
    return np.where(form == 0, np.isin(image, defects), form > 1)
