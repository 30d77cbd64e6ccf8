"""How the metrics of a comparison went, drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmdefect.analysis.colours import DASHES, colours_of
from mmdefect.analysis.pictures import plain_axis, plotting, write_figure
from mmdefect.comparison.results import lower_is_better, values


def draw_comparison(
    entries: list[dict], summary: dict, metrics: list[str], path: Path
) -> None:
    """Draw the curves: mean of the seeds, and a band from the least to the most."""
    names = list(dict.fromkeys(entry['sampler'] for entry in entries))
    colours = colours_of(names)
    figure, axes = plotting().subplots(
        1, len(metrics), figsize=(4.6 * len(metrics), 4.4), squeeze=False
    )
    for axis, metric in zip(axes[0], metrics):
        for number, name in enumerate(names):
            if name not in summary[metric]:
                continue
            curves = [dict(values(e, metric)) for e in entries if e['sampler'] == name]
            at = sorted(set.intersection(*map(set, curves)))
            rows = np.array([[curve[n] for n in at] for curve in curves])
            color = colours[name]
            axis.plot(
                at,
                rows.mean(0),
                color=color,
                linestyle=DASHES[number % len(DASHES)],
                marker='.',
                label=name,
            )
            axis.fill_between(
                at, rows.min(0), rows.max(0), color=color, alpha=0.12, lw=0
            )
        better = 'lower' if lower_is_better(metric) else 'higher'
        axis.set_title(f'{metric} ({better} is better)', fontsize=11)
        axis.set_xlabel('iteration')
        axis.xaxis.get_major_locator().set_params(integer=True)
        plain_axis(axis)
    handles, labels = axes[0][0].get_legend_handles_labels()
    rows_of_legend = -(-len(labels) // (2 * len(metrics) + 1))
    columns = -(-len(labels) // rows_of_legend)
    figure.legend(handles, labels, loc='lower center', ncol=columns, frameon=False)
    figure.tight_layout(rect=(0, 0.06 * rows_of_legend, 1, 1))
    write_figure(figure, path, dpi=130)
