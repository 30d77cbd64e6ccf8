"""Files that are there wholly or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Iterator


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file, all of it or nothing."""
    part = path.with_name(f'.{path.stem}.{os.getpid()}.part{path.suffix}')
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text, all of it or nothing."""
    with whole(path) as part:
        part.write_text(text, encoding='utf-8')
