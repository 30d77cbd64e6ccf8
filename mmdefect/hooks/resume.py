"""An interrupted run goes on with the very next batch."""

from __future__ import annotations

import logging
import os
from typing import Any
from zipfile import is_zipfile

from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import IterBasedTrainLoop, find_latest_checkpoint

from mmdefect.hooks.batch_sampler import followed_batch_sampler, quota_batch_sampler
from mmdefect.hooks.checkpoints import message_hub_allowed
from mmdefect.hooks.loops import (
    count_from,
    count_from_beginning,
    resume_prefetching,
    set_epoch,
    validation_is_due,
)
from mmdefect.hooks.pretrained import tell_what_fits
from mmdefect.hooks.steps import count_in_steps
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler
from mmdefect.samplers.state import after_iterations

KEY = 'quota_batch_sampler'


@HOOKS.register_module()
class QuotaResumeHook(Hook):
    """Resumes a run of ``QuotaBatchSampler`` exactly, and at once.

    MMEngine's epoch loop begins an interrupted epoch anew, and the iteration loop of
    MMEngine 0.10 loads every batch that was already trained on, to throw it away; what
    was to follow the last batch before a checkpoint, the end of an epoch or a
    validation, both leave out. This hook saves what the batches depend on with each
    checkpoint, checks it on resuming and goes on with what came next: every batch,
    every step of a learning rate, every validation and checkpoint comes once.

    It also lets torch >= 2.6 read MMEngine's checkpoints: see
    :func:`mmdefect.hooks.checkpoints.message_hub_allowed`. And of a checkpoint that a
    run begins with, ``load_from``, it says in the log which weights do not fit.

    Raises:
        TypeError: If the train dataloader has no ``QuotaBatchSampler``.
        ValueError: If the checkpoint belongs to other data or settings, or to another
            model.
    """

    # After the other hooks have begun to train: a validation may be the first to come.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._state: dict[str, Any] | None = None
        self._validated = False
        self._seed_is_set = False

    def before_run(self, runner: Any) -> None:
        """Check the checkpoint before it is loaded."""
        runner.load_checkpoint = message_hub_allowed()(runner.load_checkpoint)
        # Resuming will set it to that of the checkpoint.
        self._seed_is_set = runner._randomness_cfg.get('seed') is not None
        for hook in runner.hooks:
            if not isinstance(hook, CheckpointHook):
                continue
            hook._publish_model = message_hub_allowed()(hook._publish_model)
            if hook.max_keep_ckpts == 1:
                print_log(
                    'a run that is killed while it writes a checkpoint will leave '
                    'none: with max_keep_ckpts=1 the last one is removed first; set '
                    'default_hooks.checkpoint.max_keep_ckpts=2',
                    logger='current',
                    level=logging.WARNING,
                )
        if runner._resume:
            path = runner._load_from
            if path is None:
                path = find_latest_checkpoint(runner.work_dir)
            if path is not None and '://' not in path:
                _check_file(path, runner.work_dir)

    def before_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Note that what will be saved now has not been validated."""
        self._validated = False

    def before_val(self, runner: Any) -> None:
        """Note that what will be saved now has been validated."""
        self._validated = True

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add what the batches depend on."""
        state = quota_batch_sampler(runner, self).state_dict()
        checkpoint[KEY] = {**state, 'validated': self._validated}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep what was saved until training begins."""
        self._state = checkpoint.get(KEY)
        if not runner._resume:
            tell_what_fits(runner.model, checkpoint, runner._load_from)

    def before_train(self, runner: Any) -> None:
        """Go on with what came next when the checkpoint was written."""
        sampler = followed_batch_sampler(runner, self)
        if not runner.iter:
            return
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook):  # saves again after a best score
                hook.last_ckpt = runner.message_hub.get_info('last_ckpt')
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            self._resume_iterations(runner, sampler)
        else:
            self._resume_epochs(runner, sampler)

    def _resume_epochs(self, runner: Any, sampler: QuotaBatchSampler) -> None:
        loop = runner.train_loop
        epoch, step = self._restore(runner, sampler)
        if step == 0 and loop.epoch == epoch - 1:
            # Saved by the last iteration of an epoch, whose end is still to come.
            epoch, step = epoch - 1, len(sampler)
            sampler.start_at(epoch, step)
        set_epoch(loop, epoch)
        count_from(loop, step)
        if step == 0:
            self._validate_if_due(runner, loop.epoch, loop.max_epochs)

    def _resume_iterations(self, runner: Any, sampler: QuotaBatchSampler) -> None:
        loop = runner.train_loop
        epoch, _ = self._restore(runner, sampler)
        resume_prefetching(loop, epoch)
        self._validate_if_due(runner, loop.iter, loop.max_iters)

    def _validate_if_due(self, runner: Any, now: int, end: int) -> None:
        due = validation_is_due(runner.train_loop, now, end)
        if due and runner.val_loop is not None and not self._validated:
            runner.val_loop.run()

    def _restore(self, runner: Any, sampler: QuotaBatchSampler) -> tuple[int, int]:
        # Sets the batch sampler, and tells at which epoch and step of it.
        done = runner.train_loop.iter
        if self._state is None:
            print_log(
                'the checkpoint holds no state of QuotaBatchSampler: going on from its '
                f'iteration count, {done}, without a check of data and settings',
                logger='current',
                level=logging.WARNING,
            )
            epoch, step = divmod(done, len(sampler))
            sampler.start_at(epoch, step)
            self._validated = True
            return epoch, step
        if not self._has_own_seed(runner, sampler):
            sampler.reseed(self._state['fingerprint']['seed'])
        # The sampler runs ahead of training, so its own position does not count.
        state = after_iterations(self._state, done)
        sampler.load_state_dict(state)
        # Unknown of a checkpoint of mmdefect 0.1: as MMEngine has it.
        self._validated = self._state.get('validated', True)
        place = sampler.state_dict()
        if place['step_size'] != state['step_size']:
            count_in_steps(runner, len(sampler), place['epoch'], place['step'])
        return place['epoch'], place['step']

    def _has_own_seed(self, runner: Any, sampler: QuotaBatchSampler) -> bool:
        if sampler.sampler.seed_is_drawn:
            return False
        loader = runner._train_dataloader
        written = loader.get('sampler') if isinstance(loader, dict) else None
        if not isinstance(written, dict):  # built by hand, with a seed
            return True
        return self._seed_is_set or written.get('seed') is not None

    def after_train_epoch(self, runner: Any) -> None:
        """Count the batches of the next epoch from its beginning."""
        count_from_beginning(runner.train_loop)


def _check_file(path: str, work_dir: str) -> None:
    # A file that torch writes is a zip archive, which is only whole with its end.
    if is_zipfile(path):
        return
    folder = os.path.dirname(path) or work_dir
    files = [entry for entry in os.scandir(folder) if entry.name.endswith('.pth')]
    files.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    whole = next((entry.path for entry in files if is_zipfile(entry.path)), None)
    fix = f'resume with `--resume {whole}`' if whole else 'start anew, without --resume'
    if not os.path.isfile(path):
        raise FileNotFoundError(f'no checkpoint {path!r} to resume from; {fix}')
    raise ValueError(
        f'{path} is cut off, as happens when the disk is full or the machine fails '
        f'while a checkpoint is written; {fix}'
    )
