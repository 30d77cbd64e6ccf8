"""XML files in the format of PASCAL VOC, and what MMDetection makes of them."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, NamedTuple, Sequence
from xml.etree import ElementTree

from mmengine.fileio import get, list_from_file

from mmdefect.checks.losses import (
    Loss,
    box_fault,
    explains,
    grouped,
    overlap,
    shown_in,
)
from mmdefect.pools.infos import infos_of
from mmdefect.pools.progress import Progress
from mmdefect.pools.walk import is_a, loads_as_mmdet


class XmlImage(NamedTuple):
    """What an XML file says of an image.

    Args:
        path (str): The file.
        objects (list[XmlObject]): Its objects.
        size (tuple[int, int]): Width and height; () where the file has none.
        small (bool): Whether the dataset dropped it for its size.
    """

    path: str
    objects: list
    size: tuple
    small: bool


class XmlObject(NamedTuple):
    """An object in an XML file.

    Args:
        name (str): Its class.
        box (tuple[float, ...]): x, y, width and height, of the corners as written.
        difficult (bool): Whether MMDetection ignores it.
    """

    name: str
    box: tuple
    difficult: bool


def reads_xml(leaf: Any) -> bool:
    """Whether a dataset reads XML files listed as MMDetection expects them."""
    listed = loads_as_mmdet(leaf, 'load_data_list') and is_a(leaf, 'XMLDataset')
    first = next(iter(infos_of(leaf)), {}) if listed else {}
    return {'img_id', 'xml_path'} <= set(first)


def _is_stock(leaf: Any) -> bool:
    return loads_as_mmdet(leaf, 'parse_data_info', '_parse_instance_info')


def xml_images(leaf: Any) -> Iterator[XmlImage]:
    """The XML files of a dataset, also those of images that it dropped."""
    options = getattr(leaf, 'backend_args', None)
    paths = {info['img_id']: info['xml_path'] for info in infos_of(leaf)}
    known, path = next(iter(paths.items()))
    folder = path[: -len(f'{known}.xml')]
    least = (leaf.filter_cfg or {}).get('min_size', 0)
    names = list_from_file(leaf.ann_file, backend_args=options)
    progress = Progress(len(names), 'checking the annotations')
    for name in progress.track(names):
        path = paths.get(name) or f'{folder}{name}.xml'
        root = ElementTree.fromstring(get(path, backend_args=options))
        sides = () if root.find('size') is None else ('width', 'height')
        size = tuple(int(root.findtext(f'size/{side}') or 0) for side in sides)
        objects = [_object(item) for item in root.findall('object')]
        small = name not in paths and min(size, default=0) < least
        yield XmlImage(path, objects, size, small)


def _object(item: ElementTree.Element) -> XmlObject:
    left, top, right, bottom = (
        float(item.findtext(f'bndbox/{corner}') or 0)
        for corner in ('xmin', 'ymin', 'xmax', 'ymax')
    )
    return XmlObject(
        item.findtext('name') or '',
        (left, top, right - left, bottom - top),
        bool(int(item.findtext('difficult') or 0)),
    )


def xml_losses(
    leaf: Any, images: Iterable[XmlImage], wanted: Sequence[str]
) -> list[Loss]:
    """Find out which images have objects of a class, and none with an area."""
    shown = None if _is_stock(leaf) else shown_in(leaf, 'xml_path')
    causes: dict[tuple[str, str], str | None] = {}
    for path, objects, size, small in images:
        for name, box, difficult in objects:
            if name in wanted and not difficult:
                pair, fault = (path, name), _fault(box, size, small)
                if shown is not None and not explains(fault, pair in shown):
                    fault = None
                # One sound instance is enough.
                causes[pair] = causes.get(pair, fault) and fault
    return grouped(causes)


def _fault(box: Sequence[float], size: Sequence[int], small: bool) -> str | None:
    fault = box_fault(box)
    if fault or small:
        return fault or ('no size' if 0 in size else 'small')
    # MMDetection cuts decimals off, so that less than a pixel may become nothing.
    sides = (int(start + side) - int(start) for start, side in zip(box[:2], box[2:]))
    if min(sides) < 1:
        return 'thin'
    known = size and min(size)
    return 'beyond' if known and not overlap(box, size) else None
