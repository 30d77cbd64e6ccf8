"""What QuotaMonitorHook counts: a class for each span of training that is counted over.

A counter holds what this rank has seen. What it tells is over all ranks, so they all
have to ask for it.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Iterable

import torch
from mmengine.dist import all_gather, all_reduce

# Figures that are there whatever the classes are called.
OWN_FIGURES = ('delivered', 'min', 'added', 'seen')


def figure_of(name: str) -> str:
    """What the figure of a class is called."""
    return f'class {name}' if name in OWN_FIGURES else name


class Interval:
    """A logging interval, and what its batches delivered.

    Args:
        classes (Iterable[str]): The defect classes.
        begun (Iterable[int]): Batches, as ``delivered`` counts them, of a group that
            began in the interval before. Defaults to none.

    Attributes:
        delivered (list[int]): Of each batch, the images that were drawn for their
            defect and still show one.
        classes (dict[str, int]): Of those images, how many show a class.
        added (int): Images that show a defect of another image.
    """

    def __init__(self, classes: Iterable[str], begun: Iterable[int] = ()) -> None:
        self.delivered: list[int] = []
        self.classes = dict.fromkeys(classes, 0)
        self.added = 0
        self._grouped = list(begun)

    def add_batch(self, delivered: int, begins_group: bool) -> None:
        """Count a batch.

        Args:
            delivered (int): Its defect images that still show a defect.
            begins_group (bool): Whether a group begins with it. Groups are counted from
                the first whole one on.
        """
        self.delivered.append(delivered)
        if self._grouped or begins_group:
            self._grouped.append(delivered)

    def figures(self, group: int = 1) -> dict[str, float]:
        """Images a group, over all ranks.

        Args:
            group (int): Batches over which the quota holds. Defaults to 1.

        Returns:
            dict[str, float]: ``delivered``; ``min``, the same of the worst group, if
            one has ended; those that show a class, by :func:`figure_of` it; ``added``.
        """
        images = [sum(self.delivered), *self.classes.values(), self.added]
        sums = torch.tensor([len(self.delivered), *images])
        all_reduce(sums, 'sum')
        batches, *images = sums.tolist()
        delivered, *showing, added = (group * number / batches for number in images)
        # From (ranks, steps) to one row, step after step.
        row = torch.stack(all_gather(torch.tensor(self._grouped))).T.reshape(-1)
        sums = row[: len(row) // group * group].reshape(-1, group).sum(1)
        return {
            'delivered': delivered,
            **({'min': int(sums.min())} if len(sums) else {}),
            **dict(zip(map(figure_of, self.classes), showing)),
            'added': added,
        }

    def begun(self, steps: int) -> list[int]:
        """Batches of the group that has begun and not ended.

        Args:
            steps (int): Steps that a group goes over.
        """
        return self._grouped[len(self._grouped) // steps * steps :]


@dataclass
class Losses:
    """A run of batches, and what became of the defect images drawn for them.

    Args:
        drawn (int): Images drawn for their defect.
        lost (int): Of these, images that arrived without one.
        surplus (int): Images with a defect that arrived in the place of others.
    """

    drawn: int = 0
    lost: int = 0
    surplus: int = 0

    def add_batch(self, delivered: int, drawn: int, others: int) -> None:
        """Count a batch.

        Args:
            delivered (int): Defect images that still show a defect.
            drawn (int): Images drawn for their defect.
            others (int): Images drawn for something else that may show a defect.
        """
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

    Args:
        images (int): How many defect images there are.
        before (torch.Tensor, optional): ``flags`` of the run that is resumed; those of
            another number of images are left aside.

    Attributes:
        flags (torch.Tensor): int64, 1 for each image that was seen.
    """

    def __init__(self, images: int, before: torch.Tensor | None = None) -> None:
        self.flags = torch.zeros(images, dtype=torch.int64)
        if before is not None and len(before) == images:
            self.flags |= before

    def share(self) -> float:
        """Share of the images that any rank has seen; each then knows of all."""
        all_reduce(self.flags, 'max')
        return float(self.flags.double().mean())
