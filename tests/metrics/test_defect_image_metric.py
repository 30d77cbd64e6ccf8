"""The metric says what a factory would count by hand, and how sure it is."""

from __future__ import annotations

import copy
import json
import math
import re
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import METRICS
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from rank_processes import torchrun
from runner_configs import ROOT, small_config
from sklearn.metrics import roc_auc_score, roc_curve

from mmdefect import DefectImageMetric
from mmdefect.metrics.boxes import hulls, overlaps
from mmdefect.metrics.rates import percent_range

CLASSES = ('crack', 'dent')
CRACK, DENT = 0, 1
BOX = (0, 0, 10, 10)
# IoU with BOX: 10 * 4 / 100 = 0.4
HALF_FOUND = (0, 0, 10, 4)
ELSEWHERE = (50, 50, 60, 60)


def instances(rows, scored):
    """Rows of (box, label, score) or (box, label)."""
    result = InstanceData(
        bboxes=torch.tensor([row[0] for row in rows], dtype=torch.float32).view(-1, 4),
        labels=torch.tensor([row[1] for row in rows], dtype=torch.long),
    )
    if scored:
        result.scores = torch.tensor([row[2] for row in rows], dtype=torch.float64)
    return result


def scene(truth, found, ignored=()):
    return dict(
        gt_instances=instances(truth, False),
        ignored_instances=instances(ignored, False),
        pred_instances=instances(found, True),
    )


def metric(**options):
    result = DefectImageMetric(**options)
    result.dataset_meta = dict(classes=CLASSES)
    return result


def evaluate(scenes, **options):
    evaluation = metric(**{'num_bootstrap': 0, **options})
    evaluation.process(None, scenes)
    return evaluation.evaluate(len(scenes))


def images(defect_scores, normal_scores):
    """An image for each score, with one box that has it, or none where it is 0."""
    box = [[(BOX, CRACK, s)] if s else [] for s in (*defect_scores, *normal_scores)]
    truth = [[(BOX, CRACK)]] * len(defect_scores) + [[]] * len(normal_scores)
    return [scene(t, b) for t, b in zip(truth, box)]


# Score 0.3 counts: flagged are 1, 2, 5 and 7.
SCENES = [
    # 0: defect, missed: its box is too unsure
    scene([(BOX, CRACK)], [(BOX, CRACK, 0.2)]),
    # 1: defect, found
    scene([(BOX, CRACK)], [(BOX, CRACK, 0.9), (ELSEWHERE, CRACK, 0.1)]),
    # 2: defect; the dent is found at IoU 0.4 only, and called a crack by a surer box
    scene([(BOX, DENT)], [(BOX, CRACK, 0.8), (HALF_FOUND, DENT, 0.3)]),
    # 3: defect without any box
    scene([(BOX, CRACK)], []),
    # 4: normal without any box
    scene([], []),
    # 5: normal, flagged
    scene([], [(ELSEWHERE, DENT, 0.5)]),
    # 6: normal, for what it shows is ignored
    scene([], [(BOX, CRACK, 0.2)], ignored=[(BOX, CRACK)]),
    # 7: defect; one box is not enough for two defects
    scene([(BOX, CRACK), (BOX, CRACK)], [(BOX, CRACK, 0.4)]),
    # 8: normal
    scene([], [(BOX, CRACK, 0.1)]),
]


