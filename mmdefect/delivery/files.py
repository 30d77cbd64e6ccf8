"""What is said where a file of the dataset is missing or broken."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any, Iterator

from mmdefect.delivery.steps import reads_file, steps_of


def check_image_directory(leaf: Any) -> None:
    """Check before training begins, once and not for each image, that it is there.

    Args:
        leaf: A dataset that is no wrapper. Only if it reads from the disk.

    Raises:
        FileNotFoundError: If the directory of its first image is missing.
    """
    path = leaf.get_data_info(0).get('img_path') or '' if len(leaf) else ''
    directory = os.path.dirname(path)
    on_disk = any(
        reads_file(step)
        and getattr(step, 'backend_args', None) is None
        and getattr(step, 'file_client_args', None) is None
        for step in (steps_of(leaf) if hasattr(leaf, 'pipeline') else ())
    )
    if on_disk and directory and '://' not in path and not os.path.isdir(directory):
        raise FileNotFoundError(_missing(directory, 'data_prefix'))


@contextmanager
def missing_files() -> Iterator[None]:
    """Say of a missing annotation file which line of the config names it.

    Raises:
        FileNotFoundError: Where the code inside raises it.
    """
    try:
        yield
    except FileNotFoundError as error:
        path = error.filename
        message = _missing(path, 'ann_file') if path else str(error)
        raise FileNotFoundError(message) from None


@contextmanager
def broken_files(config: dict) -> Iterator[None]:
    """Say of a dataset that cannot be built what it was reading.

    Args:
        config (dict): The config of the dataset.

    Raises:
        ValueError: Where the code inside raises it.
    """
    try:
        yield
    except ValueError as error:
        files = ' or '.join(_annotation_files(config))
        if not files or files in str(error):
            raise
        raise ValueError(
            f'{files} cannot be read, or leaves no image: {type(error).__name__}: '
            f'{error}; mend the file, or set ann_file and filter_cfg of the dataset in '
            'train_dataloader, the innermost one'
        ) from error


def _annotation_files(config: Any) -> list[str]:
    if isinstance(config, (list, tuple)):
        return [path for part in config for path in _annotation_files(part)]
    if not isinstance(config, dict):
        return []
    inner = [config.get('dataset'), config.get('datasets')]
    own = [config['ann_file']] if isinstance(config.get('ann_file'), str) else []
    root = config.get('data_root') or ''
    return [os.path.join(root, path) for path in own] + _annotation_files(inner)


def _missing(path: str, key: str) -> str:
    return (
        f'{path} does not exist; set data_root and {key} of the dataset in '
        'train_dataloader, the innermost one'
    )
