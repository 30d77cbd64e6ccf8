"""Whether boxes fit the images that are loaded: a sample of those with a defect."""

from __future__ import annotations

import os
from glob import escape, glob
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from mmdefect.checks.finding import Finding
from mmdefect.checks.losses import overlap
from mmdefect.images.transforms import reads_file, steps_of
from mmdefect.pools.coco import reads_coco
from mmdefect.pools.source import source_of
from mmdefect.pools.wrappers import describe

# Images of which the annotations are looked at and, in `mmdefect check`, the files;
# and of which the files are loaded where training starts.
INFOS, FILES = 200, 12
# Pixels by which a box may reach beyond its image.
SLACK = 1
# Share of the images with a box that reaches beyond them, above which it is the rule.
RULE = 0.5


class _Image(NamedTuple):
    # Boxes of shape (N, 4), x1, y1, x2, y2, and width and height as its file has them.
    leaf: Any
    info: Mapping[str, Any]
    boxes: np.ndarray
    size: tuple[int, int]


def check_loaded(
    dataset: Any, images: np.ndarray, pixels: bool = False
) -> Iterable[Finding]:
    """Hold the boxes of a sample of images against the images.

    With ``pixels`` the images of the whole sample are loaded, else some of them.
    """
    sample = list(_sample(dataset, images))
    for leaf in {id(each.leaf): each.leaf for each in sample}.values():
        of_leaf = [each for each in sample if each.leaf is leaf]
        yield from _check_corners(leaf, of_leaf)
        number = INFOS if pixels else FILES
        spread = np.linspace(0, len(of_leaf) - 1, min(number, len(of_leaf)))
        few = [of_leaf[at] for at in spread.astype(int)]
        yield from _check_files(leaf, few)


def _sample(dataset: Any, images: np.ndarray) -> Iterable[_Image]:
    source = source_of(dataset)
    spread = np.linspace(0, len(images) - 1, min(INFOS, len(images)))
    for chosen in images[spread.astype(int)].tolist():
        leaf, index = source.leaf_of(chosen)
        read: Any = getattr(leaf, 'get_data_info', lambda index: {})
        info = read(index)
        size = info.get('width') or 0, info.get('height') or 0
        boxes = [each.get('bbox') for each in info.get('instances') or ()]
        whole = all(box is not None and len(box) == 4 for box in boxes)
        if boxes and whole and all(size):
            yield _Image(leaf, info, np.array(boxes, float), size)


def _check_corners(leaf: Any, sample: Sequence[_Image]) -> Iterable[Finding]:
    beyond = [each for each in sample if _reaches_beyond(each)]
    if not beyond:
        return
    what = (
        f'images with a box that reaches beyond them: {len(beyond):,} of '
        f'{len(sample):,} looked at, such as {beyond[0].info["img_path"]}'
    )
    source = getattr(leaf, 'ann_file', None) or describe(leaf)
    if (
        reads_coco(leaf)
        and 4 * len(beyond) > len(sample)
        and all(map(_corners, sample))
    ):
        yield Finding(
            source,
            what,
            'as [x1, y1, x2, y2] all boxes would fit, while a COCO file has '
            '[x, y, width, height]',
            '"bbox": [x1, y1, x2 - x1, y2 - y1], and "area" as the product of the '
            'last two',
            refused=True,
        )
    elif len(beyond) > RULE * len(sample):
        yield Finding(
            source,
            what,
            'boxes of another size or place than the images that the file lists',
            'boxes, "width" and "height" in pixels of the image as it is loaded',
        )


def _reaches_beyond(image: _Image) -> bool:
    over = image.boxes[:, 2:] > np.add(image.size, SLACK)
    return bool(over.any() or (image.boxes[:, :2] < -SLACK).any())


def _corners(image: _Image) -> bool:
    # Whether the numbers in the file would do as two corners inside the image.
    start, end = image.boxes[:, :2], image.boxes[:, 2:] - image.boxes[:, :2]
    return bool((end > start).all() and (end <= np.add(image.size, SLACK)).all())


def _check_files(leaf: Any, sample: Sequence[_Image]) -> Iterable[Finding]:
    step = next(filter(reads_file, steps_of(leaf)), None) if sample else None
    if step is None:
        return
    missing, other, outside = [], [], 0
    for image in sample:
        path = image.info['img_path']
        size = _loaded_size(step, image.info)
        if size is None:
            missing += [(path, found) for found in [_instead(path)] if found]
        elif size != tuple(map(int, image.size)):
            other.append((path, image.size, size))
            starts, ends = image.boxes[:, :2], image.boxes[:, 2:]
            sized = np.hstack([starts, ends - starts])  # x, y, width, height
            outside += not any(overlap(box, size) for box in sized.tolist())
    if missing:
        path, found = missing[0]
        suffix = os.path.splitext(path)[1]
        yield Finding(
            describe(leaf),
            f'image files that are not there: {len(missing):,} of {len(sample):,} '
            f'looked at, such as {path}, while {found} is there',
            f'{type(leaf).__name__} reads {os.path.basename(path)!r}, whatever else '
            'lies beside it',
            f'the images as {suffix} files; what is in a file decides how it is read, '
            'so that another name will do',
            refused=2 * len(missing) > len(sample),
        )
    if other:
        path, size, loaded = other[0]
        turned = all(size[::-1] == loaded for _, size, loaded in other)
        yield Finding(
            getattr(leaf, 'ann_file', None) or describe(leaf),
            f'images of another size than the file has for them: {len(other):,} of '
            f'{len(sample):,} looked at, such as {path}, {size[0]} x {size[1]} in the '
            f'file and {loaded[0]} x {loaded[1]} as loaded',
            'loading turns them as their EXIF orientation says, and their boxes stay '
            'where they were'
            if turned
            else 'their boxes are not where the defects are, as where images were '
            'scaled after labelling',
            "boxes of the turned image, or color_type='color_ignore_orientation' in "
            'LoadImageFromFile'
            if turned
            else 'boxes, width and height in pixels of the image as it is loaded',
            refused=2 * outside > len(sample),
        )


def _loaded_size(step: Any, info: Mapping[str, Any]) -> tuple[int, int] | None:
    # Width and height. That an image cannot be read is told where it is loaded.
    try:
        loaded = step({'img_path': info['img_path'], 'img_id': info.get('img_id')})
        height, width = loaded['ori_shape']
    except Exception:
        return None
    return int(width), int(height)


def _instead(path: str) -> str | None:
    # The same name with another ending.
    stem = os.path.splitext(path)[0]
    if os.path.exists(path) or '://' in path:
        return None
    found = sorted(glob(f'{escape(stem)}.*'))
    return found[0] if found else None
