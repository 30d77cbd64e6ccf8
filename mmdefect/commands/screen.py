"""What commands print on: any terminal, or a reader who may stop reading."""

from __future__ import annotations

import codecs
import functools
import sys
from typing import Any

# In the place of characters that a terminal of ASCII or Windows does not have.
SPELLED = {
    '…': '...',
    '−': '-',
    '–': '-',
    '—': '-',
    '±': '+-',
    '×': 'x',
    '≤': '<=',
    '≥': '>=',
    '→': '->',
}


def print_anywhere() -> None:
    """Spell out what the terminal cannot show, in place of a UnicodeEncodeError."""
    codecs.register_error('mmdefect.spelled', _spelled)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):  # not where a notebook stands in
            stream.reconfigure(errors='mmdefect.spelled')


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return ''.join(SPELLED.get(letter, '?') for letter in missing), error.end


@functools.lru_cache(maxsize=None)
def _console_class() -> Any:
    from rich.console import Console

    class _Console(Console):
        # rich would end with status 1, which is "something found".
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return _Console


def screen(**options: Any) -> Any:
    """A console of rich, for text that it is not to colour by itself."""
    return _console_class()(highlight=False, **options)


def table(title: str | None, *columns: str, **options: Any) -> Any:
    """A table: names on the left, which may take several lines, figures right."""
    from rich.table import Table

    made = Table(title=title, **options)
    for number, name in enumerate(columns):
        if number:
            made.add_column(name, justify='right', no_wrap=True)
        else:
            made.add_column(name, overflow='fold')
    return made
