"""Names by which a text file lists images, as ``pools`` and ``weights`` read them."""

from __future__ import annotations

import os
from collections import Counter
from itertools import chain
from typing import Any

from mmdefect.pools.source import source_of


def image_names(dataset: Any) -> dict[str, str]:
    """Short names of all images of a dataset, which ``find_images`` finds."""
    infos = source_of(dataset).infos()
    by_path = {info['img_path']: str(info.get('img_id', '')) for info in infos}
    ends = {path: _ends(path) for path in by_path}
    taken = Counter(chain.from_iterable(ends.values()))
    taken.update(by_path.values())
    return {
        path: next((end for end in ends[path] if taken[end] == 1), by_path[path])
        for path in by_path
    }


def _ends(path: str) -> list[str]:
    parts = path.replace(os.sep, '/').split('/')
    ends = ['/'.join(parts[start:]) for start in range(len(parts))][::-1]
    # A line that begins so is a comment.
    return [end for end in ends if not end.startswith('#')]
