"""QuotaMonitorHook: what the model really gets."""

from __future__ import annotations

import logging
from typing import Any, Mapping, Sequence

import numpy as np
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop

from mmdefect.arguments import number
from mmdefect.checks.config import check_config
from mmdefect.checks.dataset import check_dataset, cutting_transforms
from mmdefect.checks.evaluation import judge_split
from mmdefect.checks.optimizer_step import accumulated_batches, check_optimizer_step
from mmdefect.checks.top_names import check_top_names
from mmdefect.delivery.defect_images import DefectImages
from mmdefect.delivery.delivered import counted_classes, delivered_classes, shows
from mmdefect.hooks.batch_sampler import followed_batch_sampler, quota_batch_sampler
from mmdefect.hooks.counters import OWN_FIGURES, Interval, Losses, Seen, figure_of
from mmdefect.hooks.text_log import leave_out
from mmdefect.images.samples import samples_of
from mmdefect.plan.plan import Plan
from mmdefect.pools.forms import COUNTEREXAMPLE, split_index
from mmdefect.samplers.draws import (
    MANY_DRAWS,
    defect_pools,
    draws_per_image,
    steps_below,
)
from mmdefect.samplers.forms import drawn_forms
from mmdefect.samplers.summary import summarize

# A loss of 5 % is told from chance after about a hundred draws.
ENOUGH_DRAWS = 100

# What a line of the text log has room for. All figures are in the backends.
IN_TEXT = ('delivered', 'min', 'pasted', 'counterexample')


