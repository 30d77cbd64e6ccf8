"""What a finished training left behind: its config, its checkpoint, its log."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from mmdefect.analysis.config import read_config
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.logs import Log, Validation, read_log


class Run(NamedTuple):
    """A finished training: its config, its best checkpoint or the last, its logs."""

    config: Path
    checkpoint: Path
    log: Log

    @property
    def validation(self) -> Validation | None:
        """Validation: That of the checkpoint, or None where none was made."""
        made, validations = _number(self.checkpoint), self.log.validations
        # The newest that counts as that checkpoint does, in epochs or in iterations.
        fit = (one for one in reversed(validations) if one.step == made)
        return next(fit, validations[-1] if validations else None)


def find_run(work_dir: Path) -> Run:
    """Find what a training left in its directory."""
    if not work_dir.is_dir():
        raise UnusableError(f'{work_dir} is no directory')
    config = find_config(work_dir)
    checkpoint = best_checkpoint(work_dir, config) or last_checkpoint(work_dir)
    return Run(config, checkpoint, read_log(work_dir))


def find_config(work_dir: Path) -> Path:
    """The config of a run; of several, the one that its newest log names."""
    found = sorted(work_dir.glob('*.py'))
    if not found:
        raise UnusableError(f'no config in {work_dir}: training writes one there')
    # MMEngine keeps a copy beside each log, in folders named by time.
    copies = sorted(work_dir.glob('*/vis_data/config.py'))
    if len(found) > 1 and copies:
        text = copies[-1].read_text('utf-8')
        same = [path for path in found if path.read_text('utf-8') == text]
        return same[0] if same else copies[-1]
    if len(found) > 1:
        raise UnusableError(
            f'{work_dir} holds several configs, {", ".join(p.name for p in found)}: '
            'leave the one that the checkpoint was trained with'
        )
    return found[0]


def best_checkpoint(work_dir: Path, config: Path) -> Path | None:
    """The best checkpoint: by the first metric of ``save_best``, then the latest."""
    found = sorted(work_dir.glob('best_*.pth'), key=_number)
    if len(found) > 1:
        hooks = read_config(str(config), None).get('default_hooks') or {}
        wanted = (hooks.get('checkpoint') or {}).get('save_best') or ()
        for metric in [wanted] if isinstance(wanted, str) else wanted:
            named = re.compile(rf'best_{re.escape(metric.replace("/", "_"))}_\D*\d+')
            mine = [path for path in found if named.fullmatch(path.stem)]
            if mine:
                return mine[-1]
    return found[-1] if found else None


def last_checkpoint(work_dir: Path) -> Path:
    """The last checkpoint: that which ``last_checkpoint`` names, or the latest."""
    note = work_dir / 'last_checkpoint'
    if note.is_file():
        # It may have been trained elsewhere.
        named = work_dir / re.split(r'[/\\]', note.read_text('utf-8').strip())[-1]
        if named.is_file():
            return named
    found = [p for p in work_dir.glob('*.pth') if not p.name.startswith('best_')]
    found = sorted((p for p in found if _number(p) >= 0), key=_number)
    if not found:
        raise UnusableError(
            f'no checkpoint in {work_dir}: expected epoch_N.pth or iter_N.pth'
        )
    return found[-1]


def _number(checkpoint: Path) -> int:
    """The epoch or iteration that a checkpoint's name ends in; -1 without one."""
    ends = re.search(r'(\d+)$', checkpoint.stem)
    return int(ends[1]) if ends else -1
