"""Measure what a batch costs: mmdefect's quota beside samplers that others use.

And what finding the defect images costs at every start: the rows of
benchmark_scan.py.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import logging
import multiprocessing
import os
import platform
import resource
import signal
import statistics
import sys
import time
import tracemalloc
import weakref
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any, Callable, ClassVar, Iterator, NamedTuple, Sequence

import benchmark_scan
import mmengine
import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.logging import MMLogger
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import BatchSampler, RandomSampler, Sampler, WeightedRandomSampler

from mmdefect import DefectPoolSampler, QuotaBatchSampler
from mmdefect.plan.plan import Plan

SIZES = (30_000, 1_000_000, 10_000_000, 100_000_000)
PLAN_ONLY = 1_000_000_000
# Above this size only torch's plain sampler is measured beside ours.
MAX_PEER_SIZE = 10_000_000
# Above this size, counting every allocation takes longer than all the rest.
MAX_TRACED_SIZE = 1_000_000
# Free memory without which a contender is left out, in bytes an image.
BYTES_NEEDED = 64
# A contender that has taken so many seconds at one size takes no further turn there.
SECONDS_EACH = 10
# What takes less than this is repeated, since a single time says little.
SECONDS_AT_LEAST = 0.02
RESUME_AT = 0.9
# What `--only` calls the rows of benchmark_scan.py, and the images that it scans.
SCAN = 'scan'
SCAN_SIZE, QUICK_SCAN_SIZE = 200_000, 20_000
SCAN_ROUNDS = 5
# Of so many images the first few show a defect; the data set repeats them.
PATTERN, DEFECTS = 100, 3

# Batches over which a quota is measured that goes over several, on as many ranks.
OVER, MANY = 4, 64

# Most that our figures may be: ratios to torch's, `resume` to our own first batch and
# `many` to our own batch.
TARGETS = {
    'batch': {30_000: 0.6, 1_000_000: 0.35, 10_000_000: 0.35},
    'first': {30_000: 2.0, 1_000_000: 0.6, 10_000_000: 0.6},
    'memory': {30_000: 1.0, 1_000_000: 0.3, 10_000_000: 0.3},
    'resume': {30_000: 1.2, 1_000_000: 1.2, 10_000_000: 1.2},
    'over': {30_000: 1.0, 1_000_000: 0.8, 10_000_000: 0.8},
    'uneven': {},
    'many': {1_000_000: 3.0, 10_000_000: 3.0},
}
PLAN_ONLY_TARGETS = {'first': 1000, 'memory': 1000}
UNITS = dict(batch='us', first='ms', memory='MB', resume='ms', build='ms')

LEGEND = f"""\
batch   cost per batch over a whole epoch, the first batch included
first   from iter() of a new epoch to its first batch
memory  most that is held at once beyond the data set: to build the sampler and
        to draw. Up to {MAX_TRACED_SIZE:,} images every allocation is counted
        (tracemalloc, and torch's tensors; not the work space inside torch's
        functions), above that it is the peak resident memory of a new process
resume  to the next batch when {RESUME_AT:.0%} of an epoch are done: ours loads a state,
        the others skip with itertools.islice, which is all that they have
build   making the sampler, once a run, for a data set that answers at once.
        Finding the defects is not in it, except for ClassAwareSampler, which
        asks for each image by itself: see the table of the scan
over    ours with the same quota over {OVER} batches, on one of {OVER} ranks: cost per
        batch
