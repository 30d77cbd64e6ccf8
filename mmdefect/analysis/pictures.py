"""Pictures are drawn without a screen, and written wholly or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdefect.analysis.files import whole


def plotting() -> Any:
    """``matplotlib.pyplot``, which needs no screen."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    return pyplot


def plain_axis(axis: Any) -> None:
    """Draw a pale grid, behind what is drawn, and no frame above and on the right."""
    axis.grid(color='0.9', linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[['top', 'right']].set_visible(False)


def write_figure(figure: Any, path: Path, dpi: int) -> None:
    """Write a figure to a file and forget it."""
    with whole(path) as part:
        figure.savefig(part, dpi=dpi)
    plotting().close(figure)