def test_its_figures_are_those_of_a_count_by_hand():
    # Scores of the defect images: 0.2, 0.9, 0.8, 0, 0.4; of the normal ones: 0, 0.5,
    # 0.2, 0.1
    wins = (2 + 0.5) + 4 + 4 + 0.5 + 3  # pairs, ties count half
    assert evaluate(SCENES, overkill_rates=[0.01, 0.25, 0.5]) == pytest.approx(
        {
            'defect/escape': 2 / 5,
            'defect/overkill': 1 / 4,
            # no normal image may be flagged: only what exceeds 0.5 is found
            'defect/escape_at_1': 3 / 5,
            'defect/threshold_at_1': 0.6,
            # one may: what exceeds 0.2
            'defect/escape_at_25': 2 / 5,
            'defect/threshold_at_25': 0.3,
            # two may: what exceeds 0.1
            'defect/escape_at_50': 1 / 5,
            'defect/threshold_at_50': 0.2,
            'defect/auroc': wins / (5 * 4),
            'defect/recall_30': 3 / 6,
            'defect/recall_30/crack': 2 / 5,
            'defect/recall_30/dent': 1 / 1,
            'defect/recall_50': 2 / 6,
            'defect/recall_50/crack': 2 / 5,
            'defect/recall_50/dent': 0 / 1,
            'defect/recall': 2 / 6,
            'defect/auroc_recall': wins / (5 * 4) + 2 / 6 / 1000,
        }
    )


def test_a_tie_of_perfect_figures_is_settled_by_how_well_the_boxes_fit():
    normal = scene([], [])
    loose, tight = (
        evaluate([scene([(BOX, CRACK)], [(box, CRACK, 0.9)]), normal])
        for box in ((0, 0, 10, 6), BOX)
    )
    for tied in ('auroc', 'recall_50'):
        assert loose[f'defect/{tied}'] == tight[f'defect/{tied}'] == 1
    for telling in ('auroc_recall', 'recall'):
        assert loose[f'defect/{telling}'] < tight[f'defect/{telling}']


def test_with_only_some_defect_classes_the_others_are_no_defects():
    found = evaluate(SCENES, defect_classes=['dent'], overkill_rates=[0.2])
    # Boxes of dents: 0.3 in image 2, which shows one, and 0.5 in image 5.
    assert found == pytest.approx(
        {
            'defect/escape': 0,
            'defect/overkill': 1 / 8,
            'defect/escape_at_20': 0,
            'defect/threshold_at_20': 0.1,
            'defect/auroc': 7 / 8,
            'defect/recall_30': 1,
            'defect/recall_30/dent': 1,
            'defect/recall_50': 0,
            'defect/recall_50/dent': 0,
            'defect/recall': 0,
            'defect/auroc_recall': 7 / 8,
        }
    )


def turned(degrees, width=40, height=4, center=(50, 50)):
    """A box as MMRotate has it, and its corners."""
    rectangle = (center, (width, height), degrees)
    corners = cv2.boxPoints(rectangle).ravel().tolist()
    return (*center, width, height, math.radians(degrees)), corners


def with_boxes(rows, scored):
    result = instances([(BOX, *row[1:]) for row in rows], scored)
    boxes = [row[0] for row in rows]
    result.bboxes = torch.tensor(boxes, dtype=torch.float32)
    return result


@pytest.mark.parametrize('kind', ['center, size and angle', 'corners'])
def test_a_turned_defect_is_found_by_boxes_at_its_own_angle_only(kind):
    which = ['center, size and angle', 'corners'].index(kind)
    at_45, across = turned(45)[0], turned(-45)[0]
    upright = (30, 48, 70, 52)
    truths = [turned(45), turned(45), turned(45), turned(0)]
    # The last has more boxes than there are defects, and finds one of two.
    found = [[at_45], [across], [turned(44)[0]], [upright, upright]]
    scenes = []
    for truth, boxes in zip(truths, found):
        scenes.append(
            dict(
                gt_instances=with_boxes([(truth[which], CRACK)], False),
                pred_instances=with_boxes([(box, CRACK, 0.9) for box in boxes], True),
            )
        )
    # Their hulls are the same, and would find it.
    recalls = [evaluate([s], iou_thrs=[0.5])['defect/recall_50'] for s in scenes]
    assert recalls == [1, 0, 1, 1]
    none = dict(scenes[0], pred_instances=with_boxes([], True))
    none['pred_instances'].bboxes = torch.zeros(0, 5)
    figures = evaluate([*scenes, none, scene([], [])], iou_thrs=[0.5])
    assert figures['defect/recall_50'] == 3 / 5
    assert figures['defect/escape'] == 1 / 5


