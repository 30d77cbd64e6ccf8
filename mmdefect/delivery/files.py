"""What is said where a file of the dataset is missing or broken."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Any, Iterator

from mmdefect.images.transforms import reads_file, steps_of
from mmdefect.pools.unreadable import explain
from mmdefect.pools.walk import walk_configs


def check_image_directory(leaf: Any, loader: str = 'train_dataloader') -> None:
    """Check before training begins, once and not for each image, that it is there."""
    path = leaf.get_data_info(0).get('img_path') or '' if len(leaf) else ''
    directory = os.path.dirname(path)
    on_disk = any(
        reads_file(step)
        and getattr(step, 'backend_args', None) is None
        and getattr(step, 'file_client_args', None) is None
        for step in (steps_of(leaf) if hasattr(leaf, 'pipeline') else ())
    )
    if on_disk and directory and '://' not in path and not os.path.isdir(directory):
        raise FileNotFoundError(_missing(directory, 'data_prefix', loader))


@contextmanager
def missing_files(loader: str = 'train_dataloader') -> Iterator[None]:
    """Say of a missing annotation file which line of the config names it."""
    try:
        yield
    except FileNotFoundError as error:
        path = error.filename
        message = _missing(path, 'ann_file', loader) if path else str(error)
        raise FileNotFoundError(message) from None


@contextmanager
def broken_files(config: dict, loader: str = 'train_dataloader') -> Iterator[None]:
    """Say of a dataset that cannot be built what it was reading, and what is wrong."""
    try:
        yield
    except Exception as error:
        leaves = list(_leaves(config))
        causes = (explain(error, path, classes) for path, classes in leaves)
        files = ' or '.join(path for path, _ in leaves)
        missing = isinstance(error, FileNotFoundError)
        said = next(filter(None, causes), None)
        if said is None:
            if missing or not files or files in str(error) or not _reading(error):
                raise
            said = (
                f'{files} cannot be read, or leaves no image: {type(error).__name__}: '
                f'{error}; mend the file, or set ann_file and filter_cfg of the '
                f'dataset in {loader}, the innermost one'
            )
        raise (FileNotFoundError if missing else ValueError)(said) from error


def _reading(error: Exception) -> bool:
    # Whether annotations were being read.
    trace, names = error.__traceback__, set()
    while trace:
        names.add(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    return 'full_init' in names


def _leaves(config: Any) -> Iterator[tuple[str, Any]]:
    # Annotation file and class names of each dataset that has one.
    for part in walk_configs(config):
        path = part.get('ann_file')
        if isinstance(path, str):
            classes = (part.get('metainfo') or {}).get('classes')
            yield os.path.join(part.get('data_root') or '', path), classes


def _missing(path: str, key: str, loader: str) -> str:
    said = f'{path} does not exist'
    there = _undoubled(path)
    if there:
        said += f', while {there} does: a folder is named twice'
    return (
        f'{said}; set data_root and {key} of the dataset in {loader}, the innermost one'
    )


def _undoubled(path: str) -> str | None:
    # The path that is there, where folders stand in it twice in a row.
    parts = os.path.normpath(path).split(os.sep)
    for size in range(1, len(parts) // 2 + 1):
        for at in range(len(parts) - 2 * size + 1):
            end = at + size
            if parts[at:end] == parts[end : end + size]:
                shorter = os.sep.join(parts[:at] + parts[end:])
                if os.path.exists(shorter):
                    return shorter
    return None