uneven  the same with one image more, which the batches cannot share evenly
many    that over {MANY} batches, on one of {MANY} ranks, beside ours on one
Times are of the processor, so that other work on the machine hardly counts:
medians of rounds in which they take turns, each in a process of its own."""
EXAMPLE = """\
example:
  python tools/benchmark_samplers.py --json samplers.json
  python tools/benchmark_samplers.py --only scan
  python tools/benchmark_samplers.py --sizes 30000 1000000 --only torch ours"""


class UserError(Exception):
    """The user asked for what cannot be done; the message says why, in one line."""


class WorkerError(Exception):
    """A contender could not be measured; the message says why, in one line."""


class Setting(NamedTuple):
    """What all contenders are asked for.

    Args:
        size (int): Images in the data set.
        batch_size (int): Images a batch.
        quota (int): Defect images a batch.
    """

    size: int
    batch_size: int
    quota: int


class Epochs(NamedTuple):
    """A sampler, ready to be asked for batches.

    Args:
        start (Callable): From an epoch to a new iterator of its batches.
        batches (int): Batches in an epoch.
        restore (Callable, optional): Lets the next iterator begin at a step of an
            epoch. None where the sampler cannot.
    """

    start: Callable[[int], Iterator[list[int]]]
    batches: int
    restore: Callable[[int, int], None] | None = None


# --- The data set ---------------------------------------------------------------------


class Images:
    """As much of a data set as any of the samplers asks for, at no cost.

    Args:
        size (int): Number of images.
    """

    metainfo: ClassVar = dict(classes=('crack', 'dent', 'scratch'))
    infos: ClassVar = [
        dict(
            width=(640, 480)[n % 2],
            height=(480, 640)[n % 2],
            instances=[dict(bbox_label=n, ignore_flag=0)] if n < DEFECTS else [],
        )
        for n in range(PATTERN)
    ]
    labels: ClassVar = [[n] if n < DEFECTS else [] for n in range(PATTERN)]

    def __init__(self, size: int) -> None:
        self.size = size
        self.defects = sum(len(range(n, size, PATTERN)) for n in range(DEFECTS))

    def __len__(self) -> int:
        return self.size

    def get_data_info(self, index: int) -> dict:
        """What MMDetection knows of an image."""
        return self.infos[index % PATTERN]

    def get_cat_ids(self, index: int) -> list[int]:
        """Labels of the defects on an image."""
        return self.labels[index % PATTERN]

    def make_pools(self) -> dict[str, np.ndarray]:
        """The pools that ``DefectPoolSampler`` would make."""
        names = self.metainfo['classes']
        classes = {n: np.arange(i, self.size, PATTERN) for i, n in enumerate(names)}
        defect = np.zeros(self.size, bool)
        for indices in classes.values():
            defect[indices] = True
        normal = np.flatnonzero(~defect)
        return {'normal': normal, 'defect': np.flatnonzero(defect), **classes}


class TwoSources(Images):
    """The images as ``MultiSourceSampler`` wants them: the normal ones first."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.datasets = range(size - self.defects), range(self.defects)
        self.cumulative_sizes = [size - self.defects, size]


# --- The contenders -------------------------------------------------------------------


def batched(sampler: Sampler, setting: Setting) -> Epochs:
    """Cut what a sampler yields into batches."""
    batches = BatchSampler(sampler, setting.batch_size, drop_last=True)

    def start(epoch: int) -> Iterator[list[int]]:
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)
        return iter(batches)

    return Epochs(start, len(batches))


def random_sampler(setting: Setting) -> Epochs:
    """Plain shuffled batches."""
    return batched(RandomSampler(range(setting.size)), setting)


def weighted_sampler(setting: Setting) -> Epochs:
    """The quota on average, by weights."""
    defects = Images(setting.size).defects
    weights = torch.where(
        torch.arange(setting.size) % PATTERN < DEFECTS,
        setting.quota / defects,
        (setting.batch_size - setting.quota) / (setting.size - defects),
    )
    return batched(WeightedRandomSampler(weights, setting.size), setting)


def default_sampler(setting: Setting) -> Epochs:
    """What MMDetection uses unless told otherwise."""
    return batched(DefaultSampler(Images(setting.size), seed=0), setting)


