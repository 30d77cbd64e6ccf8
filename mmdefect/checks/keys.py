"""Where a config has what a key such as ``train_dataloader.batch_size`` names."""

from __future__ import annotations

import re
from typing import Any


def look_up(cfg: Any, key: str) -> tuple[Any, Any]:
    """What stands under a key of a config, and what holds it."""
    *outer, last = re.findall(r'\w+', key)
    held = cfg
    for name in outer:
        try:
            held = held[int(name) if isinstance(held, (list, tuple)) else name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None, None
    return (held.get(last) if hasattr(held, 'get') else None), held
