"""A crop gets a window that keeps the defect, as trying it until it does would."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmdet.registry import TRANSFORMS
from pipelines import CROP, plain, pools_of, preserving, shown

from mmdefect.delivery.window import aimed
from mmdefect.images.boxes import TracedBoxes
from mmdefect.images.errors import RejectedError


def image(*box):
    return dict(
        img=np.zeros((60, 80, 3), np.uint8),
        img_shape=(60, 80),
        gt_bboxes=TracedBoxes(torch.tensor([box]).float()),
        gt_bboxes_labels=np.array([2]),
        gt_ignore_flags=np.zeros(1, bool),
    )


def place_of(results):
    """Offsets and size of the window."""
    moved = results['homography_matrix'][:2, 2]
    return [*-moved, *results['img_shape']]


@pytest.mark.parametrize('kind', ['relative_range', 'absolute', 'absolute_range'])
def test_the_window_is_drawn_as_by_trying_until_the_defect_is_kept(kind):
    size = (0.3, 0.3) if kind == 'relative_range' else (30, 40)
    crop = TRANSFORMS.build(
        dict(CROP, crop_type=kind, crop_size=size, allow_negative_crop=True)
    )
    aims, tries = [], []
    while len(tries) < 1000:
        results = crop(image(60, 10, 76, 24))
        if results['gt_bboxes'].visible_share(results['img_shape']).sum() >= 0.5:
            tries.append(place_of(results))
    for _ in range(1000):
        results = image(60, 10, 76, 24)
        results = aimed(crop, results, {2}, 0.5, 1)(results)
        assert results['gt_bboxes'].visible_share(results['img_shape'])[0] >= 0.5
        aims.append(place_of(results))
    aims, tries = np.array(aims), np.array(tries)
    error = np.hypot(aims.std(0), tries.std(0)) / 1000**0.5
    assert (np.abs(aims.mean(0) - tries.mean(0)) <= 5 * error + 1e-9).all()
    assert aims.std(0) == pytest.approx(tries.std(0), rel=0.2, abs=1e-9)


def test_a_defect_that_no_window_can_keep_is_not_looked_for_for_ever():
    crop = TRANSFORMS.build(dict(type='RandomCrop', crop_size=(10, 10)))
    with pytest.raises(RejectedError, match='RandomCrop cut its defect away'):
        aimed(crop, image(0, 0, 80, 60), {2}, 0.5, 1)


@pytest.mark.usefixtures('like_a_worker')
def test_the_whole_pipeline_runs_once_though_most_windows_lose_the_defect(small):
    dataset = preserving(plain(small, CROP))
    defects = pools_of(dataset)['defect'][:20].tolist()
    for index in defects:
        assert shown(dataset[index])
    assert dataset.counts['retries'] <= 1
