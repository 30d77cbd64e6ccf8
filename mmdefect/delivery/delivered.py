"""What still shows in what a pipeline made of an image."""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterable, Mapping, NamedTuple

from mmdefect.images.samples import upright
from mmdefect.pools.forms import COUNTEREXAMPLE, pasted_class, split_index
from mmdefect.pools.pools import RESERVED
from mmdefect.pools.source import source_of


def counted_classes(drawn: Iterable[str], classes: Iterable[str]) -> set[str]:
    """Classes of which an image must show one to count as delivered."""
    drawn, classes = set(drawn), set(classes)
    named = drawn & classes - set(RESERVED)
    return classes if 'defect' in drawn or not named else named


def shown_labels(sample: Any) -> list[int]:
    """Labels of what a sample shows."""
    instances = sample.gt_instances
    labels = instances.labels.tolist()
    boxes = upright(instances)
    if labels and boxes is not None:
        sides = (boxes[:, 2:] - boxes[:, :2]).amin(1).tolist()
        return [label for label, side in zip(labels, sides) if side >= 1]
    return labels


def delivered_classes(sample: Any, names: Mapping[int, str]) -> set[str]:
    """The classes for which a sample counts as delivered."""
    return {names[label] for label in shown_labels(sample) if label in names}


def shows(form: str, classes: set[str]) -> bool:
    """Whether an image arrived in the form in which it was drawn."""
    if form == COUNTEREXAMPLE:
        return not classes
    name = pasted_class(form)
    return name in classes if name else bool(classes)


class Count(NamedTuple):
    """Of the images of a pool: how many were drawn, and how many arrived as such."""

    pool: str
    quota: int  # images of a batch, or of `over` images, drawn for this pool
    drawn: int
    delivered: int


class Delivery(NamedTuple):
    """What came of a number of batches."""

    batches: int
    counts: list
    replaced: int  # images in whose place another image arrived
    over: int | None  # images over which the quota holds, if not a batch
    optimizer_step: str = ''  # what one holds
    replaced_in: dict | None = None  # by pool: how many of these, and one of them
    images: int = 0
    showing: int = 0  # of the images, those that show a defect of any image


def arrives_as_itself(dataset: Any, index: int, sample: Any) -> bool:
    """Whether a sample is made of the image that was drawn, and of no other."""
    return sample.img_path == dataset.get_data_info(index)['img_path']


def count_delivery(loader: Any, batches: Iterable[tuple[list, list]]) -> Delivery:
    """Compare what was drawn with what arrived."""
    dataset, batch_sampler = loader.dataset, loader.batch_sampler
    pools, defects = batch_sampler.sampler.pools, batch_sampler.sampler.defect_classes
    names = source_of(dataset).names(defects)
    members = {name: set(pool.tolist()) for name, pool in pools.items()}
    drawn: Counter = Counter()
    arrived: Counter = Counter()
    replaced_in: dict[str, tuple[int, int]] = {}
    number = replaced = images = showing = 0
    for indices, samples in batches:
        number += 1
        for drawn_index, sample in zip(indices, samples):
            form, index = split_index(dataset, drawn_index)
            shown = delivered_classes(sample, names.of(index))
            itself = arrives_as_itself(dataset, index, sample)
            replaced += not itself
            images, showing = images + 1, showing + bool(shown)
            for name in [form] if form else members:
                if not form and index not in members[name]:
                    continue
                drawn[name] += 1
                if not itself:
                    times, first = replaced_in.get(name, (0, drawn_index))
                    replaced_in[name] = (times + 1, first)
                if form:
                    arrived[name] += shows(form, shown)
                elif name == 'defect':
                    arrived[name] += bool(shown)
                elif name == 'normal':
                    arrived[name] += not shown
                else:
                    arrived[name] += name in shown if name in defects else itself
    quota = {share.pool: share.images for share in batch_sampler.plan.shares}
    counts = [
        Count(name, quota.get(name, 0), drawn[name], arrived[name])
        for name in dict.fromkeys([*pools, *drawn])
        if drawn[name]
    ]
    return Delivery(
        number,
        counts,
        replaced,
        batch_sampler.over,
        replaced_in=replaced_in,
        images=images,
        showing=showing,
    )
