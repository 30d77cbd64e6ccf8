"""Figures that the text log of a training leaves out."""

from __future__ import annotations

import re
from typing import Any, Iterable


def leave_out(names: Iterable[str], processor: Any) -> None:
    """Keep figures of the training out of its text log.

    MMEngine writes all that its message hub holds into each line of the text log. The
    visualizer's backends, such as ``scalars.json`` and TensorBoard, go on getting them.
    """
    figure = re.compile(rf'(?:{"|".join(map(re.escape, names))}): \S+(?:  |$)')
    write = processor.get_log_after_iter

    def write_less(*args: Any, **options: Any) -> tuple[dict, str]:
        figures, line = write(*args, **options)
        return figures, figure.sub('', line).rstrip()

    processor.get_log_after_iter = write_less
