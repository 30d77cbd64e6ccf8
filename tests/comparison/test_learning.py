"""Whether to collect more defects: as honest as a few trainings allow."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import DATASETS, init_default_scope

from mmdefect.analysis.errors import UnusableError
from mmdefect.comparison.fewer import in_order, set_seed, with_share
from mmdefect.comparison.learning import (
    Trial,
    draw_learning,
    fit,
    report_learning,
    sentences_of,
)

POOLS = st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=1, max_size=4)


@given(POOLS, st.integers(0, 99))
def test_a_part_of_the_defect_images_has_every_class_and_the_mix_of_the_whole(
    pools, seed
):
    arrays = [np.array(sorted(pool)) for pool in pools]
    order = in_order(arrays, seed).tolist()
    assert sorted(order) == sorted(set().union(*pools))
    for pool in pools:
        assert pool & set(order[: len(pools)])
    # Where no image shows two classes, each beginning has its part of each.
    if sum(map(len, pools)) == len(order):
        for end in range(1, len(order) + 1):
            for pool in pools:
                fair = end * len(pool) / len(order)
                assert abs(len(pool & set(order[:end])) - fair) <= len(pools)


@pytest.fixture
def build(coco):
    init_default_scope('mmdet')
    leaf = dict(
        type='CocoDataset',
        ann_file='train.json',
        data_root=str(coco.root),
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=('dent', 'crack')),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=[],
    )
    wrapped = dict(type='RepeatDataset', times=1, dataset=leaf)

    def make(share, seed=0):
        config = with_share(wrapped, share, None)
        set_seed(config, seed)
        dataset = DATASETS.build(config)
        return {dataset.get_data_info(i)['img_id'] for i in range(len(dataset))}

    return make


def test_only_defect_images_are_left_out_and_a_smaller_part_is_in_a_larger(coco, build):
    defects = {image for image, labels in coco.labels.items() if labels}
    parts = [build(share) for share in (0.4, 0.7, 1.0)]
    assert parts[2] == set(coco.ids)
    assert parts[0] < parts[1] < parts[2]
    for part, share in zip(parts, (0.4, 0.7)):
        assert part - defects == set(coco.ids) - defects
        assert len(part & defects) == round(share * len(defects))
    assert any(build(0.4, seed) != parts[0] for seed in (1, 2, 3))


def rows(*pairs, sampler='quota'):
    return [Trial(sampler, images, rate) for images, rate in pairs]


def test_a_power_law_is_found_and_carried_on_to_twice_as_many():
    law = fit(rows((10, 0.8), (20, 0.4), (40, 0.2)))
    assert law.factor == pytest.approx((0.5, 0.5, 0.5))
    assert law.doubled == pytest.approx((0.1, 0.1, 0.1))
    (said,) = sentences_of(rows((10, 0.8), (20, 0.4), (40, 0.2)))
    assert 'about 0.100 (0.100 to 0.100) with 80' in said
    assert said.endswith('more defect images help.')


def test_the_interval_of_a_line_through_three_runs_is_as_wide_as_it_must_be():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        noisy = [(n, 0.6 * n**-0.3 * 2 ** rng.normal(0, 0.2)) for n in (10, 20, 40)]
        _, low, high = fit(rows(*noisy)).factor
        held += low <= 2**-0.3 <= high
    assert 0.95 - 0.04 <= held / 300 <= 0.95 + 0.04


def test_where_the_seeds_scatter_no_one_is_sent_to_collect_more():
    scattered = [(10, 0.5), (10, 0.7), (20, 0.7), (20, 0.5), (40, 0.45), (40, 0.6)]
    (said,) = sentences_of(rows(*scattered))
    assert said.endswith('whether more would help, these runs do not tell.')


@pytest.mark.parametrize(
    'pairs',
    [[(10, 0.5), (40, 0.2)], [(10, 0.5)] * 4, [(10, 0.5), (20, 0.2), (40, 0.0)]],
    ids=['two runs', 'one number', 'nothing missed'],
)
def test_too_little_is_called_too_little(pairs, tmp_path):
    (said,) = sentences_of(rows(*pairs))
    assert said.endswith('Too little to tell what more would bring.')
    draw_learning(rows(*pairs), tmp_path / 'learning.png')
    assert cv2.imread(str(tmp_path / 'learning.png')) is not None


def test_runs_are_told_by_the_images_that_they_trained_on(tmp_path):
    entries = [
        dict(sampler=name, curve=[dict(iter=9, metrics={'defect/escape_at_5': rate})])
        for name, rate in (('quota@0.5', 0.4), ('quota', 0.3), ('stock', 0.9))
    ]
    counts = {'quota@0.5': 12, 'quota': 24, 'stock': 24}
    figures = {name: dict(defect_images=number) for name, number in counts.items()}
    said = report_learning(entries, figures, tmp_path / 'learning.png').splitlines()
    assert said[0].startswith(
        'quota: defect/escape_at_5 0.400 with 12 defect images, 0.300 with 24'
    )
    assert said[1].startswith('stock: defect/escape_at_5 0.900 with 24')
    assert (tmp_path / 'learning.png').is_file()
    with pytest.raises(UnusableError, match='no run told'):
        report_learning([], figures, tmp_path / 'none.png')