def test_the_iou_of_turned_boxes_is_that_of_their_pixels():
    rng = np.random.default_rng(0)
    for _ in range(20):
        pair = [
            turned(angle, *rng.uniform(20, 80, 2), rng.uniform(70, 130, 2))
            for angle in rng.uniform(-90, 90, 2)
        ]
        drawn = np.zeros((2, 1000, 1000), np.uint8)
        for image, (_, corners) in zip(drawn, pair):
            points = 5 * np.reshape(corners, (4, 2))
            cv2.fillPoly(image, [points.round().astype(int)], 1)
        expected = drawn.min(0).sum() / drawn.max(0).sum()
        first, second = ([np.float32([numbers]) for numbers in boxes] for boxes in pair)
        for one in first:
            for other in second:
                assert overlaps(one, other)[0, 0] == pytest.approx(expected, abs=0.02)


def test_the_box_that_is_drawn_around_a_turned_one_holds_all_of_it_and_no_more():
    for degrees in (-80, -30, 0, 45, 70):
        numbers, corners = turned(degrees)
        points = np.reshape(corners, (4, 2))
        around = [*points.min(0), *points.max(0)]
        for box in (numbers, corners):
            (hull,) = hulls(np.array([box], float))
            assert hull == pytest.approx(around, abs=1e-4)


def test_a_surer_box_chooses_first_and_takes_what_it_overlaps_most():
    lower = (0, 5, 10, 15)
    truth = [(BOX, CRACK), (lower, CRACK)]
    # Both overlap BOX the most. The surer one has it; the other one, with an IoU of
    # 7 / 13, takes what is left.
    found = [((0, 2, 10, 12), CRACK, 0.4), ((0, 1, 10, 11), CRACK, 0.9)]
    assert evaluate([scene(truth, found)])['defect/recall_50'] == 1
    # Both lie on BOX: the second finds nothing new.
    found = [(BOX, CRACK, 0.9), ((0, 0, 10, 9), CRACK, 0.8)]
    assert evaluate([scene(truth, found)])['defect/recall_50'] == 1 / 2


def test_a_validation_says_in_one_line_what_escapes(log):
    def scenes(scores, truth):
        return [scene(truth, [(BOX, CRACK, score)]) for score in scores]

    normals = scenes(np.linspace(0.01, 0.4, 40), [])
    defects = scenes([0.395, 0.2, 0.39, 0.5, 0.9], [(BOX, CRACK)])
    found = evaluate([*normals, *defects], num_bootstrap=200)
    low, high = (found[f'defect/escape_at_5_{end}'] for end in ('low', 'high'))
    assert low < 0.2 < high
    assert log[0] == (
        f'at 5 % overkill, threshold {found["defect/threshold_at_5"]}: 20 % missed '
        f'({percent_range([low, high])})'
    )
    log.clear()
    evaluate(images([0.9] * 24, [0.1] * 40), num_bootstrap=20)
    assert log[0].endswith(': 0 % missed (0 to 15 %)')  # as a review says of them
    log.clear()
    evaluate([*normals, *defects], overkill_rates=[0.5, 0.1], num_bootstrap=0)
    assert re.fullmatch(r'at 50 % overkill, threshold 0\.\d+: 20 % missed', log[0])


@pytest.mark.parametrize(
    ('found', 'auroc', 'escape'), [(1.0, 1, 0), (0.0, 0.5, 1)], ids=['perfect', 'blind']
)
def test_a_perfect_and_a_blind_detector_have_the_figures_they_deserve(
    found, auroc, escape
):
    figures = evaluate(images([found] * 5, [0.0] * 20))
    assert figures['defect/auroc'] == auroc
    assert figures['defect/overkill'] == 0
    for key in ('escape', 'escape_at_1', 'escape_at_5'):
        assert figures[f'defect/{key}'] == escape
    assert figures['defect/recall_50'] == 1 - escape


