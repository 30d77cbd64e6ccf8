"""A normal image, with a defect pasted in."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mmdefect.forms.paste import PasteDefect
from mmdefect.images.errors import RejectedError

if TYPE_CHECKING:
    from mmdefect.forms.sources import Sources

# Defects that are tried until one is small enough for an image.
DRAWS = 20


class Pasted:
    """Pastes a defect into an image, in each attempt in another way.

    Attributes:
        wanted (frozenset[int]): The label of the defect.
    """

    def __init__(
        self, sources: Sources, paste: PasteDefect, image: int, name: str
    ) -> None:
        self._sources = sources
        self._paste = paste
        self._image = image
        self._name = name
        self._patch: Any = None
        self._labels: list[int] = []
        self.wanted: frozenset[int] = frozenset()

    def __call__(self, results: dict) -> dict:
        """Paste it."""
        if self._patch is None:
            self._choose(results)
        defects = self._sources.names.of(self._image)
        if not self._paste.paste(results, self._patch, self._labels, defects):
            self._patch = None
            raise RejectedError('PasteDefect finds no place beside the other defects')
        return results

    def _choose(self, results: dict) -> None:
        for _ in range(DRAWS):
            image, number = self._sources.draw(self._name)
            labels = self._sources.labels_in(self._image, image, number)
            # Drawn for its defect, an image that cannot be read is counted and named.
            with suppress(Exception):
                patch = self._sources.patch(image, number)
                known = len(labels) == len(patch.boxes)
                if known and self._paste.suits(patch, results):
                    self._patch, self._labels = patch, labels
                    self.wanted = frozenset(labels[:1])
                    return
        raise RejectedError(
            'PasteDefect finds no defect that is small enough for it, of as many '
            f'channels (shape {results["img"].shape})',
            final=True,
        )
