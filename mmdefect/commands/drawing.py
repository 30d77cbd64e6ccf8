"""What pictures of images and of pools share: colours, boxes and their names."""

from __future__ import annotations

import itertools
from typing import Any, Sequence

NORMAL = '#d9d9d9'


COLOURS = ('#d55e00', '#0072b2', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#444444')

PAD, GAP = 0.8, 1.6  # points around the name of a box, and between two


# Where a name may move, in its own widths and heights: rather up than down, onto a box.
SHIFTS = sorted(
    itertools.product(range(-3, 4), repeat=2),
    key=lambda shift: abs(shift[0]) + abs(shift[1]) * (0.4 if shift[1] > 0 else 1.2),
)


def add_box(
    axis: Any, box: Sequence[float], colour: str, style: str, text: str = ''
) -> None:
    """Draw one box.

    Args:
        axis (matplotlib.axes.Axes): Where.
        box (Sequence[float]): Left, top, right, bottom in pixels.
        colour (str): Colour of the frame.
        style (str): Line style of the frame.
        text (str): What to write above it.
    """
    left, top, right, bottom = box
    corners = [left, right, right, left, left], [top, top, bottom, bottom, top]
    axis.plot(*corners, color=colour, linestyle=style, linewidth=1.2)
    if text:
        name = axis.text(
            left,
            top,
            text,
            fontsize=7,
            color='white',
            verticalalignment='bottom',
            bbox=dict(facecolor=colour, edgecolor='none', pad=PAD),
        )
        name.set_in_layout(False)


def settle_names(figure: Any) -> None:
    """Move the names of boxes, so that they stay on their image, none on another.

    Args:
        figure (matplotlib.figure.Figure): The figure, with all that stands in it.
    """
    figure.draw_without_rendering()  # before, nothing has its place
    for axis in figure.axes:
        taken: list = []
        for name in axis.texts:
            box = name.get_window_extent().padded(GAP * figure.dpi / 72)
            taken.append(find_spot(box, axis.get_window_extent(), taken))
            place = axis.transData.transform(name.get_position())
            place += taken[-1].min - box.min
            name.set_position(axis.transData.inverted().transform(place))


def find_spot(box: Any, image: Any, taken: list) -> Any:
    """Find a place for the name of a box.

    Args:
        box (Bbox): The place that it would have.
        image (Bbox): What it has to stay on.
        taken (list[Bbox]): Places of other names.

    Returns:
        Bbox: The place nearest to its own that is free; if there is none, its own.
    """
    left = min(max(box.x0, image.x0), max(image.x1 - box.width, image.x0))
    low = min(max(box.y0, image.y0), max(image.y1 - box.height, image.y0))
    spot = box.translated(left - box.x0, low - box.y0)
    image = image.padded(0.1)  # what touches its edge is inside, however it is rounded
    for right, up in SHIFTS:
        moved = spot.translated(right * box.width, up * box.height)
        inside = image.contains(*moved.min) and image.contains(*moved.max)
        if inside and not any(map(moved.fully_overlaps, taken)):
            return moved
    return spot


def pool_title(names: list[str], number: int) -> str:
    """What a colour stands for: ``defect`` beside some classes is the other ones."""
    name = names[number]
    return 'other defect' if name == 'defect' and number > 1 else name