@pytest.mark.parametrize('kind', [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize('score_thr', [0, 0.1, 0.3, 0.7, 1])
def test_a_box_that_counts_flags_its_image(kind, score_thr):
    """Also where the detector's 0.7 is not Python's, and with a threshold of 0."""
    for score in (0.0, 0.1, 0.3, 0.7, 1.0):
        scenes = [scene([(BOX, CRACK)], [(BOX, CRACK, score)])]
        found = scenes[0]['pred_instances']
        found.scores = found.scores.to(kind)
        figures = evaluate(scenes, score_thr=score_thr)
        counts = score >= score_thr and score > 0
        assert figures['defect/recall_50'] == counts
        assert figures['defect/escape'] == 1 - counts


SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.9]), min_size=1)
RATES = st.sampled_from([0.01, 0.05, 0.1, 0.25, 0.29, 0.5, 0.57])


@given(SCORES, SCORES, RATES)
def test_escape_at_is_read_off_scikit_learns_roc_curve(defects, normals, rate):
    labels = [1] * len(defects) + [0] * len(normals)
    false, true, _ = roc_curve(labels, defects + normals, drop_intermediate=False)
    figures = evaluate(images(defects, normals), overkill_rates=[rate])
    expected = 1 - true[false <= rate + 1e-9].max()
    assert figures[f'defect/escape_at_{100 * rate:g}'] == pytest.approx(expected)


@given(SCORES, SCORES, RATES)
def test_the_threshold_it_logs_gives_the_rates_it_logs_once_it_is_set(
    defects, normals, rate
):
    scenes = images(defects, normals)
    for one in scenes:  # as a detector gives them
        one['pred_instances'].scores = one['pred_instances'].scores.float()
    at = f'at_{100 * rate:g}'
    figures = evaluate(scenes, overkill_rates=[rate])
    threshold = figures[f'defect/threshold_{at}']
    if threshold <= 1:
        after = evaluate(scenes, overkill_rates=[rate], score_thr=threshold)
        assert after['defect/escape'] == figures[f'defect/escape_{at}']
        assert after['defect/overkill'] <= rate + 1e-9
    assert float(f'{threshold:.4f}') == threshold  # the log shows four digits


def test_a_rate_that_floating_point_rounds_down_allows_as_many_as_it_says():
    # 0.29 * 100 is 28.999999999999996: the defect is found once 29 may be flagged.
    scenes = images([0.5], [0.9] * 29 + [0.1] * 71)
    assert evaluate(scenes, overkill_rates=[0.29])['defect/escape_at_29'] == 0
    assert evaluate(scenes, overkill_rates=[0.28])['defect/escape_at_28'] == 1


@given(SCORES, SCORES, st.randoms(use_true_random=False))
def test_order_of_images_and_scale_of_scores_change_nothing(defects, normals, random):
    scenes = images(defects, normals)
    before = evaluate(scenes, num_bootstrap=20)
    random.shuffle(scenes)
    assert evaluate(scenes, num_bootstrap=20) == pytest.approx(before, nan_ok=True)
    squared = images([s**2 for s in defects], [s**2 for s in normals])
    after = evaluate(squared, num_bootstrap=20)
    for key in before:
        if re.match(r'defect/(auroc(?!_recall)|escape_at)', key):
            assert after[key] == pytest.approx(before[key])


@given(SCORES, SCORES)
def test_auroc_is_that_of_scikit_learn(defects, normals):
    labels = [1] * len(defects) + [0] * len(normals)
    auroc = evaluate(images(defects, normals))['defect/auroc']
    assert auroc == pytest.approx(roc_auc_score(labels, defects + normals))


def test_the_intervals_hold_the_true_auroc_as_often_as_they_say():
    # Normal scores N(0, 1), defect scores N(1, 1): AUROC = Phi(1 / sqrt(2)).
    truth = 0.5 * (1 + math.erf(0.5))
    rng = np.random.default_rng(0)
    evaluation, held, trials = metric(num_bootstrap=300), 0, 200
    is_defect = np.arange(140) < 40
    for _ in range(trials):
        scores = rng.normal(is_defect, 1)
        figures = evaluation._image_metrics(scores, is_defect)
        held += figures['auroc_low'] <= truth <= figures['auroc_high']
    # 0.95, less a percentile bootstrap's shortfall, within four standard errors
    assert 0.95 - 0.03 - 0.06 <= held / trials <= 1


