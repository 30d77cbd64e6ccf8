"""What torch may unpickle from a checkpoint of MMEngine."""

from __future__ import annotations

from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version

# What MMEngine's message hub stores of a HistoryBuffer: its statistics by name.
STATISTICS = ('min', 'max', 'mean', 'current')


def allow_checkpoint_types() -> None:
    """Let ``torch.load`` read MMEngine's checkpoints with ``weights_only=True``.

    MMEngine 0.10.7 writes its message hub into each checkpoint, and torch >= 2.6
    refuses its types when it resumes. This puts exactly these types on torch's list of
    safe globals: ``HistoryBuffer`` and what NumPy needs to rebuild an array. In place
    of ``builtins.getattr``, which such a checkpoint calls too, stands a function that
    hands out the statistics of a ``HistoryBuffer`` and nothing else. A checkpoint with
    any other type is refused as before.
    """
    if digit_version(torch.__version__) < digit_version('2.6'):
        return  # does not restrict what it loads, unless asked to
    core = getattr(np, '_core', None) or np.core
    dtypes = getattr(np, 'dtypes', None)
    types: list[Any] = [HistoryBuffer, np.ndarray, np.dtype]
    types += [core.multiarray.scalar, core.multiarray._reconstruct]
    types += [getattr(dtypes, name) for name in getattr(dtypes, '__all__', ())]
    # Checkpoints name the functions by where the NumPy that wrote them kept them.
    types += [
        (core.multiarray.scalar, 'numpy.core.multiarray.scalar'),
        (core.multiarray.scalar, 'numpy._core.multiarray.scalar'),
        (core.multiarray._reconstruct, 'numpy.core.multiarray._reconstruct'),
        (core.multiarray._reconstruct, 'numpy._core.multiarray._reconstruct'),
        (_statistic, 'builtins.getattr'),
    ]
    torch.serialization.add_safe_globals(types)


def _statistic(*arguments: Any) -> Any:
    owner, name = arguments if len(arguments) == 2 else (None, None)
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise UnpicklingError(f'a checkpoint asks for getattr{arguments!r}; refused')
    return getattr(owner, name)
