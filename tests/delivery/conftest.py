from __future__ import annotations

import json

import cv2
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.runner import set_random_seed


@pytest.fixture(autouse=True)
def _like_a_worker():
    """The same random numbers each time, and one thread, as in a data loader."""
    set_random_seed(0)
    init_default_scope('mmdet')
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
