"""Small datasets over real files, with the faults that annotation tools leave."""

from __future__ import annotations

import json
from pathlib import Path

import dataset_files as files
import pytest
from dataset_files import CLASSES, Image

from mmdefect import DefectPoolSampler

NORMAL = [Image(f'n{i:02d}') for i in range(20)]
# Cracks and dents take turns.
DEFECT = [Image(f'd{i:02d}', (CLASSES[i % 2],)) for i in range(8)]
IMAGES = NORMAL + DEFECT
SECOND_HALF, ALL = range(4, 8), range(8)


def load_coco(folder, path, **options):
    import mmdet.datasets

    settings = dict(
        ann_file=str(path),
        data_prefix=dict(img=f'{folder}/images/'),
        metainfo=dict(classes=CLASSES),
        filter_cfg=dict(filter_empty_gt=False, min_size=1),
        pipeline=list(files.LABELS),
    )
    return mmdet.datasets.CocoDataset(**{**settings, **options})


def edited_coco(folder, edit, images=IMAGES, **options):
    """A dataset over a COCO file of which the content is edited."""
    path = Path(files.coco_json(Path(folder, 'train.json'), images, CLASSES))
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return load_coco(folder, path, **options)


def coco(folder, edit=None, which=ALL, **options):
    """The same, with some of the annotations edited."""

    def edit_some(content):
        for number in which if edit else ():
            edit(content['annotations'][number])

    return edited_coco(folder, edit_some, **options)


def xml(folder, edit=lambda name, text: text, images=IMAGES, **options):
    """A dataset over XML files of which the text is edited."""
    dataset, _ = files.xml(folder, images=images, lazy_init=True, **options)
    for path in Path(folder, 'Annotations').glob('*.xml'):
        path.write_text(edit(path.stem, path.read_text()))
    dataset.full_init()
    return dataset


def sampler(dataset, **options):
    return DefectPoolSampler(dataset, seed=0, **options)


def drawn(made):
    """Names of the images that are drawn as defects."""
    infos = map(made.dataset.get_data_info, made.pools['defect'].tolist())
    return sorted(Path(info['img_path']).stem for info in infos)


def names(images):
    return [image.name for image in images]


def refusal(dataset, **options):
    """What is said where training does not start."""
    with pytest.raises(ValueError, match='Write there') as caught:
        sampler(dataset, **options)
    return str(caught.value)


# What makes MMDetection drop an instance; why, and what to write, as mmdefect says it.
DROPPED = {
    'area': (dict(area=0), 'the area of their boxes is 0', '"area": width * height'),
    'negative area': (dict(area=-3), 'the area of their boxes', '"area": width'),
    'ignore': (dict(ignore=1), 'marked `ignore`', '"ignore": 0'),
    'reversed': (dict(bbox=[30, 30, -9, -9]), 'negative width or height', 'each box'),
    'no height': (dict(bbox=[3, 3, 9, 0]), 'no width or no height', 'a box around'),
    'thin': (dict(bbox=[3, 3, 9, 0.5]), 'less than a pixel', 'a box around'),
    'shares': (dict(bbox=[0.1, 0.2, 0.3, 0.4]), 'from 0 to 1', 'x and width times'),
    'NaN': (dict(bbox=[3, 3, float('nan'), 9]), 'hold NaN', 'four numbers'),
    'outside': (dict(bbox=[90, 90, 9, 9]), 'outside the width', '"width"'),
    'text': (dict(iscrowd='0'), 'iscrowd is text', '"iscrowd": 0'),
    'image_id': (str, 'their image_id is text', '"image_id": the same value'),
    'category_id': (str, 'their category_id is text', '"category_id": the same'),
    'no category': (dict(category_id=99), 'no category has the', 'a category'),
}


def editing(name):
    """Changes an annotation so."""
    changes = DROPPED[name][0]

    def edit(annotation):
        if changes is str:
            annotation[name] = str(annotation[name])
        else:
            annotation.update(changes)

    return edit
