"""An interrupted run goes on with the very next batch."""

from __future__ import annotations

import logging
import os
from types import MethodType
from typing import Any
from zipfile import is_zipfile

from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import find_latest_checkpoint

from mmdefect.hooks.checkpoints import allow_checkpoint_types
from mmdefect.hooks.pretrained import tell_what_fits
from mmdefect.samplers.defect_pool_sampler import CONFIG_LINES
from mmdefect.samplers.quota_batch_sampler import QuotaBatchSampler

KEY = 'quota_batch_sampler'


@HOOKS.register_module()
class QuotaResumeHook(Hook):
    """Resumes a run of ``QuotaBatchSampler`` exactly, and at once.

    MMEngine's epoch loop begins an interrupted epoch anew, and the iteration loop of
    MMEngine 0.10 loads every batch that was already trained on, to throw it away. This
    hook saves what the batches depend on with each checkpoint, checks it on resuming
    and starts the batches at the iteration count of the checkpoint.

    It also lets torch >= 2.6 read MMEngine's checkpoints: see
    :func:`mmdefect.hooks.checkpoints.allow_checkpoint_types`. And of a checkpoint that
    a run begins with, ``load_from``, it says in the log which weights do not fit.

    Raises:
        ValueError: If the train dataloader has no ``QuotaBatchSampler``, or the
            checkpoint belongs to other data or settings, or to another model.
    """

    # After a schedule was set, which the check compares.
    priority = 'HIGH'

    def __init__(self) -> None:
        allow_checkpoint_types()
        self._state: dict[str, Any] | None = None

    def before_run(self, runner: Any) -> None:
        """Check the checkpoint before it is loaded.

        Args:
            runner (Runner): The runner.

        Raises:
            ValueError: If it is cut off, as by a full disk or a power failure.
            FileNotFoundError: If it is not there.
        """
        for hook in runner.hooks:
            if isinstance(hook, CheckpointHook) and hook.max_keep_ckpts == 1:
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

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Add what the batches depend on.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What is about to be saved.
        """
        checkpoint[KEY] = _batch_sampler(runner).state_dict()

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep what was saved until training begins.

        Args:
            runner (Runner): The runner.
            checkpoint (dict): What was loaded.

        Raises:
            ValueError: If it is not resumed from and has no weight of the model.
        """
        self._state = checkpoint.get(KEY)
        if not runner._resume:
            tell_what_fits(runner.model, checkpoint, runner._load_from)

    def before_train(self, runner: Any) -> None:
        """Start at the iteration count of the checkpoint.

        Args:
            runner (Runner): The runner.
        """
        sampler, done = _batch_sampler(runner), runner.iter
        if not done:
            return
        epoch, step = divmod(done, len(sampler))
        if self._state is None:
            print_log(
                'the checkpoint holds no state of QuotaBatchSampler: going on from its '
                f'iteration count, {done}, without a check of data and settings',
                logger='current',
                level=logging.WARNING,
            )
            sampler.start_at(epoch, step)
        else:
            if runner.cfg.get('randomness', {}).get('seed') is None:
                sampler.reseed(self._state['fingerprint']['seed'])
            # The sampler runs ahead of training, so its own position does not count.
            sampler.load_state_dict({**self._state, 'epoch': epoch, 'step': step})
        loop = runner.train_loop
        if hasattr(loop, 'dataloader_iterator'):
            batches = type(loop.dataloader_iterator)(loop.dataloader)
            batches._epoch = epoch
            loop.dataloader_iterator = _Resumed(batches, done)
        else:
            # A checkpoint of an epoch's last iteration still counts that epoch.
            loop._epoch = epoch
            _count_from(loop, step)

    def after_train_epoch(self, runner: Any) -> None:
        """Count the batches of the next epoch from its beginning.

        Args:
            runner (Runner): The runner.
        """
        vars(runner.train_loop).pop('run_iter', None)


class _Resumed:
    """Batches that are there from the start, for a loop that first skips some."""

    def __init__(self, batches: Any, skip: int) -> None:
        self.batches = batches
        self.skip = skip

    def __iter__(self) -> _Resumed:
        return self

    def __next__(self) -> Any:
        if self.skip:
            self.skip -= 1
            return None
        return next(self.batches)

    def skip_iter(self, num_iters: int) -> None:
        """What onedl-mmengine calls to skip."""
        self.skip = 0


def _count_from(loop: Any, step: int) -> None:
    # The loop counts batches from 0: so would the log, and what happens at the
    # end of an epoch would not happen at the end of this one.
    run_iter = type(loop).run_iter

    def run_later_iter(loop: Any, idx: int, data_batch: Any) -> None:
        run_iter(loop, idx + step, data_batch)

    loop.run_iter = MethodType(run_later_iter, loop)


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


def _batch_sampler(runner: Any) -> QuotaBatchSampler:
    sampler = runner.train_dataloader.batch_sampler
    if not isinstance(sampler, QuotaBatchSampler):
        raise ValueError(
            'QuotaResumeHook needs a QuotaBatchSampler, but the train dataloader has a '
            f'{type(sampler).__name__}. Write into train_dataloader:\n{CONFIG_LINES}'
        )
    return sampler
