"""Pictures of a plan, its batches and quotas, and of what looks alike in a split."""

from __future__ import annotations

import itertools
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.analysis.colours import COLOURS
from mmdefect.analysis.pictures import plain_axis, plotting, write_figure
from mmdefect.commands.command_line import percent_of
from mmdefect.commands.drawing import NORMAL, file_title, pool_title

if TYPE_CHECKING:
    import numpy as np

    from mmdefect.analysis.inspection import Inspection
    from mmdefect.checks.look_alikes import Pair

ROWS = 24  # batches that are drawn
PAIRS = (4, 3)  # rows and columns of pairs of photographs
BEYOND = 10  # the panel of draws reaches to so many times what is too often


def draw_plan(found: Inspection, path: Path) -> None:
    """Draw the plan."""
    import numpy as np
    from matplotlib.patches import Patch

    from mmdefect.analysis.batches import pool_numbers, sampling
    from mmdefect.samplers.draws import MANY_DRAWS

    figure = plotting().figure(figsize=(11, 6.2), layout='constrained')
    grid = figure.add_gridspec(2, 3, width_ratios=(1, 1, 1.25))
    names, numbers = pool_numbers(found.batches)
    colours = [NORMAL, *itertools.islice(itertools.cycle(COLOURS), len(names) - 1)]
    title = sampling(found.batches.plan)
    for column, (name, batches) in enumerate(
        (('stock sampling', found.stock), (textwrap.fill(title, 36), found.batches))
    ):
        images = itertools.chain.from_iterable(batches)
        rows = np.array(list(itertools.islice(images, ROWS * found.size)))
        rows = rows.reshape(-1, found.size)
        axis = figure.add_subplot(grid[:, column])
        defect = np.isin(rows, found.pools['defect'])
        draw_batches(axis, numbers[rows], colours, defect, found.unit)
        axis.set_title(name, fontsize=11, fontweight='bold', loc='left')
        if not column:
            axis.set_ylabel(f'{found.unit} of the first epoch')
    used = [n for n in range(len(names)) if n == 0 or (numbers == n).any()]
    figure.legend(
        [Patch(facecolor=colours[n]) for n in used],
        [f'{pool_title(names, n)} image' for n in used],
        loc='outside lower left',
        ncol=len(used),
        frameon=False,
    )
    for row, (title, values, limit) in enumerate(
        (
            (
                f'draws of each defect image in {found.run[0]:,} {found.run[1]}',
                [entry.draws_run for entry in found.rows],
                MANY_DRAWS,
            ),
            ('batches an epoch', [entry.batches for entry in found.rows], None),
        )
    ):
        axis = figure.add_subplot(grid[row, 2])
        axis.set_title(title, fontsize=11, loc='left')
        draw_over_quota(axis, values, found, limit)
    total, defects = found.images['all'], found.images['defect']
    figure.suptitle(
        f'{total:,} images, {defects:,} with a defect '
        f'({percent_of(defects / total)}): {percent_of(found.empty_share())} of stock '
        f'{found.unit} hold none',
        fontsize=13,
    )
    write_figure(figure, path, dpi=120)


def draw_batches(
    axis: Any, cells: np.ndarray, colours: list, defect: Any, unit: str
) -> None:
    """Draw batches as rows of squares, with the number of defects beside each."""
    from matplotlib.colors import ListedColormap

    axis.pcolormesh(
        cells,
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=len(colours) - 0.5,
        edgecolors='white',
        linewidth=2 if cells.shape[1] <= 16 else 0.8,
    )
    axis.invert_yaxis()
    for row, count in enumerate(defect.sum(1).tolist()):
        axis.text(
            cells.shape[1] * 1.03,
            row + 0.5,
            str(count),
            va='center',
            fontsize=9,
            color='0.2' if count else '0.65',
        )
    empty = int((defect.sum(1) == 0).sum())
    axis.set_xlabel(f'{empty} of {len(cells)} {unit} without a defect')
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def draw_over_quota(
    axis: Any, values: list, found: Inspection, limit: int | None
) -> None:
    """Draw a figure over the quota."""
    import numpy as np
    from matplotlib.ticker import FuncFormatter, LogLocator

    low, high = min([*values, limit or np.inf]), max([*values, limit or 0])
    if limit:
        high = min(high, BEYOND * limit)
    axis.set_yscale('log')
    top = high * 1.3
    axis.set_ylim(low / 2, top)
    axis.plot(range(1, len(values) + 1), values, color='0.5', marker='.', zorder=1)
    for place, value in enumerate(values, 1):
        if value > top:
            mark_beyond(axis, place, value)
    own, best = found.own_quota(), found.advice.quota
    for quota, label, size in ((best, 'recommended', 11), (own, 'this config', 6)):
        if quota:
            colour = COLOURS[0] if quota == best and size > 6 else COLOURS[1]
            value = values[quota - 1]
            text = f'{label}: quota {quota}, {value:,.0f}'
            axis.plot(
                quota,
                min(value, top),
                'o',
                color=colour,
                markersize=size,
                label=text,
                clip_on=False,
            )
    if limit:
        text = f'{limit}: beyond, likely learned by heart'
        axis.axhline(limit, color='0.3', linestyle='dashed', linewidth=1, label=text)
    axis.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f'{y:,.0f}'))
    axis.yaxis.set_minor_formatter(axis.yaxis.get_major_formatter())
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel(f'quota: defect images in {len(values) + 1}')
    below = dict(loc='upper left', bbox_to_anchor=(0, -0.24))
    axis.legend(**below, fontsize=9, frameon=False)
    plain_axis(axis)


def mark_beyond(axis: Any, quota: int, value: float) -> None:
    """Draw a point that is higher than its panel: at the edge, with its number."""
    top = axis.get_ylim()[1]
    axis.plot(quota, top, '^', color='0.5', markersize=6, clip_on=False)
    axis.annotate(
        f'{value:,.0f}',
        (quota, top),
        (0, -6),
        textcoords='offset points',
        horizontalalignment='center',
        verticalalignment='top',
        fontsize=8,
        color='0.3',
    )


def draw_pairs(pairs: list[Pair], path: Path) -> None:
    """Draw photographs to validate with beside those of training like them."""
    import cv2
    import numpy as np

    rows, columns = PAIRS
    columns = min(columns, -(-len(pairs) // rows))
    shown = pairs[: rows * columns]
    rows = -(-len(shown) // columns)
    size = (4.6 * columns, 2.6 * rows + 0.6)
    figure = plotting().figure(figsize=size, layout='constrained')
    axes = figure.subplots(rows, 2 * columns, squeeze=False)
    for axis in axes.flat:
        axis.axis('off')
    for number, pair in enumerate(shown):
        two = axes.reshape(-1, 2)[number]
        for axis, file in zip(two, pair[:2]):
            pixels: Any = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)
            axis.imshow(pixels[..., ::-1])
            axis.set_title(file_title(file, 26), fontsize=8)
        two[0].text(
            *(0, -0.02, f'r = {pair.likeness:.2f}'),
            transform=two[0].transAxes,
            verticalalignment='top',
            fontsize=8,
        )
    figure.suptitle(
        f'{len(pairs):,} validation photographs look like\none of training, such as '
        'these (left: validation)',
        fontsize=11,
    )
    write_figure(figure, path, dpi=120)
