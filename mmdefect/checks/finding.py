"""What a check says: where something stands, what, why it matters, and the fix."""

from __future__ import annotations

import logging
import re
from typing import Iterable, NamedTuple

from mmengine.logging import print_log


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
        refused (bool): Whether the samplers refuse to train with it.
    """

    where: str
    what: str
    why: str
    fix: str
    breaks: bool = True
    refused: bool = False

    def __str__(self) -> str:
        return f'{self.where}: {self.what}; {self.why}. Write there: {self.fix}'

    def in_pure_python(self) -> Finding:
        """The same for a config of MMEngine's pure-Python style.

        Returns:
            Finding: Such a config knows no ``_delete_``. What takes the place of
            something is assigned.
        """
        key, _, value = self.fix.partition('=')
        merged = value.startswith(('dict(', '[')) and 'type=' not in value
        if merged or not self.where.endswith(f'.{key}'):
            return self
        first, *inner = self.where.split('.')
        place = first + ''.join(re.sub(r'^(\w+)', r"['\1']", name) for name in inner)
        value = value.replace('_delete_=True, ', '').replace('=...', f'={place}')
        return self._replace(fix=f'{place} = {value}')


def tell(findings: Iterable[Finding]) -> None:
    """Warn of findings where training starts.

    Args:
        findings (Iterable[Finding]): The findings. Those that break nothing are for
            ``mmdefect check``.

    Raises:
        ValueError: If one of them is to be refused.
    """
    broken = [finding for finding in findings if finding.breaks]
    for finding in broken:
        if finding.refused:
            raise ValueError(str(finding))
    for finding in broken:
        print_log(str(finding), logger='current', level=logging.WARNING)
