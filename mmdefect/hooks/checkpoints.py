"""What torch may unpickle from a checkpoint of MMEngine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator

import torch
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.utils import digit_version

from mmdefect.hooks.stand_ins import STAND_INS


@contextmanager
def message_hub_allowed() -> Iterator[None]:
    """Let ``torch.load`` read MMEngine's checkpoints with ``weights_only=True``.

    MMEngine 0.10.7 writes its message hub into each checkpoint: ``HistoryBuffer``,
    NumPy's arrays and scalars, which torch >= 2.6 refuses. Inside this context torch
    finds stand-ins by their names. Whatever else a checkpoint asks for is refused as
    before, and outside torch's list is what it was.

    Older torch, and the loader of onedl-mmengine, which has a list of its own, are left
    alone. So read a checkpoint with MMEngine inside, not with ``torch.load``.
    """
    if digit_version(torch.__version__) < digit_version('2.6') or hasattr(
        mmengine_checkpoint, 'get_torch_safe_globals'
    ):
        yield
        return
    own = torch.serialization.get_safe_globals()
    # Of two entries with the same name, torch would take any.
    others = [entry for entry in own if _name(entry) not in STAND_INS]
    stand_ins = [(entry, name) for name, entry in STAND_INS.items()]
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals([*others, *stand_ins])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(own)


def _name(entry: Any) -> str:
    return (
        entry[1]
        if isinstance(entry, tuple)
        else f'{entry.__module__}.{entry.__qualname__}'
    )
