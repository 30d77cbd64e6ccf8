"""Whether the pools that a config names are there, and hold something to draw."""

from __future__ import annotations

from typing import Any, Callable, Iterable, Mapping, Sequence

import numpy as np

from mmdefect.arguments import class_list
from mmdefect.checks.finding import Finding
from mmdefect.checks.spelling import nearest
from mmdefect.plan.quotas import LINE
from mmdefect.pools.pools import RESERVED
from mmdefect.pools.scan import Scan
from mmdefect.pools.walk import DATASET, walk_datasets


def check_defect_classes(
    defect_classes: Any,
    known: Iterable[str],
    line: str = 'train_dataloader.sampler.defect_classes',
) -> tuple[str, ...]:
    """The names of the classes that count as defects, among those of the dataset."""
    known = tuple(known)
    names = class_list(defect_classes, line) or known
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise ValueError(
                f'defect_classes names {name!r}, which is no class of the dataset'
                + (f'; did you mean {near!r}?' if near else '')
                + f' (the classes are {", ".join(known)}); set {line}'
            )
    return names


def check_pool_names(names: Iterable[Any], scanned: Scan) -> None:
    """Check the names of the user's own pools."""
    for name in names:
        if not isinstance(name, str):
            raise TypeError(
                f'pools has the name {name!r}: expected a string; '
                'set train_dataloader.sampler.pools'
            )
        if name in RESERVED or name in scanned.classes:
            raise ValueError(
                f'pools names a pool {name!r}, which mmdefect makes itself; '
                'give it another name in train_dataloader.sampler.pools'
            )


def check_quota_names(quota: Any, defect_classes: Sequence[str]) -> None:
    """Check that a quota for each class means the class by its name."""
    if not isinstance(quota, Mapping) or len(defect_classes) < 2:
        return
    for name in RESERVED:
        if name in quota and name in defect_classes:
            raise ValueError(
                f'quota={dict(quota)} names {name!r}, which is a class, beside '
                f'{len(defect_classes) - 1} others, and a pool of the images of all: '
                'give the class another name in its files and in metainfo, or set '
                f'train_dataloader.sampler.defect_classes={[name]} where the others '
                'are no defects'
            )


def check_pools(
    pools: Mapping[str, np.ndarray], defect_classes: Sequence[str], dataset: Any
) -> None:
    """Check that there is something to draw."""
    if not len(dataset):
        raise ValueError(
            f'the training dataset ({type(dataset).__name__}) holds no image; set '
            'train_dataloader.dataset, its ann_file and its filter_cfg'
        )
    if not len(pools['defect']):
        raise ValueError(
            f'none of {len(dataset):,} images shows a defect of the classes '
            f'{", ".join(defect_classes)}; set train_dataloader.dataset.metainfo to '
            'the category names of the annotation file, or '
            'train_dataloader.sampler.defect_classes'
        )
    if len(pools['normal']):
        return
    extra = [name for name in pools if name not in (*RESERVED, *defect_classes)]
    if len(pools['defect']) < len(dataset) and extra:
        raise ValueError(
            f'the pools {", ".join(extra)} leave no normal image of {len(dataset):,}; '
            'list fewer images in train_dataloader.sampler.pools'
        )
    drops = {
        where: bool((vars(part).get('filter_cfg') or {}).get('filter_empty_gt'))
        for where, part in walk_datasets(dataset)
        if 'filter_cfg' in vars(part)
    }
    dropping = [where for where in drops if drops[where]] or [DATASET]
    raise ValueError(
        f'all of {len(dataset):,} images show a defect, so there is no normal image to '
        'fill the batches with. '
        + (
            'The annotation files list images with a defect only: list the normal ones '
            "too, in a COCO file under 'images' without annotations, in PASCAL VOC's "
            'format with an XML file without objects'
            if drops and not any(drops.values())
            else 'MMDetection drops images without boxes while loading where '
            'filter_cfg.filter_empty_gt=True; set '
            + ' and '.join(
                f'{where}.filter_cfg=dict(filter_empty_gt=False)' for where in dropping
            )
        )
    )


def check_weights(weights: np.ndarray, normal: np.ndarray) -> None:
    """Check that all normal images weigh the same."""
    found = weights[normal]
    values, times = np.unique(found, return_counts=True)
    usual = values[times.argmax()]
    others = np.flatnonzero(found != usual)
    if len(others):
        raise ValueError(
            f'weights: {len(others):,} of {len(normal):,} normal images weigh '
            f'otherwise than the rest, the first {found[others[0]]:g} (image '
            f'{normal[others[0]]}) instead of {usual:g}. An epoch shows each normal '
            'image once, whatever it weighs: give all the same weight in '
            'train_dataloader.sampler.weights, and list those to be drawn more often '
            'in train_dataloader.sampler.pools'
        )


def check_draws(batch_sampler: Any) -> list[Finding]:
    """Check that a quota, or one of its schedule, draws from a pool at all."""
    drawn = {share.pool for _, plan in batch_sampler.plans for share in plan.shares}
    if drawn != {'normal'}:
        return []
    return [
        Finding(
            LINE,
            f'quota={batch_sampler.quota!r} draws no defect image',
            'every batch holds normal images only, unless QuotaScheduleHook raises it',
            'quota=1',
        )
    ]


def missing_pools(
    pools: Mapping[str, Any],
    shares: Iterable[str],
    count: Callable[[np.ndarray], int] = len,
) -> dict[str, int]:
    """Images that a quota never draws."""
    if 'all' in shares:
        return {}
    size = 1 + max(pool[-1] for pool in pools.values() if len(pool))
    drawn = np.zeros(size, bool)
    for name in shares:
        drawn[pools[name]] = True
    left = {
        name: count(pool[~drawn[pool]])
        for name, pool in pools.items()
        if name not in ('all', 'defect')
    }
    return {name: count for name, count in left.items() if count}


def check_drawn(
    missing: Mapping[str, int],
    counts: Mapping[str, int],
    classes: Sequence[str],
    images: int,
) -> list[Finding]:
    """Say which images a quota never draws, and which quota would."""
    if not missing:
        return []
    # One from all defects reaches those of every class.
    names = {name if name not in classes else 'defect' for name in missing}
    wanted = {**counts, **dict.fromkeys(sorted(names), 1)}
    fits = sum(wanted.values()) < images
    told = ', '.join(f'{number:,} {name}' for name, number in missing.items())
    return [
        Finding(
            LINE,
            f'never drawn, because no quota reaches them: {told} images',
            'what they show is never learned',
            f'quota={wanted}' if fits else '',
        )
    ]
