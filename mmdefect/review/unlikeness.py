"""How unlike the other normal photographs one is: defects that nobody labelled.

A detector was taught that such a defect is normal, and may well have learnt it. So
each patch of a photograph is looked for in the others, by the features of the
detector's own backbone, as in PatchCore (Roth et al., "Towards Total Recall in
Industrial Anomaly Detection", CVPR 2022), with random patches for its coreset.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Sequence

import numpy as np
from mmengine.logging import print_log

from mmdefect.analysis.config import running
from mmdefect.analysis.errors import UnusableError
from mmdefect.analysis.files import write_text
from mmdefect.analysis.tracking import Track, untracked
from mmdefect.review.photographs import Photographs
from mmdefect.review.scores import batch_size, loader, stamp

STRIDE = 16  # pixels of the network's input from patch to patch, where it has such
GRID = 20  # patches of a side at most
BANK, OF_EACH = 1000, 100  # photographs that others are compared with, their patches
MEMORY = 2**30  # bytes of features that are kept
# The part may have been photographed twice, or one kind of defect left out twice: what
# counts is how alike the second most alike photograph is.
NEAREST = 2


class Unlike(NamedTuple):
    """How unlike all others a photograph is."""

    distance: float  # of its strangest patch, in the backbone's features
    box: np.ndarray  # where that is, (4,): left, top, right, bottom in pixels


class Patches(NamedTuple):
    """What a backbone makes of a photograph.

    Args:
        features (torch.Tensor): (n, channels).
        boxes (np.ndarray): Where each patch is, (n, 4), in pixels of the file.
    """

    features: Any
    boxes: np.ndarray


def unlikeness(
    model: Any,
    cfg: Any,
    photographs: Photographs,
    kept: Path,
    track: Track = untracked,
) -> dict[int, Unlike]:
    """Compare the normal photographs with each other."""
    normal = [n for n, one in enumerate(photographs.images) if not one.is_defect]
    if len(normal) <= NEAREST:
        return {}
    paths = [photographs.images[n].path for n in normal]
    files = json.dumps([(path, stamp(path)) for path in paths])
    name = hashlib.sha256(files.encode()).hexdigest()[:12]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads(kept.read_text(encoding='utf-8'))
        if content['photographs'] == name:
            rows = zip(normal, content['distances'], content['boxes'])
            return {n: Unlike(distance, np.array(box)) for n, distance, box in rows}
    detector = model()
    if not hasattr(detector, 'backbone'):
        return {}
    try:
        compared = _compared(detector, cfg, photographs, normal, track)
    except UnusableError as error:
        said = 'suspects are those that the detector sees, none that look like no other'
        print_log(f'{said}: {error}', logger='current', level=logging.WARNING)
        return {}
    found = dict(zip(normal, compared))
    content = dict(
        photographs=name,
        distances=[one.distance for one in found.values()],
        boxes=[one.box.tolist() for one in found.values()],
    )
    write_text(kept, json.dumps(content))
    return found


def _compared(
    model: Any, cfg: Any, photographs: Photographs, normal: Sequence[int], track: Track
) -> list[Unlike]:
    import torch

    draw = np.random.default_rng(0)
    chosen = draw.choice(normal, min(BANK, len(normal)), replace=False).tolist()
    place = {n: number for number, n in enumerate(chosen)}
    # Features are the dear part, so those are kept that memory has room for.
    kept: dict[int, Patches] = {}
    bank = []
    room = MEMORY
    seen = track(
        _patches(model, cfg, photographs, chosen), 'what is normal', len(chosen)
    )
    for n, one in zip(chosen, seen):
        features = one.features
        bank.append(features[np.resize(draw.permutation(len(features)), OF_EACH)])
        room -= features.numel() * features.element_size()
        if room >= 0:
            kept[n] = one
    whole_bank = torch.cat(bank)
    squares = whole_bank.square().sum(1)
    left = _patches(model, cfg, photographs, [n for n in normal if n not in kept])
    found = []
    for n in track(normal, 'looking for unusual images', len(normal)):
        one = kept.pop(n, None) or next(left)
        # |f - b|², less the |f|² that all have in common
        distances = torch.addmm(squares, one.features, whole_bank.T, alpha=-2)
        nearest = distances.view(len(distances), len(chosen), OF_EACH).amin(2)
        if n in place:
            nearest[:, place[n]] = math.inf  # itself
        nearest = nearest.topk(NEAREST, largest=False).values[:, -1]
        nearest += one.features.square().sum(1)
        strangest = int(nearest.argmax())
        distance = math.sqrt(max(float(nearest[strangest]), 0))
        found.append(Unlike(distance, one.boxes[strangest]))
    return found


def _patches(
    model: Any, cfg: Any, photographs: Photographs, numbers: Sequence[int]
) -> Iterator[Patches]:
    size = batch_size(cfg)
    batches = [list(numbers[n : n + size]) for n in range(0, len(numbers), size)]
    for items in loader(photographs, batches, cfg):
        with running('the backbone cannot be run'):
            made = patches_of(model, items)
        yield from made


def patches_of(model: Any, items: Sequence[dict]) -> list[Patches]:
    """What the backbone of a detector makes of some photographs."""
    import torch
    from mmengine.dataset import pseudo_collate
    from torch.nn import functional

    with torch.no_grad():
        data = model.data_preprocessor(pseudo_collate(items), False)
        maps = model.backbone(data['inputs'])
    height, width = data['inputs'].shape[-2:]
    level = min(maps, key=lambda one: abs(math.log(width / one.shape[-1] / STRIDE)))
    level = functional.avg_pool2d(level, 3, 1, 1)
    rows, columns = (min(side, GRID) for side in level.shape[-2:])
    level = functional.adaptive_avg_pool2d(level, (rows, columns)).float()
    y, x = np.mgrid[:rows, :columns].reshape(2, -1) * [
        [height / rows],
        [width / columns],
    ]
    boxes = np.stack([x, y, x + width / columns, y + height / rows], 1)
    made = []
    for features, sample in zip(level, data['data_samples']):
        top, _, left, _ = sample.get('pad_param', (0, 0, 0, 0))
        scale = np.tile(sample.get('scale_factor', (1, 1))[:2], 2)
        placed = (boxes - [left, top, left, top]) / scale
        centres = (placed[:, :2] + placed[:, 2:]) / 2
        inside = ((centres >= 0) & (centres < sample.ori_shape[1::-1])).all(1)
        made.append(Patches(features.flatten(1).T[inside], placed[inside]))
    return made
