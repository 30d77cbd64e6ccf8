"""What pictures of images and of pools share: colours, boxes and their names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    import numpy as np

NORMAL = '#d9d9d9'

PAD, GAP = 0.8, 1.6  # points around the name of a box, and between two


# What it costs a name to hide all of another name, of its box, of another box. Away
# from its box by its own height it costs 1.
ON_NAME, ON_OWN, ON_OTHER = 100, 10, 6


def add_box(
    axis: Any, box: Sequence[float], colour: str, style: str, text: str = ''
) -> None:
    """Draw one box."""
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box
    frame = Rectangle(
        (left, top),
        right - left,
        bottom - top,
        fill=False,
        edgecolor=colour,
        linestyle=style,
        linewidth=1.2,
    )
    axis.add_patch(frame)
    if text:
        leader = dict(arrowstyle='-', color=colour, linewidth=0.8, patchB=frame)
        name = axis.annotate(
            text,
            ((left + right) / 2, (top + bottom) / 2),
            (left, top),
            fontsize=7,
            color='white',
            verticalalignment='bottom',
            annotation_clip=False,
            bbox=dict(facecolor=colour, edgecolor='none', pad=PAD),
            arrowprops=dict(leader, shrinkA=0, shrinkB=0),
        )
        name.set_in_layout(False)


def settle_names(figure: Any) -> None:
    """Move the names of boxes beside them: on their image, off boxes and other names.

    A name that finds no room near its box gets a line to it.
    """
    import numpy as np
    from matplotlib.text import Annotation, Text

    figure.draw_without_rendering()  # before, nothing has its place
    axis: Any
    for axis in figure.axes:
        frames = [patch.get_window_extent().extents for patch in axis.patches]
        names: list[Any] = [t for t in axis.texts if isinstance(t, Annotation)]
        image = axis.get_window_extent().extents
        taken: list = []
        for name in names:
            box = Text.get_window_extent(name).padded(GAP * figure.dpi / 72)
            own = name.arrow_patch.patchB.get_window_extent().extents
            spot, away = find_spot(np.array(box.size), own, image, taken, frames)
            taken.append(spot)
            name.arrow_patch.set_visible(away > box.height / 2)
            place = axis.transData.transform(name.get_position()) + spot[:2] - box.min
            name.set_position(axis.transData.inverted().transform(place))


def find_spot(
    size: np.ndarray, own: np.ndarray, image: np.ndarray, taken: list, frames: list
) -> tuple[np.ndarray, float]:
    """Find a place for the name of a box."""
    import numpy as np

    (left, low, right, high), (width, height) = own, size
    lowest = np.maximum(image[2:] - size, image[:2])
    across = np.arange(image[0], lowest[0], width / 4)
    up = np.arange(image[1], lowest[1], height / 2)
    across = np.concatenate([across, [left, right, right - width, left - width]])
    up = np.concatenate([up, [high, low - height, low]])
    corners = np.stack(np.meshgrid(across, up), -1).reshape(-1, 2)
    corners = corners.clip(image[:2], lowest)
    spots = np.concatenate([corners, corners + size], 1)
    gaps = np.maximum(spots[:, :2] - own[2:], own[:2] - spots[:, 2:]).clip(0)
    away = np.hypot(*gaps.T)
    cost = away / height
    for boxes, price in ((taken, ON_NAME), ([own], ON_OWN), (frames, ON_OTHER)):
        if boxes:
            cost += price * hidden(spots, np.array(boxes)).sum(1)
    # Rather above its box than beside it or below.
    cost += np.hypot(*(corners - (left, high)).T) / height / 50
    best = int(cost.argmin())
    return spots[best], float(away[best])


def hidden(spots: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Share of each box that each spot hides, of shape (spots, boxes)."""
    import numpy as np

    low = np.maximum(spots[:, None, :2], boxes[:, :2])
    high = np.minimum(spots[:, None, 2:], boxes[:, 2:])
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(1).prod(1)
    return (high - low).clip(0).prod(2) / areas


def file_title(path: str, longest: int) -> str:
    """The name of an image's file, without its middle where it is too long."""
    name = Path(path).name
    if len(name) <= longest:
        return name
    end = longest // 2
    return f'{name[: longest - end - 1]}…{name[-end:]}'


def pool_title(names: list[str], number: int) -> str:
    """What a colour stands for: ``defect`` beside some classes is the other ones."""
    name = names[number]
    return 'other defect' if name == 'defect' and number > 1 else name
