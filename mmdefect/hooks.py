"""Hooks that watch the quota, and change it, while a model trains."""

from __future__ import annotations

import logging
from typing import Any, Mapping, Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop

from mmdefect.config_checks import check_config, check_dataset, cutting_transforms
from mmdefect.plan import Quota, share_batch
from mmdefect.pools import RESERVED, class_names, unwrap
from mmdefect.samplers import CONFIG_LINES, QuotaBatchSampler

# MMDetection's longest stock schedules (YOLOX, RTMDet) train 300 epochs: no image is
# shown to a model more often. Beyond that, few images are learned by heart: in the
# README's "Choosing a quota", new images were ranked a little worse from there on.
MANY_DRAWS = 300
# A loss of 5 % is told from chance after about a hundred draws.
ENOUGH_DRAWS = 100
TOTALS = ('batches', 'delivered', 'added', 'drawn', 'lost', 'surplus')


@HOOKS.register_module()
class QuotaMonitorHook(Hook):
    """Counts the defect images that the model really gets.

    At each logging interval it reports, over all ranks:

    - ``quota/delivered``: images a batch that were drawn for their defect and still
      show one, mean of the interval.
    - ``quota/min``: the same of the interval's worst batch.
    - ``quota/<class>``: of those, the images a batch that show this class.
    - ``quota/added``: images a batch that show a defect of another image, pasted in by
      Mosaic, MixUp and the like.
    - ``quota/seen``: share of all defect images that have reached the model since
      training began.

    When training starts, it says so where a defect image will be drawn more than
    ``MANY_DRAWS`` times, and what else in the config breaks the quota: the sampler has
    told what it finds in the dataset, but knows no hooks and no loop.

    Args:
        tolerance (float): Share of the drawn defect images that may lose their defect
            before a warning is given, once. It is judged at a logging interval, over
            ``ENOUGH_DRAWS`` draws or more. Defaults to 0.05.

    Raises:
        TypeError: If ``tolerance`` is no number.
        ValueError: If it is not in [0, 1).
    """

    def __init__(self, tolerance: float = 0.05) -> None:
        line = 'set tolerance of QuotaMonitorHook in custom_hooks'
        if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)):
            raise TypeError(f'tolerance={tolerance!r}: expected a number; {line}')
        if not 0 <= tolerance < 1:
            raise ValueError(
                f'tolerance={tolerance}: expected a share of the quota, 0 … 1; {line}'
            )
        self.tolerance = tolerance
        self._warned = False

    def before_train(self, runner: Any) -> None:
        """Check that there is a quota to watch.

        Args:
            runner (Runner): The runner.

        Raises:
            TypeError: If the batches are not made by ``QuotaBatchSampler``.
        """
        self._batch_sampler = _quota_batch_sampler(runner, self)
        self._interval, self._ignore_last = _logging_interval(runner)
        leaves, _ = unwrap(runner.train_dataloader.dataset)
        self._classes = {
            label: name
            for label, name in enumerate(class_names(leaves[0]))
            if name in self._batch_sampler.sampler.defect_classes
        }
        self._slots: dict[Any, int] | None = None
        self._least = self._batch_sampler.batch_size
        self._totals = dict.fromkeys([*TOTALS, *self._classes], 0)
        self._show_as_they_are(runner.log_processor)
        self._tell_of_many_draws(runner)
        _tell_of_findings(runner)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Count what the model got, and report at the logging interval.

        Args:
            runner (Runner): The runner.
            batch_idx (int): Position of the batch in the epoch.
            data_batch (dict): What the dataloader returned.
            outputs (dict, optional): Not used.
        """
        samples = _samples(data_batch)
        if self._slots is None:
            self._find_defect_images(runner, samples[0])
        delivered = self._count(samples)
        defects, others = self._drawn(runner, batch_idx)
        self._least = min(self._least, delivered)
        totals = self._totals
        totals['batches'] += 1
        totals['delivered'] += delivered
        totals['drawn'] += defects
        totals['lost'] += max(defects - delivered, 0)
        totals['surplus'] += max(delivered - defects - others, 0)
        last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if self.every_n_inner_iters(batch_idx, self._interval) or (
            last and not self._ignore_last
        ):
            self._report(runner)

    def _count(self, samples: Sequence[Any]) -> int:
        delivered = 0
        for sample in samples:
            shown = self._classes.keys() & shown_labels(sample)
            if not shown:
                continue
            if self._key is not None:
                slot = self._slots.get(sample.get(self._key))  # type: ignore[union-attr]
                if slot is None:
                    self._totals['added'] += 1
                    continue
                self._seen[slot] = 1
            delivered += 1
            for label in shown:
                self._totals[label] += 1
        return delivered

    def _drawn(self, runner: Any, step: int) -> tuple[int, int]:
        # Images of the batch that show a defect, and those that may show one.
        epoch = runner.epoch
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            epoch, step = divmod(runner.iter, len(self._batch_sampler))
        plan = self._batch_sampler.plan_at(epoch, step)
        images = {share.pool: share.images for share in plan.shares}
        names = _defect_pools(self._batch_sampler)
        defects = sum(images.get(name, 0) for name in names)
        return defects, plan.batch_size - defects - images.get('normal', 0)

    def _find_defect_images(self, runner: Any, sample: Any) -> None:
        # By path where it is packed: ids repeat over the parts of a ConcatDataset.
        dataset = runner.train_dataloader.dataset
        keys = ('img_path', 'img_id') if hasattr(dataset, 'get_data_info') else ()
        self._key = next((key for key in keys if key in sample), None)
        self._slots = {}
        if self._key is not None:
            for index in self._batch_sampler.sampler.pools['defect'].tolist():
                name = dataset.get_data_info(index).get(self._key)
                self._slots.setdefault(name, len(self._slots))
        self._seen = torch.zeros(len(self._slots), dtype=torch.int64)
        before = runner.message_hub.runtime_info.get('quota/seen')
        if before is not None and len(before) == len(self._seen):
            self._seen |= before

    def _report(self, runner: Any) -> None:
        sums = torch.tensor(list(self._totals.values()))
        extremes = torch.cat([torch.tensor([-self._least]), self._seen])
        all_reduce(sums, 'sum')
        all_reduce(extremes, 'max')
        totals = dict(zip(self._totals, sums.tolist()))
        self._seen = extremes[1:]
        batches = totals['batches']
        values = {
            'delivered': totals['delivered'] / batches,
            'min': -int(extremes[0]),
        }
        for label, name in self._log_names().items():
            values[name] = totals[label] / batches
        if self._key is not None:
            values['added'] = totals['added'] / batches
            values['seen'] = float(self._seen.double().mean())
            # The message hub goes into checkpoints and comes back on resuming.
            runner.message_hub.update_info('quota/seen', self._seen)
        for name, value in values.items():
            runner.message_hub.update_scalar(f'train/quota/{name}', value)
        self._least = self._batch_sampler.batch_size
        enough = totals['drawn'] >= ENOUGH_DRAWS
        if enough:
            self._warn_of_loss(runner, totals)
        kept = () if enough else ('drawn', 'lost', 'surplus')
        self._totals.update((key, 0) for key in totals if key not in kept)

    def _warn_of_loss(self, runner: Any, totals: Mapping[Any, int]) -> None:
        drawn, lost, surplus = totals['drawn'], totals['lost'], totals['surplus']
        if self._warned or max(lost, surplus) <= self.tolerance * drawn:
            return
        self._warned = True
        dataset = runner.train_dataloader.dataset
        suspects = [f'{name} ({where})' for where, name in cutting_transforms(dataset)]
        findings = [str(finding) for finding in check_dataset(dataset)]
        print_log(
            f'of {drawn:,} defect images, {lost:,} reached the model without a defect'
            + (f', and {surplus:,} came in place of others' if surplus else '')
            + ', see quota/delivered. '
            + (f'Likely the cause: {", ".join(suspects)}. ' if suspects else '')
            + ''.join(f'{text}. ' for text in findings)
            + '`python tools/check_config.py CONFIG` tells more',
            logger='current',
            level=logging.WARNING,
        )

    def _log_names(self) -> dict[int, str]:
        own = ('delivered', 'min', 'added', 'seen')
        return {
            label: f'class {name}' if name in own else name
            for label, name in self._classes.items()
        }

    def _show_as_they_are(self, processor: Any) -> None:
        # MMEngine smooths what has `loss` or `time` in its name, such as `gloss`.
        processor.custom_cfg += [
            dict(data_src=f'quota/{name}', method_name='current')
            for name in self._log_names().values()
            if processor.mean_pattern.search(f'quota/{name}')
        ]

    def _tell_of_many_draws(self, runner: Any) -> None:
        draws = draws_per_image(self._batch_sampler, runner.max_iters)
        pool = max(draws, key=draws.__getitem__)
        if draws[pool] <= MANY_DRAWS:
            return
        by_epoch = not isinstance(runner.train_loop, IterBasedTrainLoop)
        half = (runner.max_epochs if by_epoch else runner.max_iters) // 2
        milestones = [(0, self._batch_sampler.quota), (half, None)]
        print_log(
            f'each {pool} image will be drawn about {draws[pool]:,.0f} times in this '
            f'training: more than {MANY_DRAWS} times, it is likely to be learned by '
            "heart. A schedule ends the quota earlier: custom_hooks=[dict(type='"
            f"QuotaScheduleHook', milestones={milestones}, by_epoch={by_epoch})]",
            logger='current',
            level=logging.WARNING,
        )


@HOOKS.register_module()
class QuotaScheduleHook(Hook):
    """Changes the quota in the course of training.

    An epoch keeps its number of batches, so that schedules of the learning rate stay
    right, and the pass over the normal images goes on. Which batch a step gets depends
    on nothing but the step: resuming, workers and prefetching change nothing.

    Strong early and natural late is two-phase training (Havaei et al., "Brain tumor
    segmentation with deep neural networks", Medical Image Analysis 35, 2017; compared
    with other methods by Buda et al., "A systematic study of the class imbalance
    problem in convolutional neural networks", Neural Networks 106, 2018). The other
    way round, natural early and balanced late, is deferred re-sampling (Cao et al.,
    "Learning imbalanced datasets with label-distribution-aware margin loss", NeurIPS
    2019) and classifier re-training (Kang et al., "Decoupling representation and
    classifier for long-tailed recognition", ICLR 2020). Both orders can be written.

    Args:
        milestones (Sequence[tuple]): Pairs of an epoch, or an iteration, and the quota
            from there on, such as ``[(0, 4), (10, 2), (20, None)]``. A quota is what
            ``QuotaBatchSampler`` takes; None is plain shuffled batches of all images.
            An entry at 0 must be the batch sampler's own quota.
        by_epoch (bool): Whether milestones count epochs of ``len(batch_sampler)``
            steps, rather than iterations. Defaults to True.

    Raises:
        TypeError: If a milestone is no pair of an int and a quota.
        ValueError: If there is none, one is negative, or they do not rise.
    """

    # Before QuotaResumeHook and QuotaMonitorHook, which look at the schedule.
    priority = 'VERY_HIGH'

    def __init__(self, milestones: Sequence[Any], by_epoch: bool = True) -> None:
        if not isinstance(by_epoch, bool):
            raise TypeError(f'by_epoch={by_epoch!r}: expected True or False; {_FIX}')
        if not isinstance(milestones, (list, tuple)) or not all(
            isinstance(entry, (list, tuple)) and len(entry) == 2 for entry in milestones
        ):
            raise TypeError(
                f'milestones={milestones!r}: expected a list of pairs, such as '
                f'[(0, 4), (10, 2), (20, None)]; {_FIX}'
            )
        starts = [start for start, _ in milestones]
        for start in starts:
            if isinstance(start, bool) or not isinstance(start, int):
                raise TypeError(
                    f'milestones={milestones!r}: {start!r} is no whole number of '
                    f'{"epochs" if by_epoch else "iterations"}; {_FIX}'
                )
        if not starts or starts[0] < 0 or starts != sorted(set(starts)):
            raise ValueError(
                f'milestones={milestones!r}: expected at least one, the first not '
                f'below 0 and each above the one before; {_FIX}'
            )
        self.milestones: list[tuple[int, Quota]] = [(s, q) for s, q in milestones]
        self.by_epoch = by_epoch

    def before_train(self, runner: Any) -> None:
        """Hand the schedule to the batch sampler.

        Args:
            runner (Runner): The runner.

        Raises:
            TypeError: If the batches are not made by ``QuotaBatchSampler``.
            ValueError: If a quota does not fit the batch or the pools.
        """
        self.apply(_quota_batch_sampler(runner, self))
        loop = runner.train_loop
        if isinstance(loop, IterBasedTrainLoop):
            # It has begun to prefetch when it was built, without the schedule.
            kind = type(loop.dataloader_iterator)
            loop.dataloader_iterator = kind(loop.dataloader)
        unit = 'epoch' if self.by_epoch else 'iteration'
        print_log(
            'quota schedule: '
            + ', '.join(
                ('no quota' if quota is None else f'quota {quota}')
                + (f' from {unit} {start}' if start else ' to begin with')
                for start, quota in self.milestones
            ),
            logger='current',
        )
        end = runner.max_iters // (len(runner.train_dataloader) if self.by_epoch else 1)
        late = [start for start, _ in self.milestones if start >= end]
        if late:
            print_log(
                f'milestones of QuotaScheduleHook at {unit} '
                f'{", ".join(map(str, late))} are never reached: training ends after '
                f'{end}; {_FIX}',
                logger='current',
                level=logging.WARNING,
            )

    def apply(self, batch_sampler: QuotaBatchSampler) -> None:
        """Set the schedule of a batch sampler.

        Args:
            batch_sampler (QuotaBatchSampler): The batch sampler.

        Raises:
            TypeError: If a quota is of a type that the batch sampler does not take.
            ValueError: If a quota does not fit the batch or the pools, or the entry at
                0 is another than the batch sampler's.
        """
        steps = len(batch_sampler) if self.by_epoch else 1
        pools, size = batch_sampler.plan.pools, batch_sampler.batch_size
        try:
            shares = [share_batch(quota, size, pools) for _, quota in self.milestones]
            own = share_batch(batch_sampler.quota, size, pools)
            if self.milestones[0][0] == 0 and shares[0] != own:
                raise ValueError(
                    f'the entry at 0 is {self.milestones[0][1]!r}, but '
                    f'train_dataloader.batch_sampler.quota={batch_sampler.quota!r}: '
                    'expected the same; set one to the other'
                )
            batch_sampler.set_schedule(
                [(start * steps, quota) for start, quota in self.milestones if start]
            )
        except (TypeError, ValueError) as error:
            said = f'milestones={self.milestones} of QuotaScheduleHook: {error}'
            raise type(error)(said) from None


def shown_labels(sample: Any) -> list[int]:
    """Labels of what a sample shows.

    Args:
        sample (DetDataSample): What ``PackDetInputs`` packed.

    Returns:
        list[int]: The label of each instance. Boxes of less than a pixel, as
        ``FilterAnnotations`` drops them by default, do not count.
    """
    instances = sample.gt_instances
    labels = instances.labels.tolist()
    if labels and 'bboxes' in instances and instances.bboxes.shape[-1] == 4:
        boxes = getattr(instances.bboxes, 'tensor', instances.bboxes)
        sides = (boxes[:, 2:] - boxes[:, :2]).amin(1).tolist()
        return [label for label, side in zip(labels, sides) if side >= 1]
    return labels


_FIX = 'set milestones of QuotaScheduleHook in custom_hooks'


def _quota_batch_sampler(runner: Any, hook: Hook) -> QuotaBatchSampler:
    found = runner.train_dataloader.batch_sampler
    if isinstance(found, QuotaBatchSampler):
        return found
    raise TypeError(
        f'{type(hook).__name__} needs batches made by QuotaBatchSampler, and '
        f'train_dataloader.batch_sampler makes a {type(found).__name__}. Write into '
        f'train_dataloader:\n{CONFIG_LINES}\nor take the hook out of custom_hooks'
    )


def _defect_pools(batch_sampler: QuotaBatchSampler) -> list[str]:
    classes = batch_sampler.sampler.defect_classes
    return ['defect', *(name for name in classes if name not in RESERVED)]


def _logging_interval(runner: Any) -> tuple[int, bool]:
    # When LoggerHook will write: every so many batches, and whether not at an epoch's
    # end as well.
    epoch = len(runner.train_dataloader)
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):
            return hook.interval, hook.ignore_last and epoch > hook.interval
    return epoch, False


def _tell_of_findings(runner: Any) -> None:
    dataset = runner.train_dataloader.dataset
    if not runner.cfg.get('train_dataloader'):  # the Runner was built without a config
        return
    said = check_dataset(dataset)
    for finding in check_config(runner.cfg, dataset):
        if finding.breaks and finding not in said:
            print_log(str(finding), logger='current', level=logging.WARNING)


def _samples(data_batch: Any) -> Sequence[Any]:
    samples = data_batch.get('data_samples') if isinstance(data_batch, Mapping) else ()
    if isinstance(samples, (list, tuple)) and samples and 'gt_instances' in samples[0]:
        return samples
    raise TypeError(
        'QuotaMonitorHook finds no ground truth in what the dataloader returns: '
        'expected dict(data_samples=[DetDataSample, …]), as PackDetInputs packs it; '
        'take the hook out of custom_hooks'
    )


def draws_per_image(batch_sampler: QuotaBatchSampler, steps: int) -> dict[str, float]:
    """How often an image of each defect pool is drawn, on average.

    Args:
        batch_sampler (QuotaBatchSampler): The batch sampler, with its schedule.
        steps (int): Steps from the beginning of the training on.

    Returns:
        dict[str, float]: Draws of an image, by pool.
    """
    plans = batch_sampler.plans
    ends = [first for first, _ in plans[1:]] + [steps]
    names = _defect_pools(batch_sampler)
    draws = dict.fromkeys(names, 0.0)
    for (first, plan), end in zip(plans, ends):
        steps_of_plan = max(min(end, steps) - first, 0)
        images = {share.pool: share.images for share in plan.shares}
        for name in names:
            for pool in (name, 'all'):
                size = max(len(plan.pools[pool]), 1)
                count = steps_of_plan * images.get(pool, 0) * plan.world_size
                draws[name] += count / size
    return draws