def class_aware_sampler(setting: Setting) -> Epochs:
    """Classes in turn; it never draws an image without instances."""
    from mmdet.datasets.samplers import ClassAwareSampler

    return batched(ClassAwareSampler(Images(setting.size), seed=0), setting)


def multi_source_sampler(setting: Setting) -> Epochs:
    """The quota, from a data set of normal images and one of defects."""
    from mmdet.datasets.samplers import MultiSourceSampler

    images = TwoSources(setting.size)
    ratio = [setting.batch_size - setting.quota, setting.quota]

    def start(epoch: int) -> Iterator[list[int]]:
        # Made anew, since it shuffles in the iterators that it is made with.
        sampler = MultiSourceSampler(images, setting.batch_size, ratio, seed=epoch)
        batches = BatchSampler(sampler, setting.batch_size, drop_last=True)
        return itertools.islice(batches, len(batches))

    return Epochs(start, setting.size // setting.batch_size)


def aspect_ratio_sampler(setting: Setting) -> Epochs:
    """Batches of wide or of tall images, as most configs of MMDetection have them."""
    from mmdet.datasets.samplers import AspectRatioBatchSampler

    images = Images(setting.size)

    def start(epoch: int) -> Iterator[list[int]]:
        # Made anew, since one left in the middle of an epoch yields no more batches.
        sampler = DefaultSampler(images, seed=epoch)
        return iter(AspectRatioBatchSampler(sampler, setting.batch_size, True))

    return Epochs(start, setting.size // setting.batch_size)


def two_iterators(setting: Setting) -> Epochs:
    """The quota as one would write it: a list filled from two shuffled lists."""
    pools = Images(setting.size).make_pools()
    rest = setting.batch_size - setting.quota
    batches = len(pools['normal']) // rest

    def start(epoch: int) -> Iterator[list[int]]:
        rng = np.random.default_rng(epoch)
        normals = iter(rng.permutation(pools['normal']).tolist())
        defects = itertools.chain.from_iterable(
            rng.permutation(pools['defect']).tolist() for _ in itertools.count()
        )
        for _ in range(batches):
            batch = [next(normals) for _ in range(rest)]
            batch += [next(defects) for _ in range(setting.quota)]
            yield batch

    return Epochs(start, batches)


def quota_sampler(setting: Setting, ranks: int = 1, more: int = 0) -> Epochs:
    """Ours, with a quota over a batch of every rank."""
    # Scanned on a few images; the pools of all of them are laid over that.
    sampler = DefectPoolSampler(Images(PATTERN), seed=0)
    sampler.dataset = Images(setting.size)
    sampler.pools = sampler.dataset.make_pools()
    sampler.rank, sampler.world_size = ranks // 2, ranks
    quota, over = setting.quota, None
    if ranks > 1:
        quota, over = ranks * quota + more, ranks * setting.batch_size
    batches = QuotaBatchSampler(sampler, setting.batch_size, quota, over)

    def start(epoch: int) -> Iterator[list[int]]:
        sampler.set_epoch(epoch)
        return iter(batches)

    def restore(epoch: int, step: int) -> None:
        batches.load_state_dict({**batches.state_dict(), 'epoch': epoch, 'step': step})

    return Epochs(start, len(batches), restore)


MMDET = {
    'class-aware': class_aware_sampler,
    'multi-source': multi_source_sampler,
    'aspect-ratio': aspect_ratio_sampler,
}
CONTENDERS: dict[str, Callable[[Setting], Epochs]] = {
    'torch': random_sampler,
    'weighted': weighted_sampler,
    'default': default_sampler,
    **MMDET,
    'two-iterators': two_iterators,
    'ours': quota_sampler,
    'over': partial(quota_sampler, ranks=OVER),
    'uneven': partial(quota_sampler, ranks=OVER, more=1),
    'many': partial(quota_sampler, ranks=MANY, more=1),
}
LABELS = {
    'torch': 'torch Random',
    'weighted': 'torch WeightedRandom',
    'default': 'mmengine Default',
    'class-aware': 'mmdet ClassAware',
    'multi-source': 'mmdet MultiSource',
    'aspect-ratio': 'mmdet AspectRatioBatch',
    'two-iterators': 'next() from two lists',
    'ours': 'QuotaBatchSampler (ours)',
    'over': f'ours over {OVER} batches',
    'uneven': f'ours over {OVER}, uneven',
    'many': f'ours, 1 of {MANY} ranks',
}


# --- Measuring one, in a process of its own -------------------------------------------


def time_starts(start: Callable[[], Iterator]) -> float:
    """Median seconds to the first batch, of as many starts as fit in a moment."""
    times = [time.process_time()]
    while times[-1] - times[0] < SECONDS_AT_LEAST:
        next(start())
        times.append(time.process_time())
    return float(np.median(np.diff(times)))


def time_round(epochs: Epochs, numbers: Iterator[int]) -> dict[str, float]:
    """Let a contender take one turn.

    Args:
        epochs (Epochs): The contender.
        numbers (Iterator[int]): Epochs not asked for before, so that no cache helps.

    Returns:
        dict[str, float]: ``batch``, ``first`` and ``resume``.
    """
    times: list[tuple[float, float]] = []
    while sum(whole for _, whole in times) < SECONDS_AT_LEAST:
        begin = time.process_time()
        iterator = epochs.start(next(numbers))
        next(iterator)
        first = time.process_time() - begin
        deque(iterator, maxlen=0)
        times.append((first, time.process_time() - begin))
    first, whole = np.median(times, axis=0).tolist()
    if first < SECONDS_AT_LEAST:
        first = time_starts(lambda: epochs.start(next(numbers)))

    step = int(RESUME_AT * epochs.batches)

    def resume() -> Iterator:
        epoch = next(numbers)
        if epochs.restore is None:
            return itertools.islice(epochs.start(epoch), step, None)
        epochs.restore(epoch, step)
        return epochs.start(epoch)

    return {
        'batch': whole / epochs.batches * 1e6,
        'first': first * 1e3,
        'resume': time_starts(resume) * 1e3,
    }


class CountTensors(TorchDispatchMode):
    """Keeps the account of torch's tensors, which tracemalloc does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Note a new tensor, and when it goes."""
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.data_ptr() not in self.held:
            self.held[result.data_ptr()] = result.numel() * result.element_size()
            weakref.finalize(result, self.held.pop, result.data_ptr())
            self.peak = max(self.peak, sum(self.held.values()))
        return result


def traced_peak(start: Callable[[], Iterator]) -> float:
    """Most memory held at once while batches are drawn, in MB."""
    gc.collect()
    with CountTensors() as tensors:
        torch.empty(0)  # What the first use loads is not the sampler's.
        tracemalloc.start()
        # Ours draws in chunks that grow: enough batches to see the largest.
        deque(itertools.islice(start(), 10_000), maxlen=0)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # Both peaks fall together: a tensor of indices lives until it has become a list.
    return (peak + tensors.peak) / 1e6


def resident_peak() -> float:
    """Most memory that this process has held so far, in MB."""
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def turns(make: Callable[[Setting], Epochs], setting: Setting) -> Iterator[dict]:
    """Yield what building takes, then one round after another."""
    numbers = itertools.count()
    # What only the first use loads is not the sampler's.
    time_round(make(setting._replace(size=PATTERN * setting.batch_size)), numbers)
    traced = setting.size <= MAX_TRACED_SIZE
    if traced:
        memory = traced_peak(lambda: make(setting).start(0))
    before, begin = resident_peak(), time.process_time()
    epochs = make(setting)
    built = {'build': (time.process_time() - begin) * 1e3}
    if epochs.restore:
        begin = time.process_time()
        epochs.restore(next(numbers), 0)
        built['restore'] = (time.process_time() - begin) * 1e3
        next(epochs.start(next(numbers)))
    yield built
    while True:
        result = time_round(epochs, numbers)
        yield {**result, 'memory': memory if traced else resident_peak() - before}


def plan_only(setting: Setting) -> Iterator[dict]:
    """Yield the figures of a plan whose pools are ranges, with no array of them."""
    defects = setting.size * DEFECTS // PATTERN
    normal = range(defects, defects + setting.size)

    def start(epoch: int) -> Iterator:
        pools = {'normal': normal, 'defect': range(defects)}
        plan = Plan(pools, setting.quota, setting.batch_size)
        return itertools.chain.from_iterable(rows for _, rows in plan.chunks(epoch, 0))

    numbers = itertools.count()
    first = time_starts(lambda: start(next(numbers))) * 1e3
    yield {'first': first, 'memory': traced_peak(partial(start, next(numbers)))}


def work(pipe: Any, job: Callable, *args: Any) -> None:
    """Send what a job yields, one by one, each when it is asked for."""
    # Only the process in front of the user says that it was interrupted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    results = job(*args)
    with contextlib.suppress(EOFError):
        while pipe.recv():
            try:
                pipe.send(next(results))
            except Exception as error:
                pipe.send(f'{type(error).__name__}: {error}')


class Worker:
    """A process that works only while it is asked.

    Args:
        job (Callable): Yields results.
        args: Arguments of the job.
    """

    def __init__(self, job: Callable, *args: Any) -> None:
        # Forked: its memory is its own, and it need not import everything again.
        context = multiprocessing.get_context('fork')
        self.pipe, other = context.Pipe()
        self.process = context.Process(
            target=work, args=(other, job, *args), daemon=True
        )
        self.process.start()
        other.close()
        self.seconds = 0.0

    def ask(self) -> dict:
        """The next result.

        Raises:
            WorkerError: If the job failed.
        """
        begin = time.monotonic()
        self.pipe.send(True)
        try:
            result = self.pipe.recv()
        except EOFError:
            self.process.join()
            result = f'killed, exit code {self.process.exitcode}; too little memory?'
        if isinstance(result, str):
            raise WorkerError(result)
        self.seconds += time.monotonic() - begin
        return result

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.join()


# --- Measuring all, side by side ------------------------------------------------------


def free_bytes() -> float:
    """Memory that may still be asked for, as far as the system says."""
    with contextlib.suppress(OSError):
        for line in Path('/proc/meminfo').read_text().splitlines():
            if line.startswith('MemAvailable:'):
                return int(line.split()[1]) * 1024
    return float('inf')


def measure(
    names: Sequence[str], setting: Setting, rounds: int, say: Callable[[str], None]
) -> tuple[list[dict], dict[str, str]]:
    """Measure contenders at one size.

    Args:
        names (Sequence[str]): The contenders.
        setting (Setting): What they are asked for.
        rounds (int): Turns that each takes at most.
        say (Callable): Is told whose turn is over.

    Returns:
        tuple[list[dict], dict[str, str]]: A row for each contender, and why others
        have none.
    """
    workers, rows, left_out = {}, {}, {}
    with contextlib.ExitStack() as stack:
        for name in names:
            if free_bytes() < BYTES_NEEDED * setting.size:
                left_out[name] = f'less than {BYTES_NEEDED} bytes an image are free'
                continue
            workers[name] = Worker(turns, CONTENDERS[name], setting)
            stack.callback(workers[name].close)
        # The first answer is what building took; it is no round.
        for number in range(1 + rounds):
            # By turns first: whoever is finds the caches as the last one left them.
            order = [name for name in names if name in workers]
            first = number % max(len(order), 1)
            for name in order[first:] + order[:first]:
                if workers[name].seconds < SECONDS_EACH:
                    try:
                        result = workers[name].ask()
                    except WorkerError as error:
                        left_out[name] = str(error)
                        del workers[name]
                        continue
                    row = rows.setdefault(name, dict(contender=name, **result))
                    row.setdefault('rounds', []).append(result)
                    if number == 0:
                        workers[name].seconds = 0.0
                say(f'{LABELS[name]}, {setting.size:,} images')
    found = []
    for name in workers:
        row = {'size': setting.size, **rows[name], 'rounds': rows[name]['rounds'][1:]}
        for key in row['rounds'][0]:
            row[key] = statistics.median(result[key] for result in row['rounds'])
        # Later rounds cannot lower a process's peak.
        row['memory'] = row['rounds'][0]['memory']
        found.append(row)
    return found, left_out


def paired_ratio(one: dict, two: dict, key: str, other: str) -> float:
    """Median ratio of figures of the same rounds."""
    pairs = zip(one['rounds'], two['rounds'])
    return statistics.median(a[key] / b[other] for a, b in pairs)


def compare(results: Sequence[dict], plan: dict | None) -> list[dict]:
    """Our figures beside torch's, and the targets.

    Args:
        results (Sequence[dict]): What :func:`measure` found.
        plan (dict, optional): What :func:`plan_only` found.

    Returns:
        list[dict]: ``size``, ``figure``, ``value`` and ``of``, its unit; ``target`` and
        ``reached`` where there is a target.
    """
    lines = []

    def add(size: int, figure: str, value: float, of: str, target: Any) -> None:
        line = dict(size=size, figure=figure, value=value, of=of)
        if target is not None:
            line.update(target=target, reached=value <= target)
        lines.append(line)

    rows = {(row['contender'], row['size']): row for row in results}
    for (name, size), ours in rows.items():
        if name != 'ours':
            continue
        torchs = rows.get(('torch', size))
        for figure, targets in TARGETS.items():
            other = rows.get((figure, size))
            if figure == 'resume':
                value, of = paired_ratio(ours, ours, figure, 'first'), 'our first'
            elif figure == 'many' and other:
                value, of = paired_ratio(other, ours, 'batch', 'batch'), 'our batch'
            elif figure in ('over', 'uneven') and other and torchs:
                value, of = paired_ratio(other, torchs, 'batch', 'batch'), 'torch'
            elif figure in UNITS and torchs:
                value, of = paired_ratio(ours, torchs, figure, figure), 'torch'
            else:
                continue
            add(size, figure, value, f'x {of}', targets.get(size))
    if plan:
        for figure, target in PLAN_ONLY_TARGETS.items():
            unit = f'{UNITS[figure]}, plan only'
            add(PLAN_ONLY, figure, plan[figure], unit, target)
    return lines


def run(args: argparse.Namespace) -> dict:
    """Measure all that the command line asks for.

    Args:
        args (argparse.Namespace): The command line.

    Returns:
        dict: All figures.
    """
    load_before = os.getloadavg()[0]
    names = [name for name in CONTENDERS if name in args.only]
    results, left_out = [], []
    scanning = SCAN in args.only
    if scanning or set(names) & set(MMDET):
        try:
            # Before the processes fork, or each of them would.
            import mmdet.datasets.samplers  # noqa: F401
        except Exception as error:
            without = [LABELS[name] for name in names if name in MMDET]
            without += [SCAN] * scanning
            left_out.append(f'{", ".join(without)}: no MMDetection ({error})')
            names = [name for name in names if name not in MMDET]
            scanning = False
    jobs = {
        size: [n for n in names if size <= MAX_PEER_SIZE or n in ('torch', 'ours')]
        for size in sorted(set(args.sizes))
    }
    total = sum(size * len(jobs[size]) * (1 + args.rounds) for size in jobs)
    with progress(total) as advance:
        for size, contenders in jobs.items():
            setting = Setting(size, args.batch_size, args.quota)
            found, without = measure(
                contenders, setting, args.rounds, partial(advance, size)
            )
            results += found
            left_out += [
                f'{LABELS[name]} at {size:,} images: {why}'
                for name, why in without.items()
            ]
    plan = None
    if 'ours' in names:
        worker = Worker(plan_only, Setting(PLAN_ONLY, args.batch_size, args.quota))
        plan = worker.ask()
        worker.close()
    scanned = None
    if scanning:
        size = QUICK_SCAN_SIZE if args.quick else SCAN_SIZE
        rounds = min(args.rounds, SCAN_ROUNDS)
        scanned = benchmark_scan.run(size, list(benchmark_scan.SETS), rounds)
    return dict(
        settings=dict(
            sizes=list(jobs),
            batch_size=args.batch_size,
            quota=args.quota,
            defect_share=DEFECTS / PATTERN,
            rounds=args.rounds,
        ),
        machine=dict(
            cpus=os.cpu_count(),
            platform=platform.platform(),
            python=platform.python_version(),
            torch=torch.__version__,
            numpy=np.__version__,
            mmengine=mmengine.__version__,
            load_before=load_before,
            load_after=os.getloadavg()[0],
        ),
        units=UNITS,
        results=results,
        plan_only=plan,
        scan=scanned,
        left_out=left_out,
        comparison=compare(results, plan),
    )


# --- Showing it -----------------------------------------------------------------------


def digits(value: float) -> str:
    """Write a number with three digits that count."""
    return f'{value:,.0f}' if value >= 100 else f'{value:#.3g}'


def make_table(title: str, *columns: str) -> Table:
    """An empty table; the names of columns of text end in a blank."""
    table = Table(title=title, box=box.SIMPLE, title_justify='left', pad_edge=False)
    for name in columns:
        table.add_column(name, justify='left' if name.endswith(' ') else 'right')
    return table


def show(report: dict, console: Console) -> None:
    """Print the tables.

    Args:
        report (dict): All figures.
        console (Console): Where to.
    """
    heads = [f'{name}\n({unit})' for name, unit in UNITS.items()]
    for size in sorted({row['size'] for row in report['results']}):
        table = make_table(f'{size:,} images', 'sampler ', *heads, 'rounds')
        for row in report['results']:
            if row['size'] == size:
                cells = [digits(row[key]) for key in UNITS]
                label = LABELS[row['contender']]
                table.add_row(label, *cells, str(len(row['rounds'])))
        console.print(table)
    if report['scan']:
        benchmark_scan.show(report['scan'], console)
    if report['results']:
        console.print(LEGEND)
    checks = [
        f'{digits(row["restore"])} ms for {row["size"]:,} images'
        for row in report['results']
        if 'restore' in row
    ]
    if checks:
        console.print(
            'Ours, when a run is resumed: the first check of the saved state (a '
            f'checksum of the pools) takes {", ".join(checks)} more.'
        )
    for line in report['left_out']:
        console.print(f'left out: {line}')
    console.print(
        '{cpus} CPUs, Python {python}, torch {torch}, NumPy {numpy}; load '
        '{load_before:.1f} before, {load_after:.1f} after'.format(**report['machine'])
    )
    if not report['comparison']:
        return
    table = make_table(
        'Ours against torch RandomSampler',
        *('images', 'figure ', 'value', ' ', 'target', ' '),
    )
    for line in report['comparison']:
        target = f'<= {line["target"]:,}' if 'target' in line else ''
        verdict = {True: 'reached', False: 'missed'}.get(line.get('reached'), '')
        size, value = f'{line["size"]:,}', digits(line['value'])
        table.add_row(size, line['figure'], value, line['of'], target, verdict)
    console.print(table)


@contextlib.contextmanager
def progress(total: float) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on a terminal, elsewhere a line now and then."""
    console = Console(stderr=True)
    spoken = time.monotonic()

    def speak(amount: float, text: str) -> None:
        nonlocal spoken
        if time.monotonic() - spoken > 10:
            spoken = time.monotonic()
            print(f'measuring {text}', file=sys.stderr)

    if not console.is_terminal:
        yield speak
        return
    # No thread that refreshes the bar: it would be lost in the processes that fork.
    with Progress(console=console, auto_refresh=False, transient=True) as bar:
        task = bar.add_task('measuring', total=total)

        def draw(amount: float, text: str) -> None:
            bar.update(task, advance=amount, description=text, refresh=True)

        draw(0, 'measuring')
        yield draw


# --- The command ----------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, show, and write what the command line asks for."""
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.quick:
        args.sizes, args.rounds = SIZES[:1], 3
    try:
        check(args)
        report = run(args)
        show(report, Console(highlight=False))
        if args.json:
            write_json(args.json, report)
    except (UserError, WorkerError, OSError) as error:
        parser.error(' '.join(str(error).split()))
    except KeyboardInterrupt:
        print('interrupted: nothing was written', file=sys.stderr)
        return 130
    missed = any(line.get('reached') is False for line in report['comparison'])
    missed |= bool(report['scan'] and benchmark_scan.missed(report['scan']))
    return 1 if args.strict and missed else 0


def check(args: argparse.Namespace) -> None:
    """Refuse options that measure nothing."""
    if args.batch_size < 2:
        raise UserError(f'--batch-size must be at least 2, got {args.batch_size}')
    if not 0 < args.quota < args.batch_size:
        raise UserError(
            f'--quota must lie between 1 and {args.batch_size - 1}, one less than the '
            f'batch size, got {args.quota}'
        )
    least = PATTERN * args.batch_size
    if min(args.sizes) < least:
        raise UserError(
            f'--sizes must be at least {least}, {PATTERN} batches, got '
            f'{min(args.sizes)}'
        )
    if args.rounds < 1:
        raise UserError(f'--rounds must be at least 1, got {args.rounds}')
    if args.json and (args.json.is_dir() or not args.json.parent.is_dir()):
        raise UserError(
            f'--json must name a file in a folder there is, got {args.json}'
        )


def write_json(path: Path, content: Any) -> None:
    """Write all of a file or nothing."""
    part = path.with_name(f'.{path.name}.part')
    try:
        part.write_text(json.dumps(content, indent=1) + '\n', encoding='utf-8')
        part.replace(path)
    finally:
        if part.exists():
            part.unlink()


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line."""

    def error(self, message: str) -> Any:
        """Print `message` and exit with 2."""
        self.exit(2, f'{self.prog}: error: {message}\n')


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        description=__doc__,
        epilog=f'{LEGEND}\n\n{EXAMPLE}',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        '--sizes',
        type=int,
        nargs='+',
        default=SIZES,
        metavar='N',
        help='images in the data set (default: 30 thousand, 1, 10 and 100 million)',
    )
    add(
        '--rounds',
        type=int,
        default=9,
        metavar='N',
        help='turns of each at each size, at most: whoever has taken '
        f'{SECONDS_EACH} s there takes no other (default: %(default)s)',
    )
    add('--batch-size', type=int, default=8, metavar='N', help='default: %(default)s')
    add(
        '--quota',
        type=int,
        default=3,
        metavar='N',
        help='defect images a batch (default: %(default)s)',
    )
    add(
        '--only',
        nargs='+',
        choices=[*CONTENDERS, SCAN],
        default=[*CONTENDERS, SCAN],
        metavar='NAME',
        help=f'measure only these, of {", ".join(CONTENDERS)}, and {SCAN}, which '
        f'reads an annotation file of {SCAN_SIZE:,} images',
    )
    add('--json', type=Path, metavar='FILE', help='write all figures to this file')
    add(
        '--quick',
        action='store_true',
        help=f'3 rounds, 30 thousand images and {QUICK_SCAN_SIZE:,} to scan only',
    )
    add('--strict', action='store_true', help='exit with 1 where a target is missed')
    return parser


if __name__ == '__main__':
    sys.exit(main())
