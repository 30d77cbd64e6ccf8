"""Pictures of a review: photographs with boxes, a contact sheet, the curve."""

from __future__ import annotations

import base64
import io
import math
import re
from pathlib import Path
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from mmdefect.metrics.rates import CONFIDENCE
from mmdefect.review.operating import Curve, Point, band
from mmdefect.review.photographs import Photograph

LONGEST = 640  # pixels of a side of a picture
DETAIL = 5  # a box is shown from nearby where the image is longer than so many of it
CELL, COLUMNS = 220, 5  # of a contact sheet
WIDE, NARROW = (8.6, 3.9), (4.2, 3.9)  # inches of the curve, on a screen and a phone
OURS, OTHERS = '#0b5cad', '#b34700'
RED, BLUE = (40, 40, 230), (220, 120, 20)


class Picture(NamedTuple):
    """A photograph as it stands on a page."""

    href: str  # its pixels, of the part that is shown
    view: tuple[float, ...]  # that part: left, top, width, height in pixels
    near: bool  # whether that is not all of it
    truth: list  # annotated boxes: left, top, width, height
    found: list  # boxes that the detector found


def picture(image: Photograph, found: np.ndarray, pixels: np.ndarray) -> Picture:
    """A photograph for a page, and what is drawn over it."""
    import cv2

    height, width = pixels.shape[:2]
    boxes = np.concatenate([image.boxes, found]).clip(0, [width, height] * 2)
    view = view_of(boxes, width, height)
    left, top, wide, high = map(int, view)
    shown = shrink(pixels[top : top + high, left : left + wide], LONGEST)
    _, coded = cv2.imencode('.jpg', shown, [cv2.IMWRITE_JPEG_QUALITY, 88])
    return Picture(
        inlined(coded.tobytes()),
        view,
        view[2:] != (width, height),
        [sized(box) for box in image.boxes],
        [sized(box) for box in found],
    )


def inlined(jpeg: bytes) -> str:
    """A picture as an address that needs no file."""
    return f'data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}'


def shrink(pixels: np.ndarray, longest: int) -> np.ndarray:
    """An image whose longest side is at most so long."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(longest / max(height, width), 1)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def sized(box: np.ndarray) -> list[float]:
    """Left, top, width, height of left, top, right, bottom."""
    left, top, right, bottom = (round(float(value), 1) for value in box)
    return [left, top, round(right - left, 1), round(bottom - top, 1)]


def view_of(boxes: np.ndarray, width: int, height: int) -> tuple[float, ...]:
    """The part of an image to show, from nearby where its boxes are small."""
    whole = (0.0, 0.0, float(width), float(height))
    if not len(boxes):
        return whole
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    side = max(float((high - low).max()), 16) * DETAIL
    if side >= max(width, height):
        return whole
    size = np.minimum([side, side], [width, height])
    corner = ((low + high - size) / 2).clip(0, [width, height] - size)
    return tuple(float(value) for value in np.round([*corner, *size]))


class Cell(NamedTuple):
    """A photograph on a contact sheet.

    Args:
        info (dict): What the pipeline takes.
        text (str): What stands above it.
        seen (np.ndarray, optional): A box that the detector found, (4,).
        strange (np.ndarray, optional): A box of what other photographs do not show.
    """

    info: dict
    text: str
    seen: np.ndarray | None = None
    strange: np.ndarray | None = None


def contact_sheet(
    cells: Sequence[Cell], read: Callable[[dict], np.ndarray], path: Path
) -> None:
    """Draw many photographs on one sheet, numbered as the lines of a list."""
    import cv2

    rows = math.ceil(len(cells) / COLUMNS)
    sheet = np.full((rows * (CELL + 30), COLUMNS * (CELL + 10), 3), 255, np.uint8)
    for number, cell in enumerate(cells):
        pixels = read(cell.info)
        small = shrink(pixels, CELL)
        scale = small.shape[1] / pixels.shape[1]
        for box, colour in ((cell.seen, RED), (cell.strange, BLUE)):
            if box is not None:
                left, top, right, bottom = (int(value * scale) for value in box)
                cv2.rectangle(small, (left, top), (right, bottom), colour, 1)
        row, column = divmod(number, COLUMNS)
        x, y = column * (CELL + 10) + 5, row * (CELL + 30)
        cv2.putText(
            sheet,
            f'{number + 1}: {cell.text}',
            (x, y + 18),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.5,
            (0, 0, 0),
            1,
            cv2.LINE_AA,
        )
        height, width = small.shape[:2]
        sheet[y + 25 : y + 25 + height, x : x + width] = small
    cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, 90])


def draw_curve(
    curves: dict[str, Curve], points: dict[str, Point], size: tuple[float, float]
) -> str:
    """Draw escape against overkill."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter

    total = next(iter(curves.values())).overkill.total
    least = min(0.5 / total, 0.01)
    rates = np.geomspace(least, 0.999, 120)
    settings: Any = {'svg.fonttype': 'none', 'svg.hashsalt': 'review', 'font.size': 10}
    with matplotlib.rc_context(settings):
        figure, axis = pyplot.subplots(figsize=size, layout='constrained')
        for (name, curve), colour in zip(curves.items(), (OURS, OTHERS)):
            x = np.append(curve.overkill.share[::-1].clip(least), 1.0)
            y = np.append(curve.escape.share[::-1], curve.escape.share[0])
            # Fewer good parts stopped are not provable: a band would promise it.
            proved = rates[rates >= curve.overkill.provable]
            axis.fill_between(
                proved, *band(curve, proved), color=colour, alpha=0.16, lw=0
            )
            axis.step(x, y, where='post', color=colour, lw=2, label=name)
            point = points[name]
            axis.plot(
                max(point.overkill.share, least),
                point.escape.share,
                'o',
                color=colour,
                ms=8,
                mec='w',
            )
        percent = FuncFormatter(lambda value, _: f'{100 * value:g} %')
        axis.set_xscale('log')
        axis.set_xlim(least, 1)
        axis.set_ylim(0, 1)
        axis.xaxis.set_major_formatter(percent)
        axis.xaxis.set_minor_formatter('')
        axis.yaxis.set_major_formatter(percent)
        axis.set_xlabel('good parts stopped (overkill)')
        axis.set_ylabel('defects that escape')
        axis.grid(color='0.9')
        axis.set_axisbelow(True)
        axis.spines[['top', 'right']].set_visible(False)
        if len(curves) > 1:
            figure.legend(frameon=False, loc='outside upper left', ncols=2)
        file = io.StringIO()
        figure.savefig(file, format='svg', metadata=dict(Date=None), transparent=True)
        pyplot.close(figure)
    element = re.search(r'<svg .*</svg>', file.getvalue(), re.S)
    assert element
    # As wide as its place, and described to who cannot see it.
    text = re.sub(
        r'<svg [^>]*?(viewBox="[^"]*")[^>]*>',
        r'<svg \1 role="img">',
        element[0],
        count=1,
    )
    name = f'Defects that escape against good parts stopped, {CONFIDENCE:.0%} band'
    return text.replace('role="img">', f'role="img"><title>{name}</title>', 1)
