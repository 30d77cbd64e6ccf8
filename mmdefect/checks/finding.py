"""What a check says: where something stands, what, why it matters, and the fix."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """Something in a config that breaks a quota.

    Args:
        where (str): The key of the config, such as ``train_dataloader.sampler``.
        what (str): What is wrong there.
        why (str): What it does to the quota.
        fix (str): What to write there instead, as an argument. ``...`` stands for what
            is there now.
        breaks (bool): False for what leaves a quota of defect images as it is, such as
            lost time.
    """

    where: str
    what: str
    why: str
    fix: str
    breaks: bool = True

    def __str__(self) -> str:
        return f'{self.where}: {self.what}; {self.why}. Write there: {self.fix}'
