"""One small set of images, in the format of every dataset class of MMDetection."""

from __future__ import annotations

import csv
import json
import pickle
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import cv2
import numpy as np

CLASSES = ('crack', 'dent')
# The pipeline of the tests: what a detector would be trained on, without the pixels.
LABELS = (dict(type='mmdet.LoadAnnotations', with_bbox=True),)


class Image(NamedTuple):
    """What an image shows.

    Args:
        name (str): File name without its suffix.
        shows (tuple[str, ...]): Classes of the instances that count.
        ignored (tuple[str, ...]): Classes of the ignored instances.
        size (int): Width and height in pixels.
    """

    name: str
    shows: tuple = ()
    ignored: tuple = ()
    size: int = 64


# 'stain' is a category of the files that metainfo does not name.
IMAGES = [
    Image('n00'),
    Image('c01', ('crack',)),
    Image('i02', (), ('dent',)),
    Image('d03', ('dent', 'dent')),
    Image('s04', ('stain',)),
    Image('b05', ('dent', 'crack', 'crack'), ('crack',)),
    Image('n06'),
    Image('c07', ('crack', 'stain'), ('dent',)),
    Image('t08', ('crack',), (), 8),
    Image('i09', (), ('dent', 'crack')),
    Image('n10', size=8),
    Image('d11', ('dent',)),
]


def expected(dataset, images=IMAGES, classes=CLASSES):
    """Indices of a dataset's images by class, and of those with ignored ones only."""
    known = {image.name: image for image in images}
    # The id first where it is the name: OpenImagesDataset gives its last image the
    # path of the one before when it has a single box.
    shown = [
        known.get(info['img_id']) or known[Path(info['img_path']).stem]
        for info in data_infos(dataset)
    ]
    by_class = {c: [i for i, x in enumerate(shown) if c in x.shows] for c in classes}
    counted = set().union(*by_class.values())
    ignored = [
        i
        for i, image in enumerate(shown)
        if set(image.ignored) & set(classes) and i not in counted
    ]
    return by_class, ignored


def data_infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def loaded(dataset, classes=CLASSES):
    """Indices by class, from what the pipeline would hand to the model."""
    by_class = {name: [] for name in classes}
    for index in range(len(dataset)):
        image = dataset[index]
        labels = image['gt_bboxes_labels'][~image['gt_ignore_flags']]
        for label in set(labels.tolist()):
            by_class[classes[label]].append(index)
    return by_class


def boxes(image):
    """Of each instance: its class, whether it is ignored, and x, y, width, height."""
    named = [(name, False) for name in image.shows]
    named += [(name, True) for name in image.ignored]
    return [(name, flag, (n, n + 1, 4, 5)) for n, (name, flag) in enumerate(named)]


def write_pixels(folder, images=IMAGES):
    Path(folder).mkdir(parents=True, exist_ok=True)
    for image in images:
        pixels = np.full((image.size, image.size, 3), 128, np.uint8)
        cv2.imwrite(f'{folder}/{image.name}.jpg', pixels)


# --- Writers: each returns the path of the annotation file ------------------------


def coco_json(path, images=IMAGES, categories=(*CLASSES, 'stain'), first_id=3):
    """Image ids are neither indices nor in the order of the file."""
    ids = {name: first_id + 4 * n for n, name in enumerate(categories)}
    content = dict(info={}, images=[], annotations=[])
    for number, image in enumerate(images):
        image_id = 9000 - 7 * number
        file_name = f'{image.name}.jpg'
        content['images'].append(
            dict(
                id=image_id,
                file_name=file_name,
                coco_url=f'http://images.cocodataset.org/{file_name}',
                width=image.size,
                height=image.size,
            )
        )
        for name, ignored, box in boxes(image):
            if name in ids:
                content['annotations'].append(
                    dict(
                        id=len(content['annotations']) + 1,
                        image_id=image_id,
                        category_id=ids[name],
                        bbox=box,
                        area=box[2] * box[3],
                        iscrowd=int(ignored),
                    )
                )
    content['categories'] = [dict(id=n, name=name) for name, n in ids.items()]
    return _write(path, json.dumps(content))


def xml_files(folder, annotations, images=IMAGES):
    for image in images:
        root = ElementTree.Element('annotation')
        ElementTree.SubElement(root, 'folder').text = 'images'
        size = ElementTree.SubElement(root, 'size')
        ElementTree.SubElement(size, 'width').text = str(image.size)
        ElementTree.SubElement(size, 'height').text = str(image.size)
        for name, ignored, (x, y, width, height) in boxes(image):
            item = ElementTree.SubElement(root, 'object')
            ElementTree.SubElement(item, 'name').text = name
            ElementTree.SubElement(item, 'difficult').text = str(int(ignored))
            box = ElementTree.SubElement(item, 'bndbox')
            corners = dict(xmin=x, ymin=y, xmax=x + width, ymax=y + height)
            for corner, value in corners.items():
                ElementTree.SubElement(box, corner).text = str(value)
        text = ElementTree.tostring(root, encoding='unicode')
        _write(Path(folder, annotations, f'{image.name}.xml'), text)
    return _write(Path(folder, 'train.txt'), '\n'.join(x.name for x in images))


def data_list_json(path, images=IMAGES, classes=CLASSES):
    """MMEngine's own format."""
    listed = []
    for image in images:
        instances = [
            dict(
                bbox=[x, y, x + width, y + height],
                bbox_label=classes.index(name),
                ignore_flag=int(ignored),
            )
            for name, ignored, (x, y, width, height) in boxes(image)
            if name in classes
        ]
        listed.append(
            dict(
                img_path=f'{image.name}.jpg',
                img_id=image.name,
                height=image.size,
                width=image.size,
                instances=instances,
            )
        )
    content = dict(metainfo=dict(classes=classes), data_list=listed)
    return _write(path, json.dumps(content))


