"""What a factory watches: defect images missed, and normal images flagged."""

from __future__ import annotations

import logging
from typing import Any, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from mmdefect.arguments import check_type, class_list, number, whole_number
from mmdefect.metrics.boxes import match, overlaps
from mmdefect.metrics.meta import names_by_label, part_of
from mmdefect.metrics.parts import first_of, highest_of, part_names
from mmdefect.metrics.rates import (
    lowest_cuts,
    percent,
    percent_range,
    rate_of,
    shortest_between,
)
from mmdefect.metrics.redraw import redrawn

LINE = 'val_evaluator: DefectImageMetric'
# Overlaps of ``recall``: a perfect score takes a perfect box, so it hardly ever ties.
STRICT = np.arange(50, 100, 5) / 100
# Resampled scores held in memory at once.
CHUNK = 2_000_000


@METRICS.register_module()
class DefectImageMetric(BaseMetric):
    """Escape and overkill rates of images, and recall of boxes.

    The score of an image is the highest score of its boxes, 0 without a box. A defect
    image has at least one ground-truth instance that is not ignored and whose box has
    an area, as for ``DefectPoolSampler``. The keys, under the prefix ``defect``:

    - ``escape``: share of the defect images without a box that reaches ``score_thr``.
    - ``overkill``: share of the normal images with a box that reaches ``score_thr``.
    - ``escape_at_5``: escape rate at the lowest threshold at which at most 5 % of the
      normal images are flagged; ``escape_at_1`` the same at 1 %. Exactly: of n normal
      images, floor(0.05 n) may be flagged. The next highest normal score is the first
      that must pass as normal, and each defect image whose score does not exceed it
      is missed. Ties thus never make the rate look better than it is.
    - ``threshold_at_5``, ``threshold_at_1``: that threshold, the ``score_thr`` to set
      where the detector runs: the shortest decimal number that sorts the images so.
    - ``auroc``: area under the ROC curve of the image scores. 0.5 is chance.
    - ``recall_30``, ``recall_50``: share of the ground-truth boxes that a box of the
      same class finds with ``score_thr`` and an IoU of at least 0.3, 0.5. Boxes choose
      in the order of their scores, each the box it overlaps most of those that are
      left. ``recall_50/<class>``: the same of one class. Boxes at an angle, as of
      MMRotate, are compared at it.
    - ``recall``: the same, the mean over the IoUs 0.5, 0.55, ... 0.95.
    - ``auroc_recall``: ``auroc`` plus a thousandth of ``recall``, to choose the best
      checkpoint by: an ``auroc`` of 1 is soon reached, and a tie keeps the earliest.
    - ``escape_low``, ``escape_high`` and so on for all of these but recall: where the
      figure lies for new images of the same kind; not after another training. That of
      a rate is exact, at the threshold that stands beside it: of 24 defect images of
      which none is missed, 0 to 15 %. Those of ``auroc`` and of thresholds are the
      bootstrap's percentiles, which are too narrow with few images.

    The log says it in one line for the highest of ``overkill_rates``, such as ``at 5 %
    overkill, threshold 0.41: 71 % missed (66 to 78 %)``.

    What cannot be computed, for want of defect or of normal images, is NaN. A best
    checkpoint is then not saved. MMEngine cannot tell by itself that more is better:
    ``checkpoint=dict(save_best='defect/auroc_recall', rule='greater')``.

    It stands beside ``CocoMetric`` in a list, ``val_evaluator=[dict(type='CocoMetric',
    ...), dict(type='DefectImageMetric')]``, and reads the ground truth from the test
    pipeline: ``LoadAnnotations`` after ``Resize``, as in MMDetection's configs.

    Photographs of one part are no independent evidence. Where the dataset says which
    belong together, ``metainfo=dict(classes=..., part=dict(pattern=r'(.*)_exp.'))``
    (one group on the file name) or ``part=dict(file='parts.txt')`` (a file name and its
    part a line), all intervals count and redraw parts.

    Args:
        score_thr (float): Score from which a box counts; a score of 0 never does.
            Defaults to 0.3, from which MMDetection draws boxes: what is seen is what is
            counted.
        defect_classes (Sequence[str], optional): Names of the classes that count as
            defects, in the ground truth and among the boxes. Defaults to None, all of
            the dataset.
        overkill_rates (Sequence[float]): Shares of normal images, each in (0, 1).
        iou_thrs (Sequence[float]): IoU thresholds of recall, each in (0, 1].
        num_bootstrap (int): Resampled sets for the intervals; 0 = no intervals.
        confidence (float): How often an interval is to hold the figure.
        per (str): What is decided on: ``'photograph'``, or ``'part'`` where several
            views decide about one piece: its score is its highest, and the rates count
            parts. Recall is of boxes either way.
        **kwargs: ``collect_device``, ``collect_dir`` and ``prefix`` of ``BaseMetric``.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of range, or a class is not in the dataset.
    """

    default_prefix = 'defect'

    def __init__(
        self,
        score_thr: float = 0.3,
        defect_classes: Sequence[str] | None = None,
        overkill_rates: Sequence[float] = (0.01, 0.05),
        iou_thrs: Sequence[float] = (0.3, 0.5),
        num_bootstrap: int = 1000,
        confidence: float = 0.95,
        per: str = 'photograph',
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, shares in dict(
            overkill_rates=overkill_rates, iou_thrs=iou_thrs
        ).items():
            check_type(shares, (list, tuple), 'a list of numbers', f'{LINE}.{name}')
        for rate in overkill_rates:
            number(rate, f'{LINE}.overkill_rates', ends=False)
        for iou_thr in iou_thrs:
            number(iou_thr, f'{LINE}.iou_thrs', least=0.01)
        if per not in ('photograph', 'part'):
            raise _refused('per', per, "'photograph' or 'part'")
        self.score_thr = float(number(score_thr, f'{LINE}.score_thr'))
        self.defect_classes = class_list(defect_classes, f'{LINE}.defect_classes')
        self.overkill_rates = overkill_rates
        self.iou_thrs = iou_thrs
        self.num_bootstrap = whole_number(num_bootstrap, f'{LINE}.num_bootstrap', 0)
        self.confidence = number(confidence, f'{LINE}.confidence', ends=False)
        self.per = per
        self._warned = False

    @property
    def dataset_meta(self) -> Any:
        """Meta information of the dataset, with the names of its classes.

        A list of dicts where the parts of a ``ConcatDataset`` differ.
        """
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: Any) -> None:
        metas = dataset_meta if isinstance(dataset_meta, list) else [dataset_meta]
        names = names_by_label(metas)
        self._part = part_of(metas)
        if self._part is None and self.per == 'part':
            expected = "'photograph', as metainfo of the validation dataset has no part"
            raise _refused('per', self.per, expected)
        classes = tuple(names.values())
        unknown = [name for name in self.defect_classes or () if name not in classes]
        if unknown:
            raise _refused('defect_classes', unknown, f'some of {classes}')
        self._dataset_meta = dataset_meta
        self._names = {
            label: name
            for label, name in names.items()
            if self.defect_classes is None or name in self.defect_classes
        }

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep of each image its score, its label, and which of its boxes are found."""
        if self.dataset_meta is None:
            raise ValueError(
                'DefectImageMetric needs the names of the classes: set its '
                "dataset_meta=dict(classes=('scratch', ...)) before it evaluates"
            )
        labels_of_defects = list(self._names)
        for sample in data_samples:
            truth, found = sample.get('gt_instances', {}), sample['pred_instances']
            if 'bboxes' not in truth or 'labels' not in truth:
                raise ValueError(
                    'DefectImageMetric found no ground truth: write '
                    "dict(type='LoadAnnotations', with_bbox=True) into the test "
                    "pipeline, after 'Resize'"
                )
            scores = np.nan_to_num(_array(found['scores']))
            labels = _array(found['labels'])
            kept = np.argsort(-scores, kind='stable')
            kept = kept[np.isin(labels[kept], labels_of_defects)]
            score = scores[kept].max(initial=0)
            kept = kept[self._reaches(scores[kept])]
            true_labels, boxes = _array(truth['labels']), _array(truth['bboxes'])
            defects = np.isin(true_labels, labels_of_defects)
            if boxes.shape[1] == 4:  # one without area shows nothing
                defects &= (boxes[:, 2:] > boxes[:, :2]).all(1)
            true_labels = true_labels[defects]
            ious = overlaps(_array(found['bboxes'])[kept], boxes[defects])
            ious[labels[kept][:, None] != true_labels] = 0
            iou_thrs = [*self.iou_thrs, *STRICT]
            matches = [match(ious, iou_thr) for iou_thr in iou_thrs]
            found_by_thr = np.reshape(matches, (len(iou_thrs), len(true_labels)))
            path = sample.get('img_path')
            if path is None and self._part is not None:
                raise ValueError(
                    'DefectImageMetric needs the file names that metainfo part=... is '
                    "about: keep 'img_path' in meta_keys of PackDetInputs"
                )
            self.results.append((score, true_labels, found_by_thr, path))

    def _reaches(self, scores: np.ndarray) -> np.ndarray:
        # Compared in the type of the scores: a detector's 0.7, in float32, is a little
        # less than Python's. 0 is the score of an image without a box.
        return (scores >= self.score_thr) & (scores > 0)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics of all images."""
        all_scores, all_labels, matches_of, paths = zip(*results)
        scores = np.array(all_scores)
        is_defect = np.array([len(labels) > 0 for labels in all_labels])
        parts = None
        if self._part is not None:
            parts = np.array(part_names(self._part, paths))
        if self.per == 'part':
            once = first_of(parts)
            scores, is_defect = (
                highest_of(one, parts)[once] for one in (scores, is_defect)
            )
            parts = None
        metrics = self._image_metrics(scores, is_defect, parts)
        true_labels = np.concatenate(all_labels)
        found = np.concatenate(matches_of, axis=1)
        for iou_thr, matches in zip(self.iou_thrs, found):
            key = f'recall_{100 * iou_thr:g}'
            metrics[key] = _share(matches)
            for label, name in self._names.items():
                metrics[f'{key}/{name}'] = _share(matches[true_labels == label])
        metrics['recall'] = _share(found[len(self.iou_thrs) :])
        metrics['auroc_recall'] = metrics['auroc'] + metrics['recall'] / 1000
        self._tell(metrics)
        self._warn_of_nan(metrics, is_defect)
        return metrics

    def _tell(self, metrics: dict[str, float]) -> None:
        # One line to read, among many figures.
        rate = max(self.overkill_rates, default=0)
        key = f'{100 * rate:g}'
        escape = metrics.get(f'escape_at_{key}', np.nan)
        if np.isnan(escape):
            return
        said = f'{percent(escape)} missed'
        if self.num_bootstrap:
            ends = [metrics[f'escape_at_{key}_{end}'] for end in ('low', 'high')]
            said += f' ({percent_range(ends)})'
        threshold = metrics[f'threshold_at_{key}']
        print_log(
            f'at {key} % overkill, threshold {threshold}: {said}', logger='current'
        )

    def _image_metrics(
        self,
        scores: np.ndarray,
        is_defect: np.ndarray,
        parts: np.ndarray | None = None,
    ) -> dict[str, float]:
        levels, level = np.unique(scores, return_inverse=True)
        kinds = [
            (level[kind], None if parts is None else parts[kind])
            for kind in (is_defect, ~is_defect)
        ]
        counts = (np.bincount(one, minlength=len(levels)) for one, _ in kinds)
        figures = self._rates(levels, *counts)
        metrics = {key: float(value) for key, (value,) in figures.items()}
        if not self.num_bootstrap:
            return metrics
        margin = (1 - self.confidence) / 2
        ends = {
            key: np.quantile(values, [margin, 1 - margin])
            for key, values in self._bootstrap(levels, kinds).items()
        }
        ends.update(self._exact(scores, is_defect, kinds, metrics))
        for key, (low, high) in ends.items():
            metrics[f'{key}_low'], metrics[f'{key}_high'] = float(low), float(high)
        return metrics

    def _exact(
        self, scores: np.ndarray, is_defect: np.ndarray, kinds: list, metrics: dict
    ) -> dict[str, tuple[float, float]]:
        # Intervals of the rates, at the thresholds that were found.
        flagged = self._reaches(scores)
        hits = {'escape': ~flagged[is_defect], 'overkill': flagged[~is_defect]}
        for rate in self.overkill_rates:
            name = f'at_{100 * rate:g}'
            threshold = scores.dtype.type(metrics[f'threshold_{name}'])
            hits[f'escape_{name}'] = scores[is_defect] < threshold
        return {
            key: (np.nan, np.nan)
            if np.isnan(metrics[key])
            else rate_of(hit, kinds[key == 'overkill'][1]).interval(self.confidence)
            for key, hit in hits.items()
        }

    def _bootstrap(self, levels: np.ndarray, kinds: list) -> dict[str, np.ndarray]:
        # Seeded anew, so that the same scores always have the same intervals.
        rng = np.random.default_rng(0)
        # Of parts, each image is counted, and otherwise each score.
        longest = max(len(levels), *(len(of) for _, of in kinds if of is not None), 1)
        rounds = max(CHUNK // longest, 1)
        sets: dict[str, list] = {}
        for start in range(0, self.num_bootstrap, rounds):
            size = min(rounds, self.num_bootstrap - start)
            drawn = (redrawn(rng, one, len(levels), of, size) for one, of in kinds)
            for key, values in self._rates(levels, *drawn).items():
                sets.setdefault(key, []).append(values)
        return {key: np.concatenate(values) for key, values in sets.items()}

    def _rates(
        self, levels: np.ndarray, defects: np.ndarray, normals: np.ndarray
    ) -> dict[str, np.ndarray]:
        # `defects` and `normals` count images by level, one row for each set of images.
        defects, normals = np.atleast_2d(defects), np.atleast_2d(normals)
        num_defects, num_normals = defects.sum(1), normals.sum(1)
        flagged = self._reaches(levels)
        normals_up_to = normals.cumsum(1)
        defects_up_to = defects.cumsum(1)
        with np.errstate(invalid='ignore', divide='ignore'):
            rates = {
                'escape': defects[:, ~flagged].sum(1) / num_defects,
                'overkill': normals[:, flagged].sum(1) / num_normals,
            }
            cuts = lowest_cuts(normals, self.overkill_rates)
            for rate, highest in zip(self.overkill_rates, cuts.T):
                missed = np.take_along_axis(defects_up_to, highest[:, None], 1)[:, 0]
                missing = np.where(num_normals > 0, missed / num_defects, np.nan)
                rates[f'escape_at_{100 * rate:g}'] = missing
                threshold = _just_above(levels, highest)
                threshold[num_normals == 0] = np.nan
                rates[f'threshold_at_{100 * rate:g}'] = threshold
            # Of all pairs of a defect and a normal image, those in the right order;
            # a tie is half a pair.
            below = normals_up_to - normals / 2
            pairs = num_defects * num_normals
            rates['auroc'] = (defects * below).sum(1) / pairs
        return rates

    def _warn_of_nan(self, metrics: dict[str, float], is_defect: np.ndarray) -> None:
        lacking = [key for key, value in metrics.items() if np.isnan(value)]
        lacking = [key for key in lacking if not key.endswith(('_low', '_high'))]
        if self._warned or not lacking:
            return
        self._warned = True
        print_log(
            f'of {len(is_defect)} validation images, {is_defect.sum()} show a defect '
            f'and {(~is_defect).sum()} are normal: NaN in {", ".join(lacking)}. Give '
            'the validation set images of both kinds, and of each class',
            logger='current',
            level=logging.WARNING,
        )


def _just_above(levels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    # Of many resampled sets, only few have different thresholds.
    different, which = np.unique(numbers, return_inverse=True)
    above = np.append(levels, np.inf)[different + 1]
    thresholds = [shortest_between(*pair) for pair in zip(levels[different], above)]
    return np.array(thresholds)[which]


def _array(values: Any) -> np.ndarray:
    # MMDetection wraps boxes in a type of its own, or does not.
    return getattr(values, 'tensor', values).detach().cpu().numpy()


def _share(matches: np.ndarray) -> float:
    return float(matches.mean()) if matches.size else float('nan')


def _refused(name: str, value: Any, expected: str) -> ValueError:
    return ValueError(f'{name}={value!r}: expected {expected}; set {LINE}.{name}')
