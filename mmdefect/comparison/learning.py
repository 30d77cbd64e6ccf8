"""Is it worth collecting more defects? What a few trainings can say about it.

The error of a detector falls with the number of its examples as a power of it (Hestness
et al., "Deep Learning Scaling is Predictable, Empirically", 2017): a straight line on
logarithmic axes. It is drawn through all runs and told with its interval, to twice the
number at most: a line through few points says nothing about what is far away.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Sequence

import numpy as np

from mmdefect.analysis.colours import colours_of
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.pictures import plain_axis, plotting, write_figure
from mmdefect.comparison import split_name
from mmdefect.comparison.results import values
from mmdefect.metrics.rates import CONFIDENCE

METRIC = 'defect/escape_at_5'


class Fit(NamedTuple):
    """A power law through the runs."""

    # By what twice as many images multiply the rate: best guess, lower and upper end of
    # its interval.
    factor: tuple[float, float, float]
    # The rate with twice as many images as there are: the same.
    doubled: tuple[float, float, float]


class Trial(NamedTuple):
    """A run of the learning curve.

    Args:
        sampler (str): How it sampled.
        images (int): Defect images it trained on.
        rate (float): Its rate at the end.
    """

    sampler: str
    images: int
    rate: float


def report_learning(
    entries: Sequence[dict], figures: dict[str, dict], path: Path
) -> str:
    """Draw the learning curve, and say what it says."""
    rows = rows_of(entries, {name: figures[name]['defect_images'] for name in figures})
    draw_learning(rows, path)
    return '\n'.join(sentences_of(rows))


def rows_of(entries: Sequence[dict], images: dict[str, int]) -> list[Trial]:
    """The runs of a learning curve."""
    rows = []
    for entry in entries:
        curve = values(entry, METRIC)
        if curve:
            name = entry['sampler']
            rows.append(Trial(split_name(name)[0], images[name], curve[-1][1]))
    if not rows:
        raise UnusableError(f'no run told {METRIC}, which the learning curve shows')
    return rows


def fit(rows: Sequence[Trial]) -> Fit | None:
    """Draw a power law through runs of one sampler."""
    from scipy.stats import t

    numbers = np.log2([row.images for row in rows])
    rates = np.array([row.rate for row in rows])
    if len(rows) < 3 or len(set(numbers)) < 2 or not (rates > 0).all():
        return None
    y = np.log2(rates)
    centred = numbers - numbers.mean()
    slope = (centred * y).sum() / (centred**2).sum()
    left = y - y.mean() - slope * centred
    variance = (left**2).sum() / (len(rows) - 2)
    wide = t.ppf((1 + CONFIDENCE) / 2, len(rows) - 2)
    of_slope = wide * np.sqrt(variance / (centred**2).sum())
    far = numbers.max() + 1 - numbers.mean()
    of_far = wide * np.sqrt(variance * (1 / len(rows) + far**2 / (centred**2).sum()))
    reached = y.mean() + slope * far
    return Fit(
        _powers(slope, of_slope),
        tuple(min(rate, 1.0) for rate in _powers(reached, of_far)),  # type: ignore
    )


def _powers(middle: float, margin: float) -> tuple[float, float, float]:
    low, high = 2.0 ** (middle - margin), 2.0 ** (middle + margin)
    return float(2.0**middle), float(low), float(high)


def mean_rate(rows: Sequence[Trial], images: int) -> float:
    """The mean rate of the runs with a number of defect images."""
    return float(np.mean([row.rate for row in rows if row.images == images]))


def sentences_of(rows: Sequence[Trial]) -> list[str]:
    """What the learning curve says."""
    said = []
    for sampler in dict.fromkeys(row.sampler for row in rows):
        mine = [row for row in rows if row.sampler == sampler]
        counts = sorted({row.images for row in mine})
        means = [mean_rate(mine, count) for count in counts]
        text = f'{sampler}: {METRIC} ' + ', '.join(
            f'{mean:.3f} with {count} defect images'
            for count, mean in zip(counts, means)
        )
        law = fit(mine)
        if law is None:
            said.append(f'{text}. Too little to tell what more would bring.')
            continue
        factor, low, high = law.factor
        doubled = counts[-1] * 2
        guess = (
            f'Twice as many multiply it by {factor:.2f} ({low:.2f} to {high:.2f}, '
            f'{len(mine)} runs): about {law.doubled[0]:.3f} ({law.doubled[1]:.3f} to '
            f'{law.doubled[2]:.3f}) with {doubled}, if the line goes on so far'
        )
        verdict = 'whether more would help, these runs do not tell'
        if high < 1:
            verdict = 'more defect images help'
        elif low > 1:
            verdict = 'more defect images do not help this training'
        said.append(f'{text}. {guess}: {verdict}.')
    return said


def draw_learning(rows: Sequence[Trial], path: Path) -> None:
    """Draw the rate against the number of defect images."""
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    figure, axis = plotting().subplots(figsize=(6, 4.2), layout='constrained')
    for sampler, colour in colours_of(
        dict.fromkeys(row.sampler for row in rows)
    ).items():
        mine = [row for row in rows if row.sampler == sampler]
        counts = sorted({row.images for row in mine})
        means = [mean_rate(mine, count) for count in counts]
        axis.plot([r.images for r in mine], [r.rate for r in mine], '.', color=colour)
        axis.plot(counts, means, '-', color=colour, label=sampler)
        law = fit(mine)
        if law:
            guess, low, high = law.doubled
            far = 2 * counts[-1]
            axis.plot([counts[-1], far], [means[-1], guess], ':', color=colour)
            bars = [[guess - low], [high - guess]]
            axis.errorbar(far, guess, bars, color=colour, capsize=4, fmt='o', mfc='w')
    axis.set_xscale('log', base=2)
    axis.set_xticks(
        sorted({row.images for row in rows} | {2 * max(r.images for r in rows)})
    )
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_ylim(bottom=0)
    axis.set_xlabel('defect images trained on (dotted: extrapolated)')
    axis.set_ylabel(METRIC)
    plain_axis(axis)
    axis.legend(frameon=False)
    write_figure(figure, path, dpi=130)
