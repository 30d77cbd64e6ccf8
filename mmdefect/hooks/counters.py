"""What QuotaMonitorHook counts: a class for each span of training that is counted over.

A counter holds what this rank has seen. What it tells is over all ranks, so they all
have to ask for it.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Iterable, Sequence

import torch
from mmengine.dist import all_gather, all_reduce

# Figures that are there whatever the classes are called.
OWN_FIGURES = ('delivered', 'min', 'pasted', 'counterexample', 'added', 'seen')


def figure_of(name: str) -> str:
    """What the figure of a class is called."""
    return f'class {name}' if name in OWN_FIGURES else name


class Interval:
    """A logging interval, and what its batches delivered.

    Attributes:
        delivered (list[int]): Of each batch from the beginning of a group on, the
            images that were drawn for their defect and still show one.
        counted (int): Batches of the interval.
        classes (dict[str, int]): Of the images delivered, how many show a class.
        forms (dict[str, int]): Images that arrived in a form.
        added (int): Images that show a defect of another image.
    """

    def __init__(
        self,
        classes: Iterable[str],
        batches: int = 1,
        steps: int = 1,
        begun: Sequence[int] = (),
        forms: Iterable[str] = (),
    ) -> None:
        self.batches = batches
        self.steps = steps
        self.delivered = list(begun)
        self.counted = 0
        self.classes = dict.fromkeys(classes, 0)
        self.forms = dict.fromkeys(forms, 0)
        self.added = 0

    def add_batch(self, delivered: int, step: int) -> None:
        """Count a batch."""
        self.counted += 1
        # Of a group that a resumed run is in the middle of, the rest would be too few.
        if self.delivered or step % self.steps == 0:
            self.delivered.append(delivered)

    def next(self) -> Interval:
        """The interval after this one."""
        begun = self.delivered[self._whole() :]
        return Interval(self.classes, self.batches, self.steps, begun, self.forms)

    def _whole(self) -> int:
        # Batches on this rank of groups that have ended.
        return len(self.delivered) // self.steps * self.steps

    def figures(self) -> dict[str, float]:
        """Images of those over which the quota holds, over all ranks."""
        names = [*map(figure_of, self.classes), *self.forms, 'added']
        numbers = [*self.classes.values(), *self.forms.values(), self.added]
        images = torch.tensor([*numbers, self.counted])
        all_reduce(images, 'sum')
        *showing, counted = images.tolist()
        figures = {}
        if self._whole():
            # Of shape (ranks, steps), to batches in the order of the run.
            delivered = torch.tensor(self.delivered[: self._whole()])
            delivered = torch.stack(all_gather(delivered)).T
            groups = delivered.reshape(-1, self.batches).sum(1)
            figures['delivered'] = int(groups.sum()) / len(groups)
            figures['min'] = int(groups.min())
        figures.update(zip(names, (n * self.batches / counted for n in showing)))
        return figures


@dataclass
class Losses:
    """A run of batches, and what became of the defect images drawn for them."""

    drawn: int = 0
    lost: int = 0
    surplus: int = 0

    def add_batch(self, delivered: int, drawn: int, others: int) -> None:
        """Count a batch."""
        self.drawn += drawn
        self.lost += max(drawn - delivered, 0)
        self.surplus += max(delivered - drawn - others, 0)

    def over_ranks(self) -> Losses:
        """The sum over all ranks."""
        counts = torch.tensor(astuple(self))
        all_reduce(counts, 'sum')
        return Losses(*counts.tolist())


class Seen:
    """The whole training, and which defect images have reached the model.

    Attributes:
        flags (torch.Tensor): int64, 1 for each image that was seen.
    """

    def __init__(
        self, images: int, before: list[int] | torch.Tensor | None = None
    ) -> None:
        self.flags = torch.zeros(images, dtype=torch.int64)
        if before is not None and len(before) == images:
            # A tensor before the release, which MMEngine loads onto the GPU.
            self.flags |= torch.as_tensor(before, device='cpu')

    def share(self) -> float:
        """Share of the images that any rank has seen; each then knows of all."""
        all_reduce(self.flags, 'max')
        return float(self.flags.double().mean())
