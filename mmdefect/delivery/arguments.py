"""What DefectPreservingDataset refuses."""

from __future__ import annotations

from typing import Any, Iterable, Sequence

from mmdefect.arguments import check_type, number, whole_number
from mmdefect.pools.walk import DATASET, WRAPPER, is_a, walk_datasets


def check_known_classes(names: Sequence[str], known: Iterable[Sequence[str]]) -> None:
    """Check that the defect classes are classes of the dataset."""
    classes = dict.fromkeys(name for of_leaf in known for name in of_leaf)
    for name in names:
        if name not in classes:
            raise ValueError(
                f'defect_classes names {name!r}, which is no class of the dataset. The '
                f'classes are {", ".join(classes)}; set {DATASET}.defect_classes'
            )


def check_arguments(
    classes: Any, max_retries: Any, min_area_ratio: Any, paste: Any, pipeline: Any
) -> None:
    """Check the arguments by themselves."""
    if classes is not None and (
        isinstance(classes, str)
        or not isinstance(classes, Sequence)
        or not all(isinstance(name, str) for name in classes)
    ):
        raise TypeError(
            f'defect_classes={classes!r}: expected a list of class names, or None for '
            f'every class; set {DATASET}.defect_classes'
        )
    if classes is not None and not classes:
        raise ValueError(
            'defect_classes is empty: expected a class name at least, or None for '
            f'every class; set {DATASET}.defect_classes'
        )
    whole_number(max_retries, f'{DATASET}.max_retries', 0)
    number(min_area_ratio, f'{DATASET}.min_area_ratio', what='a float')
    if paste is not None:
        expected = 'a dict of arguments of PasteDefect'
        check_type(paste, dict, expected, f'{DATASET}.paste')
    if pipeline is not None:
        expected = 'a list of transforms, or None for those of the dataset inside'
        check_type(pipeline, (list, tuple), expected, f'{DATASET}.pipeline')


def check_wrapped(dataset: Any) -> None:
    """Check that a dataset can be wrapped."""
    lacking = [
        name
        for name in ('get_data_info', '__getitem__', '__len__')
        if not hasattr(dataset, name)
    ]
    if lacking:
        raise TypeError(
            f'DefectPreservingDataset got a {type(dataset).__name__}, which has no '
            f'{lacking[0]}: expected a dataset of MMDetection, or a dict with the '
            f'config of one; set {DATASET}.dataset'
        )
    for where, part in walk_datasets(dataset, f'{DATASET}.dataset'):
        if is_a(part, WRAPPER):
            raise ValueError(
                f'{where} is a second DefectPreservingDataset: expected one, '
                f'outermost; put what it holds in its place'
            )
