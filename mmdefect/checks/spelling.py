"""Names that mean the same, or may."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Iterable, Sequence
from unicodedata import normalize


def plain(name: object) -> str:
    """A name without what is written in one way here and in another there."""
    text = normalize('NFKC', str(name)).casefold()
    return re.sub(r'[\W_]+', '', text) or text


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that is most like another one."""
    known = {plain(each): each for each in names}
    found = get_close_matches(plain(name), known, n=1)
    return known[found[0]] if found else None


def alike(name: object, meant: str) -> str:
    """What is said of a name where the eye sees no difference to the one meant."""
    if not isinstance(name, str):
        return '; a name is text, in quotes'
    if normalize('NFC', name) != normalize('NFC', meant):
        return ''
    return (
        '; both look alike, but one is written with composed characters and the other '
        f'with letters and accents: {name!a} and {meant!a}'
    )


def shorten(names: Sequence[str], limit: int = 10) -> str:
    """Names as a tuple, the first of them."""
    more = ' and so on' if len(names) > limit else ''
    return str(tuple(names[:limit])) + more
