"""What several test modules share: small datasets, the log, how hypothesis searches."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from mmengine.config import utils as config_utils
from mmengine.dataset import BaseDataset, base_dataset
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, set_random_seed
from runner_configs import ROOT

# For each `mmdet::` in a config MMEngine reads a hundred files, and it collects garbage
# for each dataset: half of the time of a quick test.
config_utils.load = lru_cache(maxsize=None)(config_utils.load)
base_dataset.gc = SimpleNamespace(collect=lambda: 0)

# Each run tries the same examples, so that a failure is never a matter of luck.
# `pytest --hypothesis-profile=search` looks for new ones.
settings.register_profile(
    'same',
    derandomize=True,
    deadline=None,
    max_examples=50,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile('search', deadline=None, max_examples=1000)
settings.load_profile('same')

# When Runners were built.
SECONDS = [0]

# What is started in the background ignores Ctrl-C, and so would the processes that
# tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker('slow'):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(autouse=True)
def one_run_a_second(monkeypatch):
    """Runners of the same second would share a logger, its file and a message hub."""
    build = Runner.__init__

    def build_in_a_second_of_its_own(self, *args, **options):
        while int(time.time()) <= SECONDS[-1]:
            time.sleep(0.02)
        build(self, *args, **options)
        SECONDS.append(int(time.time()))

    monkeypatch.setattr(Runner, '__init__', build_in_a_second_of_its_own)


@pytest.fixture(autouse=True)
def no_run_before():
    """A sampler looks at the config of the last Runner of its process."""
    MessageHub.get_current_instance().runtime_info.pop('cfg', None)


@pytest.fixture(autouse=True)
def subsets_of_their_own():
    """MMEngine 0.10's get_subset keeps one memo for all calls, by ids that are gone."""
    (memo,) = BaseDataset._copy_without_annotation.__defaults__
    if memo is not None:
        memo.clear()


class Annotated:
    """A user's own dataset: labels by image, in MMDetection's format.

    Args:
        images (Sequence[Sequence[int]]): Labels of the instances of each image; a
            negative label ``-1 - n`` is an ignored instance of class ``n``.
        classes (Sequence[str]): Class names.
    """

    def __init__(self, images, classes=('crack', 'dent')):
        self.images = images
        self.metainfo = dict(classes=tuple(classes))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return index

    def get_data_info(self, index):
        instances = [
            dict(bbox_label=max(n, -1 - n), ignore_flag=int(n < 0))
            for n in self.images[index]
        ]
        # Ids that are no indices: what mistakes one for the other is found out.
        path = f'line{index % 2}/{index:04d}.png'
        return dict(img_id=9000 - 7 * index, img_path=path, instances=instances)


@pytest.fixture(scope='session')
def annotated():
    return Annotated


@pytest.fixture(scope='session')
def few_defects():
    """52 images: every 13th shows a crack, every 17th a dent, so image 0 shows both."""
    images = [[] for _ in range(52)]
    for index in range(0, 52, 13):
        images[index].append(0)
    for index in range(0, 52, 17):
        images[index].append(1)
    return Annotated(images)


@pytest.fixture
def like_a_worker():
    """The same random numbers each time, and one thread, as in a data loader."""
    set_random_seed(0)
    init_default_scope('mmdet')
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def log():
    """Messages of MMEngine's logger since the test began."""
    messages = []

    class Keep(logging.Handler):
        def emit(self, record):
            messages.append(record.getMessage())

    logger, handler = MMLogger.get_current_instance(), Keep()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture
def warnings(log):
    """Builds a sampler: it, and what it says of the dataset."""
    from mmdefect import DefectPoolSampler

    def build(dataset, **options):
        log.clear()
        made = DefectPoolSampler(dataset, seed=0, **options)
        return made, list(log)

    return build


class CocoFiles(NamedTuple):
    """A small set of real files in the format of COCO.

    Args:
        root (Path): Holds ``train.json`` and the folder ``images``.
        ids (list[int]): Image ids in the order of the file: sparse, not sorted.
        labels (dict[int, list[str]]): By image id, the classes of the instances that
            count.
        ignored (list[int]): Ids of the images that have crowd instances only.
        tiny (list[int]): Ids of the images of 8 x 8 pixels, without defect.
    """

    root: Path
    ids: list
    labels: dict
    ignored: list
    tiny: list

    def dataset(self, **options):
        """MMDetection's dataset over the files, normal images kept, tiny ones not."""
        from mmdet.datasets import CocoDataset

        settings = dict(
            ann_file='train.json',
            data_root=str(self.root),
            data_prefix=dict(img='images/'),
            metainfo=dict(classes=('dent', 'crack')),
            filter_cfg=dict(filter_empty_gt=False, min_size=16),
            pipeline=[],
        )
        return CocoDataset(**{**settings, **options})


