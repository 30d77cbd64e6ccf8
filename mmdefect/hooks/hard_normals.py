"""HardNormalHook: normal images that the detector takes for defects are seen more."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop

from mmdefect.arguments import check_type, whole_number
from mmdefect.delivery.whole_photographs import test_transforms
from mmdefect.hooks.batch_sampler import followed_batch_sampler, quota_batch_sampler
from mmdefect.hooks.loops import prefetch_anew
from mmdefect.hooks.scoring import Infos, score_images
from mmdefect.pools.source import source_of
from mmdefect.pools.wrappers import class_names

KEY = 'hard_normals'

# An image that is among the first tenth of the hardest so many times in a row, although
# it was trained on as normal all the while, may be a defect that nobody labelled.
PATIENCE = 3


@HOOKS.register_module()
class HardNormalHook(Hook):
    """Draws the hardest normal images as a pool of their own.

    At the end of an epoch all ranks together score normal images with the detector as
    it is then. From the next epoch on, each batch takes ``images`` of those with the
    highest scores in the place of as many normal ones. They stay in ``normal`` too: a
    pass still shows every normal image once. Which images they are goes into the log
    and the checkpoint: with ``QuotaResumeHook`` a resumed run draws the same.

    In every factory some images that count as normal show a defect that nobody
    labelled, and these are the hardest of all. An image that stays at the top
    ``PATIENCE`` times in a row is named in a warning, and is not drawn from this pool
    any more. Where fewer than ``size`` images have a box, others fill the pool up, so
    that each takes one in ``size`` of its places at chance. What cannot be read is left
    out.

    Args:
        interval (int): Epochs of ``len(batch_sampler)`` steps between two choices.
            Defaults to 1.
        size (int): Images chosen. Defaults to 64.
        images (int): How many of them a batch takes, or ``over`` images. Defaults to 1.
        pool (str): Name of the pool. Defaults to 'hard'.
        sample (int, optional): Normal images scored at a time, others each time, and
            those of the pool besides. Defaults to None, all.

    Raises:
        TypeError: If an argument is of another type than said here.
        ValueError: If a number is below 1.
    """

    # Before QuotaResumeHook, which looks at the plan.
    priority = 'VERY_HIGH'

    def __init__(
        self,
        interval: int = 1,
        size: int = 64,
        images: int = 1,
        pool: str = 'hard',
        sample: int | None = None,
    ) -> None:
        numbers = dict(interval=interval, size=size, images=images)
        if sample is not None:
            numbers.update(sample=sample)
        for name, value in numbers.items():
            whole_number(value, f'custom_hooks: HardNormalHook.{name}', 1)
        check_type(pool, str, 'a name', 'custom_hooks: HardNormalHook.pool')
        self.interval, self.size, self.images = interval, size, images
        self.pool, self.sample = pool, sample
        # Groups of the run, and the indices drawn from then on.
        self._chosen: list[tuple[int, np.ndarray]] = []
        self._times_on_top: dict[int, int] = {}
        self._suspects: list[int] = []
        self._unreadable: set[int] = set()

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Take up what was chosen before."""
        state = checkpoint.get(KEY)
        if state is not None and runner._resume:
            # Tensors before the release, which MMEngine loads onto the GPU.
            self._chosen = [
                (group, torch.as_tensor(indices, device='cpu').numpy())
                for group, indices in state['chosen']
            ]
            self._times_on_top = dict(state['times_on_top'])
            self._suspects = list(state['suspects'])
            self._unreadable = set(state.get('unreadable', ()))

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add what was chosen."""
        checkpoint[KEY] = dict(
            chosen=[(group, indices.tolist()) for group, indices in self._chosen],
            times_on_top=dict(self._times_on_top),
            suspects=list(self._suspects),
            unreadable=sorted(self._unreadable),
        )

    def before_train(self, runner: Any) -> None:
        """Find the normal images, and draw what was chosen before."""
        batch_sampler = self._batch_sampler = followed_batch_sampler(runner, self)
        loader = runner.cfg.get('val_dataloader')
        if not loader:
            raise ValueError(
                'HardNormalHook loads images as validation does, and the config has no '
                'val_dataloader: write one, or take the hook out of custom_hooks'
            )
        self._transforms = test_transforms(loader['dataset'])
        self._dataset = runner.train_dataloader.dataset
        source = source_of(self._dataset)
        normal = batch_sampler.sampler.pools['normal']
        # A photograph that a wrapper repeats is scored and drawn as one.
        self._normal = source.once(normal)
        names = class_names(source.leaves[0])
        defects = batch_sampler.sampler.defect_classes
        self._labels = [label for label, name in enumerate(names) if name in defects]
        # Whether they will fit is told now, and not after an epoch.
        self._draw([(batch_sampler.plan.num_groups, self._normal[:1])])
        self._draw(self._chosen)
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            # It has begun to prefetch when it was built, with another plan.
            self._restart(runner.train_loop, 0)

    def after_train_epoch(self, runner: Any) -> None:
        """Choose anew, in the loop that counts epochs."""
        if not isinstance(runner.train_loop, IterBasedTrainLoop):
            epoch = runner.epoch + 1
            if epoch % self.interval == 0 and epoch < runner.max_epochs:
                self._choose(runner, epoch)

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict | None = None,
    ) -> None:
        """Choose anew, in the loop that counts iterations."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            epoch, step = divmod(runner.iter + 1, len(self._batch_sampler))
            due = step == 0 and epoch % self.interval == 0
            if due and runner.iter + 1 < runner.max_iters:
                self._choose(runner, epoch)
                self._restart(runner.train_loop, epoch)

    def _restart(self, loop: Any, epoch: int) -> None:
        self._batch_sampler.start_at(epoch, 0)
        prefetch_anew(loop, epoch)

    def _choose(self, runner: Any, epoch: int) -> None:
        self._batch_sampler = quota_batch_sampler(runner, self)
        asked = self._candidates(epoch)
        loader = runner.train_dataloader
        scores = score_images(
            runner.model,
            Infos(asked, partial(_info_of, self._dataset)),
            self._transforms,
            self._labels,
            self._batch_sampler.batch_size,
            loader.num_workers,
        )
        self._warn_of_unreadable(asked[scores < 0])
        order = np.argsort(-scores, kind='stable')
        order = order[scores[order] > 0]
        ranked = asked[order]
        for index in self._stayed_on_top(ranked):
            self._suspects.append(index)
            print_log(
                f'{self._name(index)} is among the hardest normal images {PATIENCE} '
                'times in a row: perhaps a defect that nobody labelled. '
                f'Look at it; it is not drawn from the pool {self.pool!r} any more',
                logger='current',
                level=logging.WARNING,
            )
        kept = ~np.isin(ranked, self._suspects)
        chosen, best = ranked[kept][: self.size], scores[order][kept][: self.size]
        group = epoch * self._batch_sampler.plan.num_groups
        if not len(chosen):
            self._leave_suspects(group)
            return
        self._fill_up(group, chosen)
        print_log(
            f'{self.pool} normal images from epoch {epoch} on: {len(chosen):,} of '
            f'{len(asked):,} scored, {best[0]:.3f} to {best[-1]:.3f}: '
            + ', '.join(map(self._name, chosen.tolist())),
            logger='current',
        )

    def _fill_up(self, group: int, chosen: np.ndarray) -> None:
        # No image takes more than one in `size` of the draws. The same on all ranks,
        # and in a run that is resumed.
        rng = np.random.default_rng([self._batch_sampler.sampler.seed, group])
        left_out = [*self._suspects, *self._unreadable, *chosen]
        others = rng.permutation(np.setdiff1d(self._normal, left_out))
        missing = self.size - len(chosen) if len(chosen) else 0  # an empty pool ends
        self._chosen.append((group, np.sort(np.append(chosen, others[:missing]))))
        self._draw(self._chosen)

    def _leave_suspects(self, group: int) -> None:
        before = self._chosen[-1][1] if self._chosen else self._normal[:0]
        left = before[~np.isin(before, self._suspects)]
        said = 'stays as it was'
        if len(left) < len(before):
            self._fill_up(group, left)
            said = 'goes on without the suspects' if len(left) else 'ends'
        print_log(
            f'no normal image but suspects has a box: the pool {self.pool!r} {said}'
            if self._suspects
            else f'no normal image has a box: the pool {self.pool!r} {said}',
            logger='current',
        )

    def _warn_of_unreadable(self, indices: np.ndarray) -> None:
        new = [index for index in indices.tolist() if index not in self._unreadable]
        if new:
            self._unreadable.update(new)
            print_log(
                f'{len(new):,} normal images cannot be read and are not scored: '
                + ', '.join(map(self._name, new[:5]))
                + ' …' * (len(new) > 5),
                logger='current',
                level=logging.WARNING,
            )

    def _candidates(self, epoch: int) -> np.ndarray:
        normal = self._normal[~np.isin(self._normal, self._suspects)]
        if self.sample is None or self.sample >= len(normal):
            return normal
        # A sequence of its own for each epoch, the same on all ranks.
        rng = np.random.default_rng([self._batch_sampler.sampler.seed, epoch])
        drawn = rng.choice(normal, self.sample, replace=False)
        before = self._chosen[-1][1] if self._chosen else normal[:0]
        return np.union1d(drawn, before[np.isin(before, normal)])

    def _stayed_on_top(self, ranked: np.ndarray) -> list[int]:
        top = ranked[: max(self.size // 10, 1)].tolist()
        times = self._times_on_top
        self._times_on_top = {index: times.get(index, 0) + 1 for index in top}
        return [i for i in top if self._times_on_top[i] == PATIENCE]

    def _draw(self, chosen: list[tuple[int, np.ndarray]]) -> None:
        plan = self._batch_sampler.plan
        contents = [
            (group * plan.group_size // plan.step_size, indices)
            for group, indices in chosen
        ]
        try:
            self._batch_sampler.set_further_pool(self.pool, self.images, contents)
        except ValueError as error:
            raise ValueError(
                f'HardNormalHook(images={self.images}, pool={self.pool!r}): {error}'
            ) from None

    def _info(self, index: int) -> dict:
        return _info_of(self._dataset, index)

    def _name(self, index: int) -> str:
        return str(self._info(index).get('img_path', index)).rsplit('/', 1)[-1]


def _info_of(dataset: Any, index: int) -> dict:
    return dict(source_of(dataset).info(index), instances=[])