@HOOKS.register_module()
class QuotaMonitorHook(Hook):
    """Counts the defect images that the model really gets.

    At each logging interval it reports, over all ranks:

    - ``quota/delivered``: images of a batch that were drawn for their defect and still
      show one, mean of the interval. Where the quota names classes, it is one of these
      that an image has to show. Where it holds over more than a batch, it is these
      ``over`` images that are counted together, here and below.
    - ``quota/min``: the same of the interval's worst batch.
    - ``quota/<class>``: of those, the images that show this class.
    - ``quota/pasted``: where the quota asks for ``pasted`` images, those that show a
      defect; and ``quota/counterexample``, where it asks for these, those that show
      none. They count for nothing else.
    - ``quota/added``: images that show a defect of another image, pasted in by Mosaic,
      MixUp and the like.
    - ``quota/seen``: share of all defect images that have reached the model since
      training began.

    The text log has the first two, and ``pasted`` and ``counterexample``;
    ``scalars.json`` and TensorBoard have them all.

    What an image shows is told by its boxes: a defect that ``CutOut`` paints over
    counts as shown, for its box stays. Where images are not known by a path or an id,
    as after MMYOLO's ``yolov5_collate``, an image is taken for the one that was drawn
    for its place in the batch, and ``quota/added`` and ``quota/seen`` are left out.

    Before the first iteration it repeats what the batches are made of, which the log
    of a model's weights has buried since the sampler said so. It says where a defect
    image will be drawn more than ``MANY_DRAWS`` times, and what else in the config
    breaks the quota: the sampler has told what it finds in the dataset, but knows no
    hooks and no loop.

    Args:
        tolerance (float): Share of the drawn defect images that may lose their defect
            before a warning is given, once. It is judged at a logging interval, over
            ``ENOUGH_DRAWS`` draws or more. Defaults to 0.05.

    Raises:
        TypeError: If ``tolerance`` is no number.
        ValueError: If it is not in [0, 1].
    """

    def __init__(self, tolerance: float = 0.05) -> None:
        self.tolerance = number(tolerance, 'custom_hooks: QuotaMonitorHook.tolerance')
        self._warned = False

    def before_train(self, runner: Any) -> None:
        """Check that there is a quota to watch."""
        self._batch_sampler = followed_batch_sampler(runner, self)
        self._classes = self._batch_sampler.sampler.defect_classes
        self._log_every, self._log_last = _logging_interval(runner)
        plan = self._batch_sampler.plan
        over = plan.over or plan.batch_size
        batches, steps = over // plan.batch_size, max(over // plan.step_size, 1)
        plans, sampler = self._batch_sampler.plans, self._batch_sampler.sampler
        drawn = {form for _, p in plans for form in drawn_forms(sampler, p)}
        forms = sorted({form.split()[0] for form in drawn}, reverse=True)
        self._interval = Interval(self._classes, batches, steps, forms=forms)
        self._losses = Losses()
        self._images: Any = None  # The first batch tells how they are known.
        self._set_up_log(runner.log_processor)
        print_log(summarize(self._batch_sampler.sampler, plan), logger='current')
        self._tell_of_many_draws(runner)
        _tell_of_findings(runner)
        for finding in check_optimizer_step(plan, accumulated_batches(runner.cfg)):
            print_log(str(finding), logger='current', level=logging.WARNING)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Take down what the model is about to get: MMYOLO's change it in its place."""
        self._samples = _samples(data_batch)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Count what the model got, and report at the logging interval."""
        samples = self._samples
        self._batch_sampler = quota_batch_sampler(runner, self)
        if self._images is None:
            self._find_defect_images(runner, samples[0])
        epoch, step = self._place(runner, batch_idx)
        plan = self._batch_sampler.plan_at(epoch, step)
        drawn = self._drawn_as(samples, plan, epoch, step)
        pools = {share.pool for share in plan.shares}
        delivered = self._count(drawn, counted_classes(pools, self._classes))
        self._interval.add_batch(delivered, step)
        images = plan.images_of(epoch, self._batch_sampler.sampler.rank, step)
        self._losses.add_batch(delivered, *self._drawn(images))
        last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if self.every_n_inner_iters(batch_idx, self._log_every) or (
            last and self._log_last
        ):
            self._report(runner)

    def _find_defect_images(self, runner: Any, sample: Any) -> None:
        indices = self._batch_sampler.sampler.pools['defect']
        dataset = runner.train_dataloader.dataset
        self._images = DefectImages(dataset, indices, self._classes, sample)
        before = runner.message_hub.runtime_info.get('quota/seen')
        self._seen = Seen(len(self._images), before)
        if not self._images:
            print_log(
                'the batches do not name their images, as after yolov5_collate: '
                'quota/added and quota/seen are left out',
                logger='current',
            )

    def _place(self, runner: Any, step: int) -> tuple[int, int]:
        if _by_iteration(runner):
            return divmod(runner.iter, len(self._batch_sampler))
        return runner.epoch, step

    def _drawn_as(
        self, samples: Sequence[Any], plan: Plan, epoch: int, step: int
    ) -> list[tuple[Any, str]]:
        # The images of a batch that count, and the form in which each was drawn.
        sampler = self._batch_sampler.sampler
        if self._images and not drawn_forms(sampler, plan):
            return [(sample, '') for sample in samples]
        (batch,) = plan.batches(epoch, sampler.rank, step, step + 1)
        forms = [split_index(sampler.dataset, index)[0] for index in batch.tolist()]
        # Of images that nobody knows, only the place in the batch tells what they were
        # drawn for. A normal image may show a defect of another one.
        counted = np.isin(batch, sampler.pools['defect']) | bool(self._images)
        images = zip(samples, forms, counted)
        return [(sample, form) for sample, form, counts in images if counts or form]

    def _count(self, images: Sequence[tuple[Any, str]], counted: set[str]) -> int:
        delivered = 0
        for sample, form in images:
            number, names = self._images.find(sample)
            classes = delivered_classes(sample, names)
            if form:
                self._interval.forms[form.split()[0]] += shows(form, classes)
                continue
            if not classes:
                continue
            if number is not None:
                self._seen.flags[number] = 1
            elif self._images:
                self._interval.added += 1
                continue
            if not classes & counted:
                continue
            delivered += 1
            for name in classes:
                self._interval.classes[name] += 1
        return delivered

    def _drawn(self, images: Mapping[str, int]) -> tuple[int, int]:
        # Of a batch's images by pool: those that show a defect, and that may show one.
        names = defect_pools(self._batch_sampler)
        others = {'normal', COUNTEREXAMPLE, *self._batch_sampler.plan.versions}
        defects = sum(images.get(name, 0) for name in names)
        left = sum(number for name, number in images.items() if name not in others)
        return defects, left - defects

    def _report(self, runner: Any) -> None:
        figures = self._interval.figures()
        if self._images:
            figures['seen'] = self._seen.share()
            # The message hub goes into checkpoints and comes back on resuming: a tensor
            # would come back on the GPU.
            runner.message_hub.update_info('quota/seen', self._seen.flags.tolist())
        else:
            del figures['added']
        for name, value in figures.items():
            runner.message_hub.update_scalar(f'train/quota/{name}', value)
        self._interval = self._interval.next()
        losses = self._losses.over_ranks()
        if losses.drawn >= ENOUGH_DRAWS:
            self._warn_of_loss(runner, losses)
            self._losses = Losses()

    def _warn_of_loss(self, runner: Any, losses: Losses) -> None:
        worst = max(losses.lost, losses.surplus)
        if self._warned or worst <= self.tolerance * losses.drawn:
            return
        self._warned = True
        dataset = runner.train_dataloader.dataset
        suspects = [f'{name} ({where})' for where, name in cutting_transforms(dataset)]
        findings = [str(finding) for finding in check_dataset(dataset)]
        came = f', and {losses.surplus:,} came in place of others'
        print_log(
            f'of {losses.drawn:,} defect images, {losses.lost:,} reached the model '
            'without the defect that they were drawn for'
            + (came if losses.surplus else '')
            + ', see quota/delivered. '
            + (f'Likely the cause: {", ".join(suspects)}. ' if suspects else '')
            + ''.join(f'{text}. ' for text in findings)
            + '`mmdefect check CONFIG` tells more',
            logger='current',
            level=logging.WARNING,
        )

    def _set_up_log(self, processor: Any) -> None:
        names = [f'quota/{figure_of(name)}' for name in self._classes]
        # MMEngine smooths what has `loss` or `time` in its name, such as `gloss`.
        processor.custom_cfg += [
            dict(data_src=name, method_name='current')
            for name in names
            if processor.mean_pattern.search(name)
        ]
        names += [f'quota/{name}' for name in OWN_FIGURES if name not in IN_TEXT]
        leave_out(names, processor)

    def _tell_of_many_draws(self, runner: Any) -> None:
        draws = draws_per_image(self._batch_sampler, runner.max_iters)
        pool = max(draws, key=draws.__getitem__)
        if draws[pool] <= MANY_DRAWS:
            return
        said = (
            f'each {pool} image will be drawn about {draws[pool]:,.0f} times in this '
            f'training: more than {MANY_DRAWS} times, it is likely to be learned by '
            'heart'
        )
        if self._batch_sampler.quota is not None:
            steps = steps_below(self._batch_sampler, pool, runner.max_iters)
            epochs = 0 if _by_iteration(runner) else steps // len(self._batch_sampler)
            shorter = f'max_epochs={epochs}' if epochs else f'max_iters={steps}'
            said += (
                f'. Train shorter (train_cfg.{shorter}) or with a smaller quota, or '
                'keep the checkpoint that is best on other images: '
                "dict(type='DefectImageMetric') in val_evaluator, and in "
                "default_hooks.checkpoint save_best='defect/auroc', rule='greater'"
            )
        print_log(said, logger='current', level=logging.WARNING)


def _by_iteration(runner: Any) -> bool:
    return isinstance(runner.train_loop, IterBasedTrainLoop)


def _logging_interval(runner: Any) -> tuple[int, bool]:
    # When LoggerHook writes: every so many batches, and whether at an epoch's end too.
    epoch = len(runner.train_dataloader)
    for hook in runner.hooks:
        if isinstance(hook, LoggerHook):
            return hook.interval, not hook.ignore_last or epoch <= hook.interval
    return epoch, True


def _tell_of_findings(runner: Any) -> None:
    dataset = runner.train_dataloader.dataset
    if not runner.cfg.get('train_dataloader'):  # the Runner was built without a config
        return
    said = check_dataset(dataset)
    findings = [*check_top_names(runner.cfg), *check_config(runner.cfg, dataset)]
    if runner.rank == 0 and runner.val_loop is not None:
        judging = runner.val_loop.dataloader.dataset
        findings += judge_split(runner.cfg, dataset, judging, 'val', pixels=False)
    for finding in findings:
        if finding.breaks and finding not in said:
            print_log(str(finding), logger='current', level=logging.WARNING)


def _samples(data_batch: Any) -> Sequence[Any]:
    samples = samples_of(data_batch)
    if not samples:
        raise TypeError(
            'QuotaMonitorHook finds no ground truth in what the dataloader returns: '
            'expected dict(data_samples=[DetDataSample, …]), as PackDetInputs packs '
            'it; take the hook out of custom_hooks'
        )
    return samples
