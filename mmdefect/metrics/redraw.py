"""Images drawn anew, with all photographs of a part: how often each score is drawn."""

from __future__ import annotations

import numpy as np


def redrawn(
    rng: np.random.Generator,
    level: np.ndarray,
    size: int,
    parts: np.ndarray | None,
    rounds: int,
) -> np.ndarray:
    """How often each of some scores is drawn, (rounds, size), of images (n,)."""
    if parts is not None and len(level):
        return counted(weights(rng, parts, rounds), level, size)
    counts = np.bincount(level, minlength=size)
    return rng.multinomial(len(level), counts / max(len(level), 1), rounds)


def weights(rng: np.random.Generator, parts: np.ndarray, rounds: int) -> np.ndarray:
    """How often each image is drawn, (rounds, n): as often as its part, (n,)."""
    _, which = np.unique(parts, return_inverse=True)
    number = which.max() + 1
    return rng.multinomial(number, np.full(number, 1 / number), rounds)[:, which]


def counted(weights: np.ndarray, level: np.ndarray, size: int) -> np.ndarray:
    """How often each score is drawn, (rounds, size), where images are so often."""
    return np.array([np.bincount(level, row, size) for row in weights])
