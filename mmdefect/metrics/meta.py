"""What the datasets of a validation say of themselves: classes, and parts."""

from __future__ import annotations

from typing import Any, Sequence

from mmdefect.metrics.parts import part_names


def names_by_label(metas: Sequence[dict]) -> dict[int, str]:
    """The names of the classes by their labels, the same in all datasets."""
    names: dict[int, str] = {}
    for meta in metas:
        for label, name in enumerate(meta.get('classes') or ()):
            if names.setdefault(label, name) != name:
                raise ValueError(
                    f'label {label} is {names[label]!r} in one part of the validation '
                    f'dataset and {name!r} in another, and DefectImageMetric sees '
                    'labels only; set the same metainfo for all parts'
                )
    if not names:
        raise ValueError(
            'DefectImageMetric needs the names of the classes: give the validation '
            "dataset metainfo=dict(classes=('scratch', ...))"
        )
    return names


def part_of(metas: Sequence[dict]) -> Any:
    """How the parts of photographs are told, the same in all datasets; or None."""
    said, *others = [meta.get('part') for meta in metas]
    if any(other != said for other in others):
        raise ValueError(
            f'metainfo part={said!r} of one dataset is another in the next: set the '
            'same for all datasets of the validation'
        )
    part_names(said, [])  # refuses what cannot be read before any image is shown
    return said