def test_intervals_of_600_images_take_less_than_a_second():
    rng = np.random.default_rng(0)
    scores, is_defect = rng.random(600), np.arange(600) < 180
    started = time.process_time()
    figures = metric()._image_metrics(scores, is_defect)
    assert time.process_time() - started < 1
    for key in ('escape', 'overkill', 'escape_at_1', 'escape_at_5', 'auroc'):
        assert figures[f'{key}_low'] < figures[key] < figures[f'{key}_high']


def test_many_images_are_resampled_in_parts_as_all_at_once(monkeypatch):
    rng = np.random.default_rng(0)
    scores, is_defect = rng.random(100), np.arange(100) < 30
    whole = metric()._image_metrics(scores, is_defect)
    monkeypatch.setattr('mmdefect.metrics.defect_image_metric.CHUNK', 700)
    parts = metric()._image_metrics(scores, is_defect)
    assert parts == pytest.approx(whole, abs=0.05)


AT, THRESHOLDS = (
    [f'{key}_at_{rate}' for rate in (1, 5)] for key in ('escape', 'threshold')
)


@pytest.mark.parametrize(
    ('defects', 'normals', 'nan'),
    [
        ([], [0.1, 0.5], {'escape', *AT, 'auroc'}),
        ([0.1, 0.5], [], {'overkill', *AT, *THRESHOLDS, 'auroc'}),
    ],
    ids=['no defect image', 'no normal image'],
)
def test_what_cannot_be_computed_is_nan_and_said_once(log, defects, normals, nan):
    evaluation = metric(num_bootstrap=10)
    for _ in range(2):
        evaluation.process(None, images(defects, normals))
        figures = evaluation.evaluate(2)
    lacking = {k[7:] for k, v in figures.items() if math.isnan(v) and 'recall' not in k}
    assert lacking == {f'{key}{end}' for key in nan for end in ('', '_low', '_high')}
    said = [line for line in log if 'NaN' in line]
    counts = f'{len(defects)} show a defect and {len(normals)} are normal'
    assert len(said) == 1
    assert counts in said[0]
    assert 'auroc' in said[0]
    json.loads(json.dumps(figures))


def test_a_diverged_detector_finds_nothing_and_stops_no_training():
    nan = float('nan')
    scenes = [
        scene([(BOX, CRACK)], [((nan,) * 4, CRACK, 0.9)]),
        scene([(BOX, CRACK)], [(BOX, CRACK, nan)]),
        scene([], []),
    ]
    figures = evaluate(scenes)
    assert figures['defect/recall_30'] == 0
    assert figures['defect/escape'] == 1 / 2


