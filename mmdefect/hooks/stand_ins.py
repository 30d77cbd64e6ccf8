"""What stands in for the originals that a checkpoint of MMEngine names.

They make nothing but arrays and scalars of numbers and buffers of these. The originals
would not do: NumPy believes the flags of a pickled dtype, which can turn numbers into
pointers.
"""

from __future__ import annotations

from pickle import UnpicklingError
from typing import Any, Callable, NoReturn

import numpy as np
from mmengine.logging import HistoryBuffer

# Types of numbers that are the same on every machine, as a pickled dtype names them.
NUMBERS = (
    *('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8'),
    *('f2', 'f4', 'f8', 'c8', 'c16'),
)
# What a HistoryBuffer is pickled with: functions of its own, by name.
STATISTICS = ('min', 'max', 'mean', 'current')


class _DType:
    """Stands for ``numpy.dtype``."""

    dtype: np.dtype | None = None

    def __init__(self, code: Any, align: Any, copy: Any) -> None:
        if not isinstance(code, str) or code not in NUMBERS:
            _refuse(f'an array of {code!r}')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        for order in ('<', '>', '|'):
            if self.dtype and state == (3, order, None, None, None, -1, -1, 0):
                self.dtype = self.dtype.newbyteorder(order)
                return
        _refuse(f'a dtype with {state!r}')


class _Array(np.ndarray):
    """Stands for ``numpy.ndarray``, and is pickled and copied as one."""

    complete = False

    def __new__(cls) -> _Array:
        return super().__new__(cls, 0)

    def __setstate__(self, state: Any) -> None:
        # A second state would free the numbers that a tensor may share by now.
        if self.complete:
            _refuse('an array that changes')
        self.complete = True
        _, shape, kind, fortran, data = state
        array = _numbers(kind, data).reshape(shape, order='F' if fortran else 'C')
        super().__setstate__(array.__reduce__()[2])

    def __reduce_ex__(self, protocol: Any) -> Any:
        return np.array(self).__reduce_ex__(protocol)

    def __deepcopy__(self, memo: Any) -> np.ndarray:
        return np.array(self)


class _HistoryBuffer(HistoryBuffer):
    """Stands for ``HistoryBuffer``, and becomes one with its state."""

    def __init__(self) -> None:
        """Takes nothing: all is in the state."""

    def __setstate__(self, state: Any) -> None:
        keys = ('_log_history', '_count_history', 'max_length')
        values, counts, length = (state.get(key) for key in keys)
        if not type(values) is type(counts) is _Array or type(length) is not int:
            _refuse(f'a HistoryBuffer with {state!r}')
        self.__class__ = HistoryBuffer
        # Its own __setstate__ would take functions from the file, for all buffers.
        HistoryBuffer.__init__(self, values, counts, length)


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind is not _Array:
        _refuse(f'an array of class {kind!r}')
    return _Array()


def _scalar(kind: Any, data: Any) -> Any:
    numbers = _numbers(kind, data)
    if len(numbers) != 1:
        _refuse(f'a number of {len(data)} bytes')
    return numbers[0]


def _statistic(*arguments: Any) -> str:
    owner, name = arguments if len(arguments) == 2 else (None, None)
    if owner is not _HistoryBuffer or name not in STATISTICS:
        _refuse(f'getattr{arguments!r}')
    return name


def _numbers(kind: Any, data: Any) -> np.ndarray:
    if type(kind) is not _DType or kind.dtype is None or type(data) is not bytes:
        _refuse(f'an array of {kind!r} out of {type(data).__name__}')
    if kind.dtype == np.bool_:  # NumPy counts on 0 and 1
        return np.frombuffer(data, np.uint8) != 0
    return np.frombuffer(data, kind.dtype)


def _no_bytes() -> bytes:
    return b''  # as which those of an array without numbers are pickled


def _refuse(what: str) -> NoReturn:
    raise UnpicklingError(f'a checkpoint asks for {what}; refused')


# By the name that a checkpoint calls the original by. NumPy 2 moved its functions.
STAND_INS: dict[str, Callable] = {
    'builtins.bytes': _no_bytes,
    'builtins.getattr': _statistic,
    'mmengine.logging.history_buffer.HistoryBuffer': _HistoryBuffer,
    'numpy.dtype': _DType,
    'numpy.ndarray': _Array,
    'numpy.core.multiarray._reconstruct': _reconstruct,
    'numpy._core.multiarray._reconstruct': _reconstruct,
    'numpy.core.multiarray.scalar': _scalar,
    'numpy._core.multiarray.scalar': _scalar,
}
