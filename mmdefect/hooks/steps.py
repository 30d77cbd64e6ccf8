"""A run that goes on in steps of another size: iterations are counted anew."""

from __future__ import annotations

import warnings
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import OptimWrapperDict
from mmengine.runner import IterBasedTrainLoop

from mmdefect.hooks.loops import set_iteration


def count_in_steps(runner: Any, steps_per_epoch: int, epoch: int, step: int) -> None:
    """Count iterations as if the run had had steps of this size from its beginning.

    The images go on where they stopped; a checkpoint counts iterations, of which as
    many images take more or fewer now. Schedules of learning rates are the config's own
    in the new iterations, brought to the place of the checkpoint.
    """
    loop = runner.train_loop
    before = loop.iter
    set_iteration(loop, epoch * steps_per_epoch + step)
    ended = loop.iter // steps_per_epoch
    if not isinstance(loop, IterBasedTrainLoop):
        ended = loop.epoch  # the end of the last one may be still to come
    print_log(
        f'the checkpoint was saved after {before:,} iterations; in steps of the size '
        f'they have now, as many images take {loop.iter:,}: going on from there',
        logger='current',
    )
    runner.optim_wrapper.initialize_count_status(
        runner.model, loop.iter, loop.max_iters
    )
    if runner.cfg.get('param_scheduler'):
        _replay_schedules(runner, steps_per_epoch, loop.iter, ended)


def _replay_schedules(
    runner: Any, steps_per_epoch: int, iterations: int, epochs: int
) -> None:
    wrapper = runner.optim_wrapper
    several = isinstance(wrapper, OptimWrapperDict)
    for one in list(wrapper.values()) if several else [wrapper]:
        _begin_anew(one.optimizer)
    schedulers = runner.build_param_scheduler(runner.cfg.param_scheduler)
    runner.param_schedulers = schedulers
    if isinstance(schedulers, dict):
        schedulers = [each for of_one in schedulers.values() for each in of_one]
    by_step = [each for each in schedulers if not each.by_epoch]
    by_epoch = [each for each in schedulers if each.by_epoch]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that the optimizer has made no step yet
        for done in range(1, iterations + 1):
            for each in by_step:
                each.step()
            epoch, step = divmod(done, steps_per_epoch)
            if step == 0 and epoch <= epochs:
                for each in by_epoch:
                    each.step()


def _begin_anew(optimizer: Any) -> None:
    for group in optimizer.param_groups:
        for name in [name for name in group if name.startswith('initial_')]:
            group[name[len('initial_') :]] = group[name]