def test_two_ranks_measure_what_one_does(tmp_path):
    done = torchrun(2, ROOT / 'tests/metrics/metric_ranks.py', tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    ranks = [json.loads((tmp_path / f'{rank}.json').read_text()) for rank in (0, 1)]
    alone = metric()
    alone.process(None, SCENES)
    expected = alone.evaluate(len(SCENES))
    for held, figures in ranks:
        assert 2 * held == len(SCENES) + 1  # one image was seen twice
        assert figures == expected


def test_beside_coco_metric_it_chooses_the_best_checkpoint(synthetic, tmp_path):
    ready = Config.fromfile(str(ROOT / 'configs/defect_yolox.py'))
    data = copy.deepcopy(ready.val_dataloader.to_dict())
    data['dataset']['data_root'] = f'{synthetic}/'
    data.update(num_workers=0, persistent_workers=False)
    coco = dict(
        type='CocoMetric', ann_file=f'{synthetic}/annotations/val.json', metric='bbox'
    )
    # So little trained, it is never as sure as 0.01.
    cfg = small_config(synthetic, tmp_path, model__test_cfg__score_thr=0.0)
    cfg.val_dataloader, cfg.val_cfg = data, dict(type='ValLoop')
    cfg.val_evaluator = [coco, dict(type='DefectImageMetric', num_bootstrap=50)]
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', save_best='defect/auroc', rule='greater'
    )
    runner = Runner.from_cfg(cfg)
    runner.train()
    scalars = runner.message_hub.log_scalars
    auroc = scalars['val/defect/auroc'].current()
    assert 0 <= scalars['val/defect/auroc_low'].current() <= auroc <= 1
    assert 'val/coco/bbox_mAP' in scalars
    assert [path.name for path in tmp_path.glob('best*')] == [
        'best_defect_auroc_epoch_1.pth'
    ]
    # The ground truth it saw is that of the file.
    evaluation = runner.val_loop.evaluator.metrics[1]
    runner.model.eval()
    with torch.no_grad():
        for batch in runner.val_dataloader:
            evaluation.process(
                batch, [sample.to_dict() for sample in runner.model.val_step(batch)]
            )
    content = json.loads((synthetic / 'annotations/val.json').read_text())
    boxes = sum(len(labels) for _, labels, *_ in evaluation.results)
    assert boxes == len(content['annotations'])
    defects = {annotation['image_id'] for annotation in content['annotations']}
    assert sum(len(labels) > 0 for _, labels, *_ in evaluation.results) == len(defects)


REFUSED = [
    (dict(score_thr=1.5), ValueError, 'score_thr=1.5: expected 0 … 1'),
    (dict(score_thr='0.3'), TypeError, "score_thr='0.3'"),
    (dict(overkill_rates=(0.05, 1)), ValueError, 'overkill_rates=1: '),
    (dict(overkill_rates=(0,)), ValueError, 'overkill_rates=0: '),
    (dict(overkill_rates=0.05), TypeError, 'overkill_rates=0.05: expected a list'),
    (dict(iou_thrs=(0.5, float('nan'))), ValueError, 'iou_thrs=nan'),
    (dict(iou_thrs=(0,)), ValueError, 'iou_thrs=0: expected 0.01 … 1'),
    (dict(num_bootstrap=-1), ValueError, 'num_bootstrap=-1: expected 0 or more'),
    (dict(num_bootstrap=1e3), TypeError, 'num_bootstrap=1000.0: expected an int'),
    (dict(confidence=95), ValueError, 'confidence=95: '),
    (dict(per='piece'), ValueError, "per='piece': expected 'photograph' or 'part'"),
    (dict(per='part'), ValueError, "per='part': expected 'photograph', as metainfo"),
    (dict(defect_classes='crack'), TypeError, "defect_classes='crack': expected a"),
    (dict(defect_classes=[]), ValueError, 'defect_classes=[]: expected at least'),
    (dict(defect_classes=['crak']), ValueError, "defect_classes=['crak']: expected"),
]


@pytest.mark.parametrize(('options', 'kind', 'said'), REFUSED)
def test_a_wrong_argument_is_refused_with_what_was_expected(options, kind, said):
    with pytest.raises(kind, match=re.escape(said)):
        metric(**options)


def test_without_ground_truth_it_says_what_the_pipeline_lacks():
    for lacking in ({}, dict(gt_instances=InstanceData())):
        with pytest.raises(ValueError, match='LoadAnnotations'):
            metric().process(
                None, [dict(pred_instances=instances([], True), **lacking)]
            )


def test_without_class_names_it_says_where_they_are_given():
    with pytest.raises(ValueError, match='metainfo='):
        DefectImageMetric().dataset_meta = {}
    with pytest.raises(ValueError, match='dataset_meta='):
        DefectImageMetric().process(None, SCENES)


def test_training_needs_no_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    assert 0 <= evaluate(SCENES)['defect/auroc'] <= 1


