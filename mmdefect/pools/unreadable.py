"""Why annotations cannot be read, and what to write."""

from __future__ import annotations

import codecs
import json
import os
import re
from typing import Any

# How a file begins that is not plain UTF-8.
MARKS = {
    codecs.BOM_UTF8: 'UTF-8 with a byte order mark',
    codecs.BOM_UTF16_LE: 'UTF-16',
    codecs.BOM_UTF16_BE: 'UTF-16',
}
# What MMDetection asks of the entries of a COCO file.
NEEDED = {
    'images': ('id', 'file_name', 'width', 'height'),
    'categories': ('id', 'name'),
    'annotations': ('id', 'image_id', 'category_id', 'bbox', 'area'),
}
NUMBERS = ('width', 'height', 'area')
HOW = {'area': ' (width * height of the bbox)', 'bbox': ' ([x, y, width, height])'}
NORMAL_XML = '<annotation><size><width>W</width><height>H</height></size></annotation>'


def explain(error: Exception, path: str | None, classes: Any = None) -> str | None:
    """Say why a dataset cannot be read, and what to write."""
    if isinstance(classes, str) and not os.path.isfile(classes):
        return (
            f'metainfo has classes={classes!r}, which is text and not a list of names, '
            f'nor a file of such; set metainfo=dict(classes=({classes!r},))'
        )
    if not path or not os.path.isfile(path):
        return None
    encoding = encoding_of(path)
    if encoding:
        return f'{path} is {encoding}; save it as UTF-8 without a byte order mark'
    missing = getattr(error, 'filename', None)
    if missing:
        return _missing_xml(missing, path)
    said = _broken_xml(error) or _lacking(path)
    dropped = 'need at least one array' in str(error) and not _lists_none(path)
    if said is None and dropped:
        return (
            f'{path} leaves no image: all are dropped, by filter_cfg.min_size where '
            'their width or height is smaller, or 0, or by '
            'filter_cfg.filter_empty_gt=True where they have no box; mend these'
        )
    return said


def encoding_of(path: str | os.PathLike) -> str | None:
    """How a text file is encoded."""
    with open(path, 'rb') as file:
        start = file.read(4)
    return next((MARKS[mark] for mark in MARKS if start.startswith(mark)), None)


def _missing_xml(missing: str, path: str) -> str | None:
    folder, name = os.path.split(missing)
    if not (name.endswith('.xml') and os.path.isdir(folder)):
        return None
    if name == '.xml':
        return f'{path} has an empty line; take it out'
    return (
        f'{missing} does not exist, which belongs to an image in {path}. An image '
        f'without a defect needs an empty one, such as {NORMAL_XML}; write it, or take '
        'the image out of the list'
    )


def _broken_xml(error: Exception) -> str | None:
    # The loader holds the name of the file that it is at.
    trace = error.__traceback__
    while trace:
        image = trace.tb_frame.f_locals.get('img_info')
        if isinstance(image, dict) and 'xml_path' in image:
            encoding = _other_encoding(image['xml_path'])
            if encoding:
                return (
                    f"{image['xml_path']} is written in {encoding}, which Python's "
                    'reader of XML cannot read; save it as UTF-8, with '
                    'encoding="utf-8" or none in its first line'
                )
            return (
                f'{image["xml_path"]}: {type(error).__name__}: {error}; mend it: each '
                '<object> needs a <name>, and a <bndbox> with xmin, ymin, xmax, ymax'
            )
        trace = trace.tb_next
    return None


def _other_encoding(path: str) -> str | None:
    # Of an XML file that is not UTF-8: the encoding that it names, or that is likely.
    if not os.path.isfile(path):
        return None
    with open(path, 'rb') as file:
        data = file.read()
    try:
        data.decode('utf-8')
    except UnicodeDecodeError:
        named = re.match(rb'\s*<\?xml[^>]*encoding=["\']([\w-]+)', data)
        return named[1].decode() if named else 'no UTF-8, perhaps in GBK (gb2312)'
    return None


def _lacking(path: str) -> str | None:
    # What a COCO file has not that MMDetection asks of it.
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except ValueError:
        return None
    if not isinstance(content, dict) or 'data_list' in content:
        return None
    for name, needed in NEEDED.items():
        entries = content.get(name)
        if not isinstance(entries, list):
            return (
                f'{path} has no list "{name}"; a COCO file has "images", "annotations" '
                'and "categories"'
            )
        for key in needed:
            fits = _is_box if key == 'bbox' else _is_there
            bad = [each for each in entries if not fits(each.get(key))]
            text = [each for each in entries if isinstance(each.get(key), str)]
            have = 'have no'
            if key in NUMBERS and not bad and text:
                bad, have = text, 'have text instead of a number as'
            if bad:
                return (
                    f'{len(bad):,} of {len(entries):,} {name} of {path} {have} '
                    f'"{key}"{HOW.get(key, "")}, such as {str(bad[0])[:100]}; write it '
                    'into each'
                )
    ids = {each['id'] for each in content['annotations']}
    again = len(content['annotations']) - len(ids)
    if again:
        return (
            f'{again:,} annotations of {path} have the "id" of another one; number '
            'them anew'
        )
    return None


def _lists_none(path: str) -> bool:
    # Whether a COCO file has no image to drop.
    try:
        with open(path, encoding='utf-8') as file:
            return not json.load(file)['images']
    except (ValueError, KeyError, TypeError):
        return False


def _is_there(value: Any) -> bool:
    return value is not None


def _is_box(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 4
    return numbers and all(isinstance(each, (int, float)) for each in value)
