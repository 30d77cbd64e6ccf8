"""Whether an argument is what it should be: what it got, what is expected, what to set.

``line`` is where a config has the argument, such as ``train_dataloader.batch_size``.
"""

from __future__ import annotations

from numbers import Real
from operator import index
from reprlib import repr as shorten
from typing import Any

import numpy as np


def check_type(value: Any, kinds: Any, expected: str, line: str, name: str = '') -> Any:
    """A value that is of a type."""
    if not isinstance(value, kinds):
        raise TypeError(
            f'{name or _name(line)}={shorten(value)}: expected {expected}; set {line}'
        )
    return value


def flag(value: Any, line: str) -> bool:
    """A value as a bool."""
    return check_type(value, bool, 'True or False', line)


def number(
    value: Any, line: str, least: float = 0, most: float = 1, what: str = 'a number'
) -> float:
    """A value as a number in ``[least, most]``, a share if nothing else is said."""
    kinds = () if isinstance(value, bool) else Real
    check_type(value, kinds, what, line)
    if not least <= value <= most:
        raise ValueError(
            f'{_name(line)}={value}: expected {least:g} … {most:g}; set {line}'
        )
    return value


def whole_number(
    value: Any,
    line: str,
    least: int | None = None,
    most: int | None = None,
    name: str = '',
) -> int:
    """A value as an int, of NumPy's too."""
    name = name or _name(line)
    try:
        if isinstance(value, (bool, np.bool_)):
            value = bool(value)
            raise TypeError
        count = index(value)
    except TypeError:
        raise TypeError(
            f'{name}={value!r}: expected an int, got {type(value).__name__}; set {line}'
        ) from None
    low = least is not None and count < least
    if low or (most is not None and count > most):
        expected = f'at least {least}' if least else '0 or more'
        expected = expected if most is None else f'{least} … {most}'
        raise ValueError(f'{name}={count}: expected {expected}; set {line}')
    return count


def _name(line: str) -> str:
    return line.rsplit('.', 1)[-1]
