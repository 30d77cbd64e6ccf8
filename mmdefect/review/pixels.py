"""Photographs as people look at them, read as the pipeline reads them."""

from __future__ import annotations

import copy
from typing import Any, Sequence

import numpy as np

from mmdefect.analysis.errors import UnusableError


class Pixels:
    """Reads photographs from wherever the pipeline does: files, LMDB, a store."""

    def __init__(self, pipeline: Sequence[dict]) -> None:
        self.pipeline = pipeline
        self._loading: Any = None

    def __call__(self, info: dict) -> np.ndarray:
        """Pixels of a photograph, BGR, (height, width, 3), uint8."""
        try:
            return eight_bit(self._load(copy.deepcopy(info)))
        except Exception as error:  # whatever a transform raises for a broken file
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UnusableError(
                f'{info["img_path"]} cannot be read any more: {said}'
            ) from error

    def _load(self, results: dict) -> np.ndarray:
        if self._loading is None:
            from mmengine.dataset import Compose

            self._loading = Compose(copy.deepcopy(list(self.pipeline))).transforms
        for transform in self._loading:
            results = transform(results)
            if 'img' in results:
                return results['img']
        raise UnusableError('the test pipeline loads no image')


def eight_bit(pixels: np.ndarray) -> np.ndarray:
    """An image of any depth and number of channels as a screen shows it."""
    if pixels.dtype == np.uint16:
        pixels = pixels / 257
    pixels = pixels.clip(0, 255).astype(np.uint8)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1].repeat(3, 2)