# --- Builders: a folder -> a dataset, and the images as its format can tell them ---


def coco(folder, kind='CocoDataset', classes=CLASSES, **options):
    """Any dataset class of MMDetection that reads COCO's format."""
    import mmdet.datasets

    settings = dict(
        ann_file=coco_json(Path(folder, 'train.json')),
        data_prefix=dict(img=f'{folder}/images/'),
        metainfo=dict(classes=classes),
        pipeline=list(LABELS),
    )
    return getattr(mmdet.datasets, kind)(**{**settings, **options}), IMAGES


def lvis(folder, kind='LVISV1Dataset'):
    """Takes every category of the file for a class, whatever metainfo says."""
    path = coco_json(Path(folder, 'lvis.json'), categories=CLASSES)
    return coco(folder, kind, ann_file=path)


def xml(folder, kind='XMLDataset', classes=CLASSES, images=IMAGES, **options):
    import mmdet.datasets

    settings = dict(
        ann_file=xml_files(folder, 'Annotations', images),
        data_root=str(folder),
        data_prefix=dict(sub_data_root=''),
        metainfo=dict(classes=classes),
        pipeline=list(LABELS),
    )
    return getattr(mmdet.datasets, kind)(**{**settings, **options}), images


def wider_face(folder):
    path = xml_files(folder, 'Annotations')
    prefix = dict(img=str(folder))
    return xml(folder, 'WIDERFaceDataset', ann_file=path, data_prefix=prefix)


def crowd_human(folder):
    """Keeps instances of other classes, as ignored ones of class -1."""
    from mmdet.datasets import CrowdHumanDataset

    lines = []
    for image in IMAGES:
        instances = [
            dict(tag=name, extra=dict(ignore=int(flag)), fbox=b, hbox=b, vbox=b)
            for name, flag, b in boxes(image)
        ]
        lines.append(json.dumps(dict(ID=image.name, gtboxes=instances)))
    path = _write(Path(folder, 'annotation_train.odgt'), '\n'.join(lines))
    sizes = {image.name: (image.size, image.size) for image in IMAGES}
    dataset = CrowdHumanDataset(
        data_root=str(folder),
        ann_file=path,
        extra_ann_file=_write(Path(folder, 'sizes.json'), json.dumps(sizes)),
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=CLASSES),
        pipeline=list(LABELS),
    )
    images = [
        x._replace(ignored=(*x.ignored, *['crack'] * ('stain' in x.shows)))
        for x in IMAGES
    ]
    return dataset, images


def open_images(folder):
    """Lists images by their boxes, so that none is without; nothing is ignored."""
    from mmdet.datasets import OpenImagesDataset

    names = (*CLASSES, 'stain')
    images = [x._replace(ignored=()) for x in IMAGES if x.shows]
    ids = {name: f'/m/{number}' for number, name in enumerate(names)}
    rows = [['ImageID', *['-'] * 12]]
    for image in images:
        for name, _, (x, y, width, height) in boxes(image):
            corners = [v / image.size for v in (x, x + width, y, y + height)]
            rows.append([image.name, '-', ids[name], 1, *corners, 0, 0, 0, 0, 0])
    metas = [
        dict(filename=f'{x.name}.jpg', ori_shape=(x.size, x.size, 3)) for x in images
    ]
    tree = dict(
        LabelName='/m/root', Subcategory=[dict(LabelName=n) for n in ids.values()]
    )
    Path(folder, 'metas.pkl').write_bytes(pickle.dumps(metas))
    dataset = OpenImagesDataset(
        data_root=str(folder),
        ann_file=_write_csv(Path(folder, 'boxes.csv'), rows),
        label_file=_write_csv(
            Path(folder, 'labels.csv'), [(i, n) for n, i in ids.items()]
        ),
        meta_file=str(Path(folder, 'metas.pkl')),
        hierarchy_file=_write(Path(folder, 'tree.json'), json.dumps(tree)),
        data_prefix=dict(img='images/'),
        pipeline=list(LABELS),
    )
    return dataset, images


def data_list(folder, classes=CLASSES, **options):
    from mmdet.datasets import BaseDetDataset

    settings = dict(
        ann_file=data_list_json(Path(folder, 'data_list.json'), classes=classes),
        data_prefix=dict(img_path=f'{folder}/images/'),
        pipeline=list(LABELS),
    )
    return BaseDetDataset(**{**settings, **options}), IMAGES


COCO_FORMAT = (
    'CocoDataset',
    'CityscapesDataset',
    'Objects365V1Dataset',
    'Objects365V2Dataset',
    'ADE20KInstanceDataset',
    'DeepFashionDataset',
    'iSAIDDataset',
)
LVIS_FORMAT = ('LVISV05Dataset', 'LVISV1Dataset')
BUILDERS = {
    **{kind: partial(coco, kind=kind) for kind in COCO_FORMAT},
    **{kind: partial(lvis, kind=kind) for kind in LVIS_FORMAT},
    'XMLDataset': xml,
    'VOCDataset': partial(xml, kind='VOCDataset'),
    'WIDERFaceDataset': wider_face,
    'CrowdHumanDataset': crowd_human,
    'OpenImagesDataset': open_images,
    'BaseDetDataset': data_list,
}


def _write(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def _write_csv(path, rows):
    with open(path, 'w', newline='') as file:
        csv.writer(file).writerows(rows)
    return str(path)
