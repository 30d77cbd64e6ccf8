"""What DefectPreservingDataset refuses."""

from __future__ import annotations

from typing import Any

from mmdefect.arguments import check_type, number, whole_number
from mmdefect.checks.dataset import inner_wrappers
from mmdefect.checks.finding import tell
from mmdefect.pools.walk import DATASET


def check_arguments(
    max_retries: Any, min_area_ratio: Any, paste: Any, pipeline: Any
) -> None:
    """Check the arguments by themselves."""
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
    tell(inner_wrappers(dataset, f'{DATASET}.dataset'))
