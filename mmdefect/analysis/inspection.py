"""The pools of a config's training data, and what each quota would mean."""

from __future__ import annotations

from copy import copy
from math import comb
from typing import Any, NamedTuple

import numpy as np

from mmdefect.analysis.advice import Advice, advise, describe_quota
from mmdefect.analysis.balance import Balance, balance
from mmdefect.analysis.box_sizes import BoxSizes, measure_boxes
from mmdefect.analysis.config import has_quota, load_config, run_length, running
from mmdefect.analysis.dataloader import (
    build_hook,
    build_loader,
    build_split,
    draw_without_quota,
    keep_normal_images,
    schedules,
)
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.validation import look_at_validation
from mmdefect.checks.look_alikes import Pair
from mmdefect.plan.quotas import usual_over
from mmdefect.pools.pools import RESERVED
from mmdefect.pools.source import source_of
from mmdefect.samplers.draws import draws_per_image
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler

# Images of a class up to which it is hardly learned: LVIS calls such classes rare. And
# up to which it is hardly judged: of 10 images none missed, up to 3 of 10 new ones are.
FEW = 10


class Inspection(NamedTuple):
    """All that is known of a config's training data and batches."""

    config: str
    batches: QuotaBatchSampler  # the config's own, or with the advised quota
    has_quota: bool  # whether they are its own
    stock: QuotaBatchSampler  # plain shuffled batches of the same images
    run: tuple[int, str]  # its length, and the unit
    draws: dict  # of an image in the run, by pool, with its own quota
    rows: list  # of `Row`, by quota
    advice: Advice
    balance: Balance | None  # where there are classes
    boxes: BoxSizes | None
    validation: dict[str, int] | None  # images by class, of `normal` and `defect`
    look_alikes: list[Pair]  # where they are asked for

    @property
    def size(self) -> int:
        """int: Images over which a quota holds."""
        return self.batches.over or self.batches.batch_size

    @property
    def unit(self) -> str:
        """str: What they are, more than one of them."""
        if self.batches.over:
            return f'groups of {self.size} images'
        return f'batches of {self.size}'

    @property
    def pools(self) -> dict[str, np.ndarray]:
        """dict[str, np.ndarray]: Indices by pool name."""
        return self.batches.sampler.pools

    @property
    def images(self) -> dict[str, int]:
        """dict[str, int]: Number of photographs by pool name, and of ``all``."""
        return self.batches.sampler.photographs

    def overlap(self) -> dict[str, dict[str, int]]:
        """Count the photographs that show two classes, for each pair of them."""
        count, classes = self.batches.sampler.count_photographs, self._classes
        return {
            one: {
                other: count(np.intersect1d(classes[one], classes[other]))
                for other in classes
            }
            for one in classes
        }

    @property
    def _classes(self) -> dict[str, np.ndarray]:
        # A class called `defect` beside others is not the pool of that name.
        sampler = self.batches.sampler
        classes = source_of(sampler.dataset).classes
        return {name: classes[name] for name in sampler.defect_classes}

    @property
    def shown(self) -> dict[str, int]:
        """dict[str, int]: Photographs by defect class, then by pool of the user's."""
        others = {n: i for n, i in self.pools.items() if n not in RESERVED}
        count = self.batches.sampler.count_photographs
        return {name: count(i) for name, i in {**self._classes, **others}.items()}

    def too_few(self, images: dict[str, int]) -> dict[str, int]:
        """Of the classes with few images, how many they have."""
        number = {n: images.get(n, 0) for n in self._classes}
        return {name: images for name, images in number.items() if images <= FEW}

    def own_quota(self) -> int | None:
        """The config's own quota, where it is one number for all defects."""
        counts = {share.pool: share.images for share in self.batches.plan.shares}
        plain = self.has_quota and counts.keys() == {'normal', 'defect'}
        return counts['defect'] if plain else None

    def empty_share(self) -> float:
        """Share of stock batches, or groups of as many images, without a defect.

        Exact: they are drawn without replacement, so the number of defects in them is
        hypergeometric.
        """
        # Where a wrapper repeats images, they are drawn as often.
        images, defects = len(self.batches.sampler.dataset), len(self.pools['defect'])
        return comb(images - defects, self.size) / comb(images, self.size)


def inspect(config: str, options: dict | None, pairs: bool = False) -> Inspection:
    """Inspect a config."""
    cfg = load_config(config, options)
    run = run_length(config, cfg)
    own = has_quota(cfg)
    if 'batch_size' not in cfg.train_dataloader:
        raise UnusableError(f'{config} has no train_dataloader.batch_size')
    keep_normal_images(cfg)
    if not own:
        draw_without_quota(cfg)
    with running('the training dataset cannot be built'):
        dataset = build_split(cfg, 'train')
    with running('the training dataloader cannot be built'):
        batches = build_loader(cfg, dataset).batch_sampler
    written = cfg.train_dataloader.batch_sampler
    kept = ('over', 'drop_last', 'num_batches', 'infinite')
    settings = {name: written[name] for name in kept if name in written}
    if not own and usual_over(batches.batch_size):
        settings['over'] = usual_over(batches.batch_size)

    def make(quota: int | None) -> Any:
        return QuotaBatchSampler(batches.sampler, batches.batch_size, quota, **settings)

    def draws(sampler: Any) -> dict[str, float]:
        length, unit = run
        steps = length * len(sampler) if unit == 'epochs' else length
        return draws_per_image(sampler, steps)

    size = settings.get('over') or batches.batch_size
    for where, hook in schedules(cfg) if own else ():
        with running(f'{where} cannot be built'):
            build_hook(hook).apply(batches)
    with running('there is no quota for this data'):
        rows = [describe_quota(make(n), draws) for n in range(1, size)]
        without_weights = copy(batches.sampler)
        without_weights.weights = None
        stock = QuotaBatchSampler(without_weights, batches.batch_size, None, **settings)
        natural = size * len(batches.sampler.pools['defect']) / len(dataset)
        advice = advise(rows, natural, run)
    if not own:
        batches = make(advice.quota)
    drawn = draws(batches)
    choices = balance(batches.sampler, drawn['defect']) if drawn['defect'] else None
    drawn = drawn if own else {}
    with running('the boxes cannot be measured'):
        boxes = measure_boxes(cfg, batches.sampler)
    return Inspection(
        config,
        batches,
        own,
        stock,
        run,
        drawn,
        rows,
        advice,
        choices,
        boxes,
        *look_at_validation(cfg, dataset if pairs else None),
    )
