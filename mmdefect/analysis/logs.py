"""What MMEngine logged of a run: the one reader of its scalars."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from mmdefect.analysis.errors import UnusableError

# Positions and values of a scalar, by its name.
Curves = Dict[str, List[Tuple[int, float]]]

LOGS = '*/vis_data/scalars.json'  # in folders named by the time of their start
EPOCH_LINE = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*\d+/(\d+)\]')
NO_FIGURES = ('step', 'epoch', 'iter', 'time', 'data_time', 'memory')


class Validation(NamedTuple):
    """A validation: its iteration, its epoch or iteration as logged, its metrics."""

    iteration: int
    step: int
    metrics: dict[str, float]


class Log(NamedTuple):
    """All logs of a run, joined: training rows by iteration, validations in order."""

    training: dict[int, dict[str, float]]
    validations: list[Validation]

    @property
    def iteration(self) -> int:
        """int: The last iteration that was logged, 0 before."""
        made = [one.iteration for one in self.validations]
        return max([*self.training, *made], default=0)

    def curves(self) -> Curves:
        """Each scalar over the iterations."""
        found: Curves = {}
        rows = [*self.training.items()]
        rows += [(one.iteration, one.metrics) for one in self.validations]
        for iteration, row in rows:
            for name, value in row.items():
                found.setdefault(name, []).append((iteration, value))
        return {name: sorted(curve) for name, curve in found.items()}


def read_log(work_dir: Path) -> Log:
    """Join the logs of a run: from where a newer one begins, that one counts."""
    if not work_dir.is_dir():
        raise UnusableError(f'{work_dir} is no directory')
    ends = epoch_ends(work_dir)
    training: dict[int, dict[str, float]] = {}
    validations: dict[tuple[int, int], Validation] = {}
    for path in sorted(work_dir.glob(LOGS)):
        rows = list(read_rows(path))
        begins = min((row['step'] for row in rows if 'lr' in row), default=None)
        if begins is not None:
            training = {n: row for n, row in training.items() if n < begins}
            validations = {at: v for at, v in validations.items() if at[0] < begins}
        last = max(training, default=0)
        every = validated_every(path.with_name('config.py'))
        for row in rows:
            step = row['step']
            if 'lr' in row:
                last = step
                training[step] = figures(row)
                continue
            # Logged with the number of its epoch, or with that of its iteration. It
            # comes after the training that was logged before it.
            last = ends.get(step) or max(-(-last // every) * every, step)
            validations[last, step] = Validation(last, step, figures(row))
    return Log(training, [validations[at] for at in sorted(validations)])


def validated_every(config: Path) -> int:
    """How many iterations lie between validations of an iteration loop, 1 unknown."""
    text = config.read_text('utf-8') if config.is_file() else ''
    every = re.search(r'val_interval=([1-9]\d*)', text)
    return int(every[1]) if every and 'IterBasedTrainLoop' in text else 1


def read_curves(work_dir: Path) -> Curves:
    """The scalars of a run that trained, to be drawn."""
    log = read_log(work_dir)
    if any('loss' in row for row in log.training.values()):
        return log.curves()
    if any(work_dir.glob(LOGS)):
        raise UnusableError(f'no training in {work_dir}: its logs hold no loss yet')
    other = "add dict(type='LocalVisBackend') to visualizer.vis_backends and train on"
    if any(work_dir.glob('**/events.out.tfevents*')):
        raise UnusableError(f'{work_dir} holds logs of TensorBoard only: {other}')
    raise UnusableError(
        f'no log in {work_dir}: MMEngine writes */vis_data/scalars.json there'
    )


def epoch_ends(work_dir: Path) -> dict[int, int]:
    """The last iteration of each epoch, from the text logs; none without epochs."""
    lengths: dict[int, int] = {}
    for path in sorted(work_dir.glob('*/*.log')):
        for epoch, length in EPOCH_LINE.findall(path.read_text('utf-8', 'replace')):
            lengths[int(epoch)] = int(length)
    ends, length, end = {}, 0, 0
    for epoch in range(1, max(lengths, default=0) + 1):
        # An epoch shorter than the interval of the log has no line.
        length = lengths.get(epoch, length or lengths[min(lengths)])
        end += length
        ends[epoch] = end
    return ends


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one log; the last one may have been cut off by an interruption."""
    lines = path.read_text(encoding='utf-8').splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            row['step'] = int(row['step'])
        except (ValueError, KeyError, TypeError):
            if number == len(lines):
                return
            raise UnusableError(f'{path}, line {number}: no row of a log') from None
        yield row


def figures(row: dict[str, Any]) -> dict[str, float]:
    """The figures of a row; -1 is pycocotools' word for a mean of nothing."""
    return {
        name: value
        for name, value in row.items()
        if name not in NO_FIGURES
        and isinstance(value, (int, float))
        and math.isfinite(value)
        and value != -1
    }