def test_parts_of_a_validation_set_may_name_different_classes():
    evaluation = metric(num_bootstrap=0)
    evaluation.dataset_meta = [dict(classes=CLASSES[:1]), dict(classes=CLASSES)]
    evaluation.process(None, SCENES)
    assert evaluation.evaluate(len(SCENES)) == evaluate(SCENES)
    with pytest.raises(ValueError, match="label 0 is 'crack' in one part"):
        evaluation.dataset_meta = [dict(classes=CLASSES), dict(classes=CLASSES[::-1])]


def test_without_thresholds_the_figures_of_the_best_checkpoint_are_left():
    figures = evaluate(SCENES, iou_thrs=(), overkill_rates=())
    assert set(figures) == {
        *('defect/escape', 'defect/overkill', 'defect/auroc'),
        *('defect/auroc_recall', 'defect/recall'),
    }


def test_a_config_finds_it_by_name():
    assert METRICS.get('DefectImageMetric') is DefectImageMetric


def of_parts(each=4, parts=20, **options):
    """Photographs of parts: a quarter of those with a defect is missed."""
    evaluation = DefectImageMetric(**{'num_bootstrap': 200, **options})
    evaluation.dataset_meta = dict(classes=CLASSES, part=dict(pattern='(.*)_'))
    scores = [0.1 if part % 4 == 0 else 0.8 for part in range(parts)]
    scenes = [
        one
        for view in range(each)
        for one in images([s - view / 1000 for s in scores], [0.05] * parts)
    ]
    for number, one in enumerate(scenes):
        one['img_path'] = f'/a/{number % (2 * parts)}_{number // (2 * parts)}.png'
    evaluation.process(None, scenes)
    return evaluation.evaluate(len(scenes))


def test_photographs_of_one_part_make_no_interval_narrower():
    one, four = of_parts(each=1), of_parts(each=4)
    for key in ('escape', 'escape_at_5', 'auroc'):
        wide, narrow = (
            found[f'defect/{key}_high'] - found[f'defect/{key}_low']
            for found in (one, four)
        )
        assert narrow == pytest.approx(wide, rel=0.15)
    assert four['defect/escape'] == one['defect/escape'] == 0.25


def test_where_parts_are_decided_on_they_are_counted_by_their_highest_score():
    scenes = images([0.1, 0.8, 0.1, 0.1], [0.05, 0.6, 0.05])
    names = ['a_0', 'a_1', 'b_0', 'b_1', 'c_0', 'c_1', 'b_2']
    for one, name in zip(scenes, names):
        one['img_path'] = f'{name}.png'
    evaluation = DefectImageMetric(per='part', num_bootstrap=0)
    evaluation.dataset_meta = dict(classes=CLASSES, part=dict(pattern='(.*)_'))
    evaluation.process(None, scenes)
    found = evaluation.evaluate(len(scenes))
    # The parts a and b have a defect, only a is flagged; c has none, and is flagged.
    assert found['defect/escape'] == 0.5
    assert found['defect/overkill'] == 1
    assert found['defect/recall_50'] == 0.25


def test_parts_cannot_be_told_without_file_names():
    evaluation = DefectImageMetric()
    evaluation.dataset_meta = dict(classes=CLASSES, part=dict(pattern='(.*)_'))
    with pytest.raises(ValueError, match="keep 'img_path' in meta_keys"):
        evaluation.process(None, images([0.5], []))
    with pytest.raises(ValueError, match='one group'):
        evaluation.dataset_meta = dict(classes=CLASSES, part='.*')
    one = dict(classes=CLASSES, part=dict(pattern='(.*)_'))
    with pytest.raises(ValueError, match='set the same for all'):
        evaluation.dataset_meta = [one, dict(classes=CLASSES)]


def test_a_box_without_area_makes_no_defect_image():
    flat = scene([((5, 5, 5, 9), CRACK)], [(BOX, CRACK, 0.9)])
    found = evaluate([flat, scene([(BOX, CRACK)], [])])
    assert (found['defect/overkill'], found['defect/escape']) == (1, 1)
