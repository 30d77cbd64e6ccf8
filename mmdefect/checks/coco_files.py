"""COCO files, read once more as they are, and what MMDetection makes of them."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from mmap import ACCESS_READ, mmap
from typing import Any, Iterable, Mapping, Sequence

from mmengine.fileio import get_local_path

from mmdefect.checks.finding import Finding
from mmdefect.checks.losses import (
    Loss,
    box_fault,
    explains,
    grouped,
    overlap,
    shown_in,
)
from mmdefect.pools.coco import reads_coco_as_mmdet
from mmdefect.pools.scan import LeafScan
from mmdefect.pools.wrappers import class_names

# Bytes of a file in which a list must end: what is tried one after another.
WINDOWS = (2**21, 2**25, 2**62)
# Bytes that are searched at once.
BLOCK = 2**20
# A flag that is text, and a box of one pixel in the corner.
TEXT_CROWD = rb'"iscrowd"\s*:\s*"'
DOT = rb'\[\s*%s\s*\]' % rb'\s*,\s*'.join(
    number + rb'(?:\.0*)?' for number in (b'0', b'0', b'1', b'1')
)


class CocoFiles(ExitStack):
    """The COCO files of datasets: ``with CocoFiles() as files: ...``.

    A file that is not on this machine is fetched once.
    """

    def __init__(self) -> None:
        super().__init__()
        self._files: dict[str, CocoFile] = {}

    def of(self, leaf: Any) -> CocoFile | None:
        """The file that a dataset read."""
        path = getattr(leaf, 'ann_file', None)
        if not path or not hasattr(leaf, 'cat_img_map'):
            return None
        if path not in self._files:
            options = getattr(leaf, 'backend_args', None)
            local = self.enter_context(get_local_path(path, backend_args=options))
            with open(local, 'rb') as file:
                data = mmap(file.fileno(), 0, access=ACCESS_READ)
            self._files[path] = CocoFile(path, self.enter_context(data))
        return self._files[path]


class CocoFile:
    """A COCO file, of which no more is read than is asked for."""

    def __init__(self, path: str, data: mmap) -> None:
        self.path = path
        self._data = data
        self._content: dict | None = None
        self._categories: list | None = None

    def holds(self, pattern: bytes) -> bool:
        """Whether a regular expression is found in it."""
        return re.search(pattern, self._data) is not None

    def count(self, letters: bytes) -> int:
        """How often it holds these letters."""
        more = BLOCK + len(letters) - 1
        starts = range(0, len(self._data), BLOCK)
        return sum(self._data[at : at + more].count(letters) for at in starts)

    def content(self) -> dict:
        """All of it. This takes up to a third of what loading the dataset took."""
        if self._content is None:
            self._content = json.loads(self._data[:])
        return self._content

    def listed(self, key: str) -> list[dict]:
        """One of its lists, without the rest."""
        if self._content is not None:
            return self._content.get(key) or []
        letters = f'"{key}"'.encode()
        # They may stand in other places, too.
        for start in (self._data.rfind(letters), self._data.find(letters)):
            for window in WINDOWS:
                begin = start + len(letters)
                text = self._data[begin : begin + window].decode(errors='ignore')
                try:
                    found, _ = json.JSONDecoder().raw_decode(text.lstrip(' \r\n\t:'))
                except ValueError:
                    continue
                if isinstance(found, list):
                    return found
        return []

    def categories(self) -> list[tuple[Any, str]]:
        """Ids and names of its categories, in their order."""
        if self._categories is None:
            listed = self.listed('categories')
            self._categories = [(each['id'], each['name']) for each in listed]
        return self._categories


def check_ids(leaf: Any, file: CocoFile) -> Iterable[Finding]:
    """Find images that share an id."""
    # Each image has a file name. Where the dataset has as many images, it has all.
    if file.count(b'"file_name"') == len(leaf):
        return
    images = file.listed('images')
    names: dict[Any, dict[str, None]] = {}
    for image in images:
        names.setdefault(image['id'], {})[file_name_of(image)] = None
    shared = {image: list(of_id) for image, of_id in names.items() if len(of_id) > 1}
    if not shared:
        return
    listed = [leaf.cat_img_map.get(category, ()) for category in leaf.cat2label]
    annotated = {image for ids in listed for image in ids}
    image, (first, *_, last) = next(iter(shared.items()))
    lost = sum(len(of_id) - 1 for of_id in shared.values())
    yield Finding(
        file.path,
        f'images that have the id of another one: {lost:,} of {len(images):,}, such as '
        f'{first} and {last} with the id {image!r}',
        'MMDetection keeps the last image of an id, and gives it the boxes of all',
        '"id": another for each image, and the same as "image_id" of its annotations',
        refused=2 * len(annotated & set(shared)) > len(annotated)
        or 2 * lost > len(images),
    )


def coco_losses(
    scanned: LeafScan, file: CocoFile, wanted: Sequence[str]
) -> list[Loss] | None:
    """Find out why the dataset lacks instances that its file has."""
    leaf, labels = scanned.leaf, class_names(scanned.leaf)
    names = {category: labels[label] for category, label in leaf.cat2label.items()}
    known = {category for category, _ in file.categories()}
    missing = any(labels[label] in wanted for label in scanned.unseen or ())
    if not (
        missing
        or not known.issuperset(leaf.cat_img_map)
        or (scanned.ignored and file.holds(TEXT_CROWD))
        or file.holds(DOT)
    ):
        return None
    content = file.content()
    images = {image['id']: image for image in content['images']}
    same_image, same_category = _by_text(images), _by_text(known)
    shown = None if reads_coco_as_mmdet(leaf) else shown_in(leaf, 'img_id')
    causes: dict[tuple[str, str], str | None] = {}
    for annotation in content.get('annotations', ()):
        image_id, category = annotation['image_id'], annotation['category_id']
        image = images.get(same_image.get(str(image_id)), {})
        same = same_category.get(str(category))
        name = f'category_id {category!r}' if same is None else names.get(same)
        if same is not None and name not in wanted:
            continue
        cause: str | None
        if category not in known:
            cause = 'no category' if same is None else 'category_id'
        elif image_id not in images:
            cause = 'image_id' if image else 'no image'
        else:
            cause = _fault(annotation, image, _min_size(leaf))
        if shown is not None and not explains(cause, (image_id, name) in shown):
            cause = None
        pair = (file_name_of(image) if image else f'image_id {image_id!r}', str(name))
        # One sound instance is enough.
        causes[pair] = causes.get(pair, cause) and cause
    return grouped(causes)


def _fault(
    annotation: Mapping[str, Any], image: Mapping[str, Any], min_size: float
) -> str | None:
    # Why an instance does not count. None where it does.
    box = annotation['bbox']
    fault = 'ignore' if annotation.get('ignore') else box_fault(box)
    if fault:
        return fault
    size = image['width'], image['height']
    if not overlap(box, size):
        return 'turned' if overlap(box, size[::-1]) else 'outside'
    if min(box[2:]) < 1:
        return 'thin'
    if annotation['area'] <= 0:
        return 'area'
    if annotation.get('iscrowd'):
        return 'iscrowd' if isinstance(annotation['iscrowd'], str) else 'crowd'
    return 'small' if min(size) < min_size else None


def _min_size(leaf: Any) -> float:
    return 0 if leaf.test_mode else (leaf.filter_cfg or {}).get('min_size', 0)


def _by_text(ids: Iterable[Any]) -> dict[str, Any]:
    # An id may be a number in one place and text in another.
    return {str(each): each for each in ids}


def file_name_of(image: Mapping[str, Any]) -> str:
    """What to call an image of a COCO file, or of LVIS."""
    return image.get('file_name') or image.get('coco_url') or f'image {image["id"]!r}'
