"""Names of classes: those that metainfo leaves out, and those that mean no defect."""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from mmdefect.checks.coco_files import CocoFile
from mmdefect.checks.finding import Finding
from mmdefect.checks.spelling import alike, nearest, plain, shorten
from mmdefect.checks.xml_files import XmlImage
from mmdefect.pools.indices import NONE
from mmdefect.pools.scan import LeafScan
from mmdefect.pools.wrappers import class_names, describe

# How labelling tools, and those who use them, call what is no defect.
NO_DEFECT = (
    *('background', 'bg', 'none', 'nothing', 'normal', 'ok', 'okay', 'good', 'clean'),
    *('pass', 'passed', 'intact', 'nodefect', 'nodefects', 'defectfree', 'io', 'gut'),
    *('hintergrund', 'fond', 'fondo', 'bueno', 'buono', 'normale'),
    *('背景', '正常', '良品', '良', '合格', '合格品', '无缺陷', '無欠陥', '異常なし'),
    *('ignore', 'ignored', 'ignoreregion', 'ignoredregion', 'ignoredregions'),
    *('dontcare', 'healthy', 'undamaged', 'negative', 'ignorieren', 'unbeschädigt'),
    *('negativ', 'ignorer', 'intacte', 'négatif', 'ignorar', 'sano', 'negativo'),
    *(
        'ignorare',
        'integro',
        '忽略',
        '忽略区域',
        '完好',
        '阴性',
        '無視',
        '陰性',
        '무시',
    ),
    *('무시영역', '음성', '배경', '정상', '양품', '합격', '무결함', '결함없음'),
)


class Name(NamedTuple):
    """A name of a class in annotations.

    Args:
        name (str): The name.
        images (int): Number of images that show it, at least of a name that is none of
            the dataset's classes: of the others, 0 is none.
        alone (int): Of these, how many show none of the dataset's classes.
        example (str): One of them.
    """

    name: str
    images: int
    alone: int = 0
    example: str = ''


def coco_names(scanned: LeafScan, file: CocoFile) -> list[Name]:
    """The names of the categories of a COCO file, in its order."""
    leaf, found = scanned.leaf, []
    for category, called in file.categories():
        listed = leaf.cat_img_map.get(category, ())
        name = Name(called, len(listed))
        if category not in leaf.cat2label and listed:
            alone = scanned.left_out.get(category, NONE)
            example = f'that with the id {listed[0]}'
            if len(alone):
                example = leaf.get_data_info(int(alone[0]))['img_path']
            name = Name(called, len(set(listed)), len(alone), example)
        found.append(name)
    return found


def xml_names(images: Iterable[XmlImage], classes: Sequence[str]) -> list[Name]:
    """The names in XML files."""
    found: dict[str, Name] = {}
    for path, objects, _, _ in images:
        shown = {each.name for each in objects}
        alone = shown.isdisjoint(classes)
        for name in sorted(shown):
            before = found.get(name, Name(name, 0))
            example = path if alone >= bool(before.alone) else before.example
            found[name] = Name(name, before.images + 1, before.alone + alone, example)
    return list(found.values())


def check_names(
    leaf: Any,
    where: str,
    names: Sequence[Name],
    shown: Mapping[str, int],
    chosen: bool,
) -> Iterable[Finding]:
    """Say which images are not drawn as defects because of a name."""
    classes, others = class_names(leaf), []
    for each in names:
        if each.name in classes or not each.images:
            continue
        meant = [c for c in classes if plain(c) == plain(each.name) and c in shown]
        if each.name in shown:  # a class of another part
            yield Finding(
                f'{where}.metainfo',
                f'it leaves out the defect class {each.name!r}, which images of '
                f'{describe(leaf)} show: {each.images:,}, such as {each.example}',
                'they would be drawn as normal',
                f'metainfo=dict(classes={tuple(dict.fromkeys([*shown, *classes]))})',
                refused=True,
            )
        elif meant:
            yield Finding(
                describe(leaf),
                f'images with {each.name!r} where the class is {meant[0]!r}: '
                f'{each.images:,}, such as {each.example}',
                'MMDetection leaves out what has another name, so that they are not '
                f'drawn as {meant[0]!r}' + alike(each.name, meant[0]),
                f'{meant[0]!r} instead of {each.name!r}, or name the class so in '
                'metainfo',
                refused=each.images > shown[meant[0]],
            )
        elif not is_no_defect(each.name):
            others.append(each)
    if others:
        yield _left_out(leaf, where, [each.name for each in names], others, chosen)


def _left_out(
    leaf: Any, where: str, known: list[str], others: list[Name], chosen: bool
) -> Finding:
    classes = class_names(leaf)
    absent = [name for name in classes if name not in known]
    alone = [each for each in others if each.alone]
    told = ', '.join(f'{each.name!r} (in {each.images:,})' for each in others[:10])
    right = {each.name: None for each in others}
    if hasattr(leaf, 'cat_img_map'):  # labels go by the order of the file
        right = {name: None for name in known if name in {*classes, *right}}
    else:
        meant = {name: nearest(name, right) or name for name in absent}
        right = {**{meant.get(name, name): None for name in classes}, **right}
    what = f'it leaves out names that images of {describe(leaf)} show: {told}' + (
        f'; none shows {shorten(absent, 3)}' if absent else ''
    )
    why = (
        f'what shows nothing else counts as normal, such as {alone[0].example}; where '
        'that is right, say so with train_dataloader.sampler.defect_classes'
        if alone
        else 'MMDetection drops such instances; each of the images shows others, too'
    )
    if 'CLASSES' in (getattr(leaf, 'metainfo', None) or {}):
        why = f'MMDetection reads `classes` of metainfo, not `CLASSES`; {why}'
    return Finding(
        f'{where}.metainfo',
        what,
        why,
        f'metainfo=dict(classes={tuple(right)})',
        breaks=bool(alone) and (not chosen or bool(absent)),
    )


def is_no_defect(name: str) -> bool:
    """Whether a class is called as what is no defect, such as ``_background_``."""
    return plain(name) in NO_DEFECT
