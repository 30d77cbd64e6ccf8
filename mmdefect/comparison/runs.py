"""The trainings of a comparison: where each writes, and whether it is finished."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Generator, NamedTuple, Sequence

import torch
from mmengine.config import Config

from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.files import write_text
from mmdefect.analysis.logs import read_log
from mmdefect.comparison import training
from mmdefect.comparison.fewer import set_seed

LOOK = 5  # seconds between two looks at the logs


class Training(NamedTuple):
    """One training."""

    sampler: str
    seed: int
    folder: Path  # where it writes

    @property
    def config(self) -> Path:
        """Path: Its config, beside the folder, where a Runner writes one as well."""
        return self.folder.with_suffix('.py')

    @property
    def finished(self) -> bool:
        """bool: Whether it was trained to its end."""
        return (self.folder / 'result.json').is_file()

    @property
    def iteration(self) -> int:
        """int: The last that it logged."""
        return read_log(self.folder).iteration


def write_configs(
    configs: dict[str, Config], work_dir: str, seeds: int
) -> list[Training]:
    """Write the config of every run, and refuse to mix with runs of other settings."""
    runs, texts = [], []
    for seed in range(seeds):
        for name, cfg in configs.items():
            cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
            set_seed(cfg.train_dataloader.dataset, seed)
            runs.append(Training(name, seed, Path(work_dir, name, f'seed_{seed}')))
            texts.append(cfg.pretty_text)
    for run, text in zip(runs, texts):
        path = run.config
        if path.is_file() and path.read_text(encoding='utf-8') != text:
            raise UnusableError(
                f'{run.folder} was trained with other settings: '
                'choose another --work-dir, or remove it'
            )
    for run, text in zip(runs, texts):
        run.folder.mkdir(parents=True, exist_ok=True)
        write_text(run.config, text)
    return runs


def runs_at_once(number: int) -> int:
    """How many runs to train at once: one on a GPU, otherwise one for each core."""
    if torch.cuda.is_available():
        return 1
    return max(min(number, torch.get_num_threads()), 1)


def start(run: Training, jobs: int) -> subprocess.Popen:
    """Start a run in a process of its own."""
    # The machine may have more cores than this process may use; and threads that spin
    # while they wait take them from the other runs and the data loading.
    threads = str(max(torch.get_num_threads() // jobs, 1))
    with open(run.folder / 'log.txt', 'ab') as log:
        return subprocess.Popen(
            [sys.executable, '-m', training.__name__, str(run.config)],
            env={
                'OMP_WAIT_POLICY': 'PASSIVE',
                **os.environ,
                'OMP_NUM_THREADS': threads,
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


class Event(NamedTuple):
    """How far the trainings are.

    Args:
        iterations (int): Iterations done, in all.
        done (int): Runs that ended.
        ended (Training, optional): The run that ended just now.
        failed (bool): Whether it failed.
    """

    iterations: int
    done: int
    ended: Training | None = None
    failed: bool = False


def train_all(
    runs: Sequence[Training], iters: int, jobs: int
) -> Generator[Event, None, None]:
    """Train runs, some at once. Leaving the loop over the events ends the trainings."""
    waiting = list(runs)
    working: dict[Training, subprocess.Popen] = {}
    looked = 0.0
    try:
        while waiting or working:
            while waiting and len(working) < jobs:
                run = waiting.pop(0)
                working[run] = start(run, jobs)
            time.sleep(0.5)
            for run in [
                r for r, process in working.items() if process.poll() is not None
            ]:
                failed = bool(working.pop(run).returncode) or not run.finished
                done = len(runs) - len(waiting) - len(working)
                yield Event(done * iters, done, run, failed)
            if time.monotonic() - looked > LOOK:  # logs grow long
                looked = time.monotonic()
                done = len(runs) - len(waiting) - len(working)
                yield Event(done * iters + sum(run.iteration for run in working), done)
    finally:
        for process in working.values():
            process.terminate()
        for process in working.values():
            process.wait()
