"""A defect that nobody labelled is found by what no other photograph shows."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmengine.config import ConfigDict

from mmdefect.review import unlikeness as module
from mmdefect.review.photographs import Photographs, photograph_of
from mmdefect.review.unlikeness import unlikeness

STRANGE, DEFECT = 7, 3
SPOT = (96, 48, 112, 64)  # of an image of 160 x 80


class Detector(torch.nn.Module):
    """Sees means and contrasts of 8, 16 and 32 pixels."""

    def __init__(self):
        super().__init__()
        self.data_preprocessor = DetDataPreprocessor(pad_size_divisor=32)

    def backbone(self, x):
        maps = []
        for stride in (8, 16, 32):
            mean, square = (
                torch.nn.functional.avg_pool2d(y, stride) for y in (x, x.square())
            )
            maps.append(torch.cat([mean, (square - mean.square()).sqrt()], 1))
        return maps


@pytest.fixture
def taken(tmp_path):
    """Photographs of 320 x 160 pixels, one of them with a spot, shown at half size."""
    rng, images = np.random.default_rng(0), []
    for number in range(12):
        pixels = rng.normal(120, 8, (160, 320, 3)).clip(0, 255).astype(np.uint8)
        if number in (STRANGE, DEFECT):
            left, top, right, bottom = (2 * value for value in SPOT)
            pixels[top:bottom, left:right] = 30
        path = tmp_path / f'{number}.png'
        cv2.imwrite(str(path), pixels)
        box = dict(bbox=[0, 0, 9, 9], bbox_label=0, ignore_flag=0)
        info = dict(img_path=str(path), instances=[box] * (number == DEFECT))
        images.append(photograph_of(info, (0,)))
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=(160, 160), keep_ratio=True),
        dict(
            type='mmdet.PackDetInputs',
            meta_keys=('img_path', 'ori_shape', 'img_shape', 'scale_factor'),
        ),
    ]
    return Photographs(images, ('defect',), [0], pipeline)


CFG = ConfigDict(val_dataloader=dict(batch_size=5, num_workers=0))


def test_what_no_other_normal_photograph_shows_is_told_with_its_place(taken, tmp_path):
    found = unlikeness(Detector, CFG, taken, tmp_path / 'kept.json')
    assert sorted(found) == [n for n in range(12) if n != DEFECT]
    assert max(found, key=lambda n: found[n].distance) == STRANGE
    left, top, right, bottom = found[STRANGE].box
    # A patch of 16 pixels of the network's input, beside or on the spot.
    assert (right - left, bottom - top) == (32, 32)
    assert abs(left - 2 * SPOT[0]) <= 32
    assert abs(top - 2 * SPOT[1]) <= 32


def test_features_are_made_once_and_again_only_where_memory_is_short(
    taken, tmp_path, monkeypatch
):
    seen, backbone = [], Detector.backbone
    monkeypatch.setattr(
        Detector, 'backbone', lambda self, x: seen.append(len(x)) or backbone(self, x)
    )
    kept = unlikeness(Detector, CFG, taken, tmp_path / 'kept.json')
    assert sum(seen) == 11
    monkeypatch.setattr(module, 'MEMORY', 5_000)
    seen.clear()
    again = unlikeness(Detector, CFG, taken, tmp_path / 'again.json')
    assert 11 < sum(seen) < 22
    assert again.keys() == kept.keys()
    for n, one in kept.items():
        assert again[n].distance == pytest.approx(one.distance, rel=1e-4)


def test_a_defect_that_was_left_out_twice_hides_neither_photograph(taken, tmp_path):
    twin = STRANGE + 1
    shutil.copy(taken.images[STRANGE].path, taken.images[twin].path)
    found = unlikeness(Detector, CFG, taken, tmp_path / 'kept.json')
    ranked = sorted(found, key=lambda n: -found[n].distance)
    assert set(ranked[:2]) == {STRANGE, twin}


def test_patches_of_padding_are_not_what_is_strange(taken, tmp_path):
    # One image is higher than the others, so that these are padded in its batch.
    high = tmp_path / 'high.png'
    pixels = cv2.imread(taken.images[0].path)
    cv2.imwrite(str(high), np.concatenate([pixels, pixels]))
    images = [
        *taken.images,
        photograph_of(dict(img_path=str(high), instances=[]), (0,)),
    ]
    found = unlikeness(Detector, CFG, taken._replace(images=images), tmp_path / 'kept')
    for n, one in found.items():
        assert one.box[3] <= (320 if n == 12 else 160)


def test_it_is_looked_at_once_and_anew_when_labels_have_changed(taken, tmp_path):
    kept = tmp_path / 'kept.json'
    first = unlikeness(Detector, CFG, taken, kept)

    def none():
        raise AssertionError('the detector is built again')

    again = unlikeness(none, CFG, taken, kept)
    assert again.keys() == first.keys()
    assert all(again[n].distance == first[n].distance for n in first)
    assert all((again[n].box == first[n].box).all() for n in first)
    images = list(taken.images)
    images[0] = photograph_of(
        dict(images[0].info, instances=images[DEFECT].info['instances']), (0,)
    )
    other = unlikeness(Detector, CFG, taken._replace(images=images), kept)
    assert 0 not in other
    assert len(json.loads(kept.read_text())['distances']) == len(other)


def test_a_detector_without_a_backbone_tells_only_what_it_sees(taken, tmp_path):
    assert unlikeness(torch.nn.Identity, CFG, taken, tmp_path / 'kept.json') == {}
    assert not (tmp_path / 'kept.json').exists()


def test_a_backbone_that_does_not_run_by_itself_costs_no_review(
    taken, tmp_path, monkeypatch
):
    def needs_text(self, x):
        raise TypeError('a caption is missing')

    monkeypatch.setattr(Detector, 'backbone', needs_text)
    assert unlikeness(Detector, CFG, taken, tmp_path / 'kept.json') == {}
