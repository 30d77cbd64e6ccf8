"""The batches of a config, as they reach the model."""

from __future__ import annotations

import copy
from typing import Any, Iterator, Mapping, NamedTuple

import numpy as np

from mmdefect.analysis.config import has_quota, load_config, running
from mmdefect.analysis.dataloader import (
    build_hook,
    build_loader,
    draw_without_quota,
    keep_normal_images,
    load_batches,
    schedules,
)
from mmdefect.analysis.stock import stock
from mmdefect.delivery.delivered import delivered_classes
from mmdefect.images.samples import upright
from mmdefect.pools.forms import forms_of, split_index
from mmdefect.pools.source import source_of

# A defect that is cut at the edge of the image counts as a sliver below this side, in
# pixels: the smallest stride of most detectors.
SLIVER = 8
LOST, CUT = '(lost)', '(only a sliver)'


class Batch(NamedTuple):
    """One batch, as it reaches the model: a list of each of these by image."""

    images: list[np.ndarray]  # RGB, uint8 of shape (height, width, 3)
    samples: list  # their annotations, DetDataSample
    names: list  # of the classes, by label
    pools: list[int]  # number of the pool that each was drawn from
    marks: list[str]  # `LOST`, or `CUT` to a sliver; else ''
    place: str  # which batch of which epoch
    title: str  # how it was drawn, with how many defects, and how many arrived


def build_loaders(config: str, options: dict | None, against: bool) -> list:
    """Build the dataloader of a config, and before it that of stock if wanted."""
    from mmengine.registry import DATASETS
    from mmengine.runner import set_random_seed

    cfg = load_config(config, options)
    keep_normal_images(cfg)
    cfgs = [stock(copy.deepcopy(cfg)), cfg] if against else [cfg]
    if not has_quota(cfg):
        draw_without_quota(cfg)
    with running('the training dataloader cannot be built'):
        loaders = [
            build_loader(c, DATASETS.build(c.train_dataloader.dataset)) for c in cfgs
        ]
        for _, hook in schedules(cfg):
            build_hook(hook).apply(loaders[-1].batch_sampler)
    # Without worker processes, which have seeds of their own.
    set_random_seed((cfg.get('randomness') or {}).get('seed') or 0)
    return loaders


def load(loader: Any, pools: np.ndarray) -> Iterator[Batch]:
    """Load batches as training does, epoch by epoch."""
    names = source_of(loader.dataset).names()
    for epoch, step, indices, batch in load_batches(loader):
        plan = loader.batch_sampler.plan_at(epoch, step)
        marks = marks_of(loader, indices, batch)
        drawn = sum(mark is not None for mark in marks)
        lost, slivers = marks.count(LOST), marks.count(CUT)
        delivered = f'{drawn - lost} delivered'
        if slivers:
            delivered += f', {slivers} as a sliver'
        yield Batch(
            [as_image(tensor) for tensor in batch['inputs']],
            batch['data_samples'],
            [names.of(split_index(loader.dataset, index)[1]) for index in indices],
            pools[indices].tolist(),
            [mark or '' for mark in marks],
            f'epoch {epoch + 1}, batch {step + 1}',
            f'{sampling(plan)}: {drawn} drawn with a defect, {delivered}',
        )


def marks_of(loader: Any, indices: list, batch: dict) -> list[str | None]:
    """Tell what became of the defects of a batch."""
    sampler = loader.batch_sampler.sampler
    names = source_of(loader.dataset).names(sampler.defect_classes)
    drawn = np.isin(indices, sampler.pools['defect'])
    marks: list[str | None] = []
    arrived = zip(indices, batch['inputs'], batch['data_samples'], drawn)
    for index, image, sample, defect in arrived:
        labels = names.of(split_index(loader.dataset, index)[1])
        if not defect:
            marks.append(None)
        elif not delivered_classes(sample, labels):
            marks.append(LOST)
        else:
            cut = is_sliver(sample, labels, image.shape[-2:])
            marks.append(CUT if cut else '')
    return marks


def is_sliver(sample: Any, names: Mapping[int, str], shape: tuple) -> bool:
    """Whether no more shows of any defect than a narrow strip at the image's edge."""
    instances = sample.gt_instances
    counted = [label in names for label in instances.labels.tolist()]
    boxes = upright(instances)
    if boxes is None:
        return False
    boxes = boxes.numpy()[counted]
    height, width = shape
    narrow = (boxes[:, 2:] - boxes[:, :2]).min(1) < SLIVER
    at_edge = (boxes[:, :2].min(1) <= 1) | (
        (boxes[:, 2:] >= (width - 1, height - 1)).any(1)
    )
    return bool((narrow & at_edge).all())


def as_image(tensor: Any) -> np.ndarray:
    """Make an image of what a pipeline packs."""
    pixels = tensor.numpy()
    if pixels.dtype != np.uint8:
        pixels = np.nan_to_num(pixels.astype(np.float32))
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 255 or high <= 1:
            pixels = (pixels - low) * (255 / max(high - low, 1e-9))
        pixels = pixels.round().astype(np.uint8)
    if len(pixels) < 3:
        pixels = pixels[[0, 0, 0]]
    return np.ascontiguousarray(pixels[2::-1].transpose(1, 2, 0))


def pool_numbers(batches: Any) -> tuple[list[str], np.ndarray]:
    """Tell from which pool each image of a dataset is drawn."""
    pools = batches.sampler.pools
    shares = [share.pool for _, plan in batches.plans for share in plan.shares]
    classes = batches.sampler.defect_classes
    further = [name for name in pools if name not in classes and name != 'normal']
    drawn = [name for name in shares if name not in ('normal', 'all')]
    stored = [name for name in drawn if name in pools]
    names = ['normal', *dict.fromkeys([*stored, *further, *drawn])]
    forms, size = forms_of(batches.sampler.dataset), len(batches.sampler.dataset)
    starts = {name: forms.offset(name) for name in drawn if forms and name not in pools}
    numbers = np.zeros(max(starts.values(), default=0) + size, np.int64)
    for number in range(len(names) - 1, 0, -1):
        name = names[number]
        if name in starts:
            numbers[starts[name] : starts[name] + size] = number
        else:
            numbers[pools[name]] = number
    return names, numbers


def sampling(plan: Any) -> str:
    """Say in words what the batches of a plan are made of."""
    counts = {share.pool: share.images for share in plan.shares}
    named = [f'{n} {pool}' for pool, n in counts.items() if pool != 'normal']
    if 'all' in counts:
        return 'stock sampling'
    noun = 'image' if named and named[-1].startswith('1 ') else 'images'
    over = f' of every {plan.over}' if plan.over else ''
    return f'a quota of {" + ".join(named) or "no defect"} {noun}{over}'
