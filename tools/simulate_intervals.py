"""Simulate how often the intervals of ``mmdefect review`` hold the true rate.

Parts look alike in their photographs: each defect part has a chance of its own to be
missed, from a beta distribution. What stands in mmdefect/README.md is printed.
"""

from __future__ import annotations

import argparse

import numpy as np

from mmdefect.metrics.rates import CONFIDENCE, Rate, rate_of

RATE = 0.3  # of the defects that escape
ALIKE = 0.3  # first parameter of the beta distribution: the smaller, the more alike


def by_part(rounds: int, parts: int = 45, each: int = 6) -> tuple[float, float]:
    """Share of the intervals that hold the rate: by part, and by photograph."""
    rng, held = np.random.default_rng(0), np.zeros(2)
    which = np.repeat(np.arange(parts), each)
    for _ in range(rounds):
        chance = rng.beta(ALIKE, ALIKE * (1 - RATE) / RATE, parts)
        missed = rng.random(parts * each) < chance[which]
        for number, evidence in enumerate((which, None)):
            low, high = rate_of(missed, evidence).interval()
            held[number] += low <= RATE <= high
    return tuple(held / rounds)


def of_the_best(rounds: int, tried: int, defects: int = 30) -> tuple[float, float]:
    """Share of upper ends below the rate: of the interval, of the bound of the best."""
    rng, below = np.random.default_rng(0), np.zeros(2)
    inside = 1 - (1 - CONFIDENCE) / 2
    for missed in rng.binomial(defects, RATE, (rounds, tried)).min(1).tolist():
        rate = Rate(missed, defects, defects, defects)
        ends = [rate.upper(inside), rate.upper(1 - (1 - inside) / tried)]
        below += np.array(ends) < RATE
    return tuple(below / rounds)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=4000, metavar='N')
    rounds = parser.parse_args().rounds
    print('45 parts of 6 photographs, 30 % escape; 95 % intervals that hold it:')
    print('  by part {:.1%}, by photograph {:.1%}'.format(*by_part(rounds)))
    for tried in (12, 30):
        print(f'best of {tried} alike checkpoints, 30 defect images; too low (2.5 %):')
        print(
            '  interval {:.1%}, bound of the best {:.1%}'.format(
                *of_the_best(rounds, tried)
            )
        )


if __name__ == '__main__':
    main()
