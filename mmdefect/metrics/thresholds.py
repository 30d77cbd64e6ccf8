"""The score to set, between two scores that were seen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

DIGITS = 9  # tell any two scores of a detector apart, which are float32


def shortest_between(low: Any, high: Any) -> float:
    """The shortest decimal fraction above one score and not above the next.

    Set as a threshold it sorts all images as any other number in between does, and it
    can be read, written down and typed.
    """
    kind = np.asarray(low).dtype.type
    for digits in range(1, DIGITS + 1):
        for after in (1, 2):  # a detector's 0.9, in float32, is a little less than 0.9
            value = (math.floor(float(low) * 10**digits) + after) / 10**digits
            if low < kind(value) <= high:
                return value
    return float(high if np.isfinite(high) else np.nextafter(low, high))
