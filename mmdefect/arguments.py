"""Whether an argument is what it should be: what it got, what is expected, what to set.

``line`` is where a config has the argument, such as ``train_dataloader.batch_size``.
"""

from __future__ import annotations

from numbers import Real
from operator import index
from reprlib import repr as shorten
from typing import Any, Iterable

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
    value: Any,
    line: str,
    least: float = 0,
    most: float = 1,
    what: str = 'a number',
    ends: bool = True,
) -> float:
    """A value as a number in ``[least, most]``, or inside without its ends."""
    kinds = () if isinstance(value, bool) else Real
    check_type(value, kinds, what, line)
    if not least <= value <= most or (not ends and value in (least, most)):
        expected = f'{least:g} … {most:g}' + ', without its ends' * (not ends)
        raise ValueError(f'{_name(line)}={value}: expected {expected}; set {line}')
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


def class_list(names: Any, line: str) -> tuple[str, ...] | None:
    """Names of the classes that count as defects; None is every class."""
    if names is None:
        return None
    listed = isinstance(names, Iterable) and not isinstance(names, str)
    if not listed or not all(isinstance(name, str) for name in names):
        expected = 'a list of class names, or None for every class'
        raise TypeError(f'{_name(line)}={names!r}: expected {expected}; set {line}')
    if not len(names) or len(set(names)) < len(names):
        raise ValueError(
            f'{_name(line)}={[*names]}: expected at least one class name and none '
            f'twice, or None for every class; set {line}'
        )
    return tuple(names)


def _name(line: str) -> str:
    return line.rsplit('.', 1)[-1]
