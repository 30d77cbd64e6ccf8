"""What a check says: where something stands, what, why it matters, and the fix."""

from __future__ import annotations

import logging
from typing import Iterable, NamedTuple

from mmengine.logging import print_log


class Finding(NamedTuple):
    """Something in a config that breaks a quota.

    Args:
        where (str): The key of the config, such as ``train_dataloader.sampler``.
        what (str): What is wrong there.
        why (str): What it does to the quota.
        fix (str): What to write there instead, as an argument. ``...`` stands for what
            is there now. '' where no line mends it.
        breaks (bool): False for what leaves a quota of defect images as it is, such as
            lost time.
        refused (bool): Whether the samplers refuse to train with it.
        line (str): The fix as a line of a new config with this one as its base, where
            there is such a line and somebody has filled it in.
    """

    where: str
    what: str
    why: str
    fix: str
    breaks: bool = True
    refused: bool = False
    line: str = ''

    def __str__(self) -> str:
        fix = f'. Write there: {self.fix}' if self.fix else ''
        return f'{self.where}: {self.what}; {self.why}{fix}'


def tell(findings: Iterable[Finding]) -> None:
    """Warn of findings where training starts."""
    broken = [finding for finding in findings if finding.breaks]
    for finding in broken:
        if finding.refused:
            raise ValueError(str(finding))
    for finding in broken:
        print_log(str(finding), logger='current', level=logging.WARNING)