@pytest.fixture(scope='session')
def coco(tmp_path_factory):
    root = tmp_path_factory.mktemp('coco')
    (root / 'images').mkdir()
    rng = np.random.default_rng(0)
    ids = rng.choice(np.arange(1001, 9999), 60, replace=False).tolist()
    # not contiguous, and in no alphabetical order
    categories = {'dent': 3, 'crack': 7, 'stain': 12}
    files = CocoFiles(root, ids, {i: [] for i in ids}, [], [])
    images, annotations = [], []

    def annotate(image, name, **flags):
        box = [int(v) for v in (*rng.integers(4, 20, 2), *rng.integers(6, 16, 2))]
        annotations.append(
            dict(
                id=len(annotations) + 1,
                image_id=image,
                category_id=categories[name],
                bbox=box,
                area=box[2] * box[3],
                **{'iscrowd': 0, **flags},
            )
        )
        return box

    for position, image in enumerate(ids):
        pixels = rng.integers(90, 130, (40, 48, 3)).astype(np.uint8)
        if position in (5, 40):
            pixels = pixels[:8, :8]
            files.tiny.append(image)
        elif position % 10 == 1:
            names = {11: ['dent'], 31: ['crack', 'dent'], 41: ['crack', 'crack']}
            for name in names.get(position, ['crack']):
                x, y, w, h = annotate(image, name)
                cv2.rectangle(pixels, (x, y), (x + w, y + h), (0, 0, 0), -1)
                files.labels[image].append(name)
            annotate(image, 'dent', iscrowd=1)
        elif position % 20 == 3:
            annotate(image, 'dent', iscrowd=1)
            files.ignored.append(image)
        elif position % 20 == 7:
            annotate(image, 'crack', ignore=1)
        elif position % 20 == 9:
            annotate(image, 'stain')
        height, width = pixels.shape[:2]
        name = f'{image % 97:02d}_{image}.png'
        cv2.imwrite(str(root / 'images' / name), pixels)
        images.append(dict(id=image, file_name=name, height=height, width=width))

    rng.shuffle(annotations)
    content = dict(
        images=images,
        annotations=list(annotations),
        categories=[dict(id=n, name=name) for name, n in categories.items()],
    )
    (root / 'train.json').write_text(json.dumps(content))
    return files


@pytest.fixture(scope='session')
def synthetic(tmp_path_factory):
    """What ``tools/make_dataset.py`` makes: 300 training images, 40 for validation."""
    path = tmp_path_factory.mktemp('data') / 'synthetic'
    tool = ROOT / 'tools/make_dataset.py'
    command = [sys.executable, str(tool), str(path), '--train', '300', '--val', '40']
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture(scope='session')
def small(synthetic, tmp_path_factory):
    """The synthetic set, of which the images are halved: a third of the time."""
    root = tmp_path_factory.mktemp('small')
    content = json.loads((synthetic / 'annotations/train.json').read_text())
    (root / 'train').mkdir()
    for image in content['images']:
        pixels = cv2.imread(str(synthetic / 'train' / image['file_name']))
        pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(root / 'train' / image['file_name']), pixels)
        image['height'], image['width'] = pixels.shape[:2]
    for annotation in content['annotations']:
        annotation['bbox'] = [n / 2 for n in annotation['bbox']]
    (root / 'train.json').write_text(json.dumps(content))
    return root


@pytest.fixture(scope='session')
def defect_ids(synthetic):
    """Ids of the training images of ``synthetic`` that show a defect."""
    annotations = json.loads((synthetic / 'annotations/train.json').read_text())
    return {annotation['image_id'] for annotation in annotations['annotations']}


@pytest.fixture(scope='session')
def two_parts(synthetic, tmp_path_factory):
    """Settings of ``synthetic`` in two files, the first of which knows scratches only.

    Only images of the second show a pit or a dent.
    """
    folder = tmp_path_factory.mktemp('two_parts')
    whole = json.loads((synthetic / 'annotations/train.json').read_text())
    (scratch,) = (c for c in whole['categories'] if c['name'] == 'scratch')
    others = {
        annotation['image_id']
        for annotation in whole['annotations']
        if annotation['category_id'] != scratch['id']
    }
    parts = []
    for name, categories in (('one', [scratch]), ('all', whole['categories'])):
        images = [i for i in whole['images'] if (i['id'] in others) == (name == 'all')]
        ids = {image['id'] for image in images}
        annotations = [a for a in whole['annotations'] if a['image_id'] in ids]
        content = dict(images=images, annotations=annotations, categories=categories)
        path = folder / f'{name}.json'
        path.write_text(json.dumps(content))
        classes = tuple(category['name'] for category in categories)
        parts.append(dict(ann_file=str(path), metainfo=dict(classes=classes)))
    return parts
