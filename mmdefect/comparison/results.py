"""What the trainings of a comparison came to."""

from __future__ import annotations

import json

import numpy as np

from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.logs import read_log
from mmdefect.comparison import MAIN
from mmdefect.comparison.runs import Training


def lower_is_better(metric: str) -> bool:
    """Whether less of it is better."""
    return any(word in metric for word in ('escape', 'overkill', 'loss'))


def collect(runs: list[Training]) -> list[dict]:
    """What the finished runs came to."""
    found = []
    for run in runs:
        if run.finished:
            facts = json.loads((run.folder / 'result.json').read_text('utf-8'))
            validations = read_log(run.folder).validations
            curve = [dict(iter=n.iteration, metrics=n.metrics) for n in validations]
            found.append(dict(sampler=run.sampler, seed=run.seed, **facts, curve=curve))
    return found


def values(entry: dict, metric: str) -> list[tuple[int, float]]:
    """Iteration and value of a metric of one run."""
    # CocoMetric says nothing where the detector has no box at all.
    silent = 0.0 if metric.startswith('coco/') else None
    lines = entry['curve']
    pairs = [(line['iter'], line['metrics'].get(metric, silent)) for line in lines]
    return [(number, value) for number, value in pairs if value is not None]


def by_metric(entries: list[dict]) -> dict:
    """By metric and sampler: last and best values, over the seeds."""
    lines = [line for entry in entries for line in entry['curve']]
    metrics = sorted({key for line in lines for key in line['metrics']})
    summary: dict[str, dict] = {}
    for metric in metrics:
        pick = min if lower_is_better(metric) else max
        for name in dict.fromkeys(entry['sampler'] for entry in entries):
            curves = [values(e, metric) for e in entries if e['sampler'] == name]
            curves = [curve for curve in curves if curve]
            if curves:
                best = [pick(curve, key=lambda pair: pair[1]) for curve in curves]
                summary.setdefault(metric, {})[name] = dict(
                    last=mean_and_deviation([curve[-1][1] for curve in curves]),
                    best=mean_and_deviation([value for _, value in best]),
                    best_at=float(np.median([number for number, _ in best])),
                )
    return summary


def mean_and_deviation(numbers: list[float]) -> dict:
    """Mean, standard deviation (of a sample) and count."""
    deviation = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
    return dict(mean=float(np.mean(numbers)), std=deviation, runs=len(numbers))


def metrics_to_show(summary: dict, wanted: list[str] | None) -> list[str]:
    """The metrics asked for, or else the main ones of those that validation told."""
    for name in wanted or ():
        if name not in summary:
            known = ', '.join(summary)
            raise UnusableError(f'--metrics {name}: expected some of {known}')
    found = [name for name in MAIN if name in summary]
    return wanted or found or list(summary)[:3]


def check_fairness(entries: list[dict]) -> list[str]:
    """What differs between the runs of one seed that must not."""
    found = []
    for seed in sorted({entry['seed'] for entry in entries}):
        ones = [entry for entry in entries if entry['seed'] == seed]
        for key, said in (('weights', 'initial weights'), ('images', 'images trained')):
            if len({one[key] for one in ones}) > 1:
                told = ', '.join(f'{one["sampler"]} {one[key]}' for one in ones)
                found.append(f'seed {seed}: {said} differ: {told}')
    return found
