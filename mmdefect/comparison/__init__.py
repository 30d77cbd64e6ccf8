"""Samplers compared: the same training, with images drawn another way."""

from __future__ import annotations

import re

PLAIN = ('stock', 'class_balanced', 'class_aware', 'weighted')
WITH_QUOTA = ('quota', 'quota_unpreserved', 'quota_schedule')
# What is shown where nothing else is asked for.
MAIN = ('defect/auroc', 'defect/escape_at_5', 'coco/bbox_mAP_50')

QUOTA = re.compile(r'quota=(\d+)((?:,(?!defect=)\w+=\d+)*)')


def quota_of(name: str) -> int | dict[str, int] | None:
    """The quota that a sampler's name asks for: ``quota=2,pasted=2``, for example."""
    match = QUOTA.fullmatch(name)
    if match is None:
        return None
    number, others = match.groups()
    if not others:
        return int(number)
    pairs = [other.split('=') for other in others[1:].split(',')]
    quota = dict(defect=int(number), **{pool: int(count) for pool, count in pairs})
    return quota if len(quota) == 1 + len(pairs) else None  # a pool named twice


def name_of(sampler: str, share: float) -> str:
    """What a run with a part of the defect images is called."""
    return sampler if share == 1 else f'{sampler}@{share:g}'


def split_name(name: str) -> tuple:
    """The sampler of a run's name, and its share of the defect images."""
    sampler, _, share = name.partition('@')
    return sampler, float(share or 1)
