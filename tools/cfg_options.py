"""``--cfg-options``, as every tool here takes them."""

from __future__ import annotations

import argparse
from typing import Any

from mmengine.config import DictAction


class _OneLineAction(DictAction):
    # MMEngine's own ends with a traceback where something cannot be read.
    def __call__(self, parser: Any, namespace: Any, values: Any, *rest: Any) -> None:
        try:
            super().__call__(parser, namespace, values, *rest)
        except (ValueError, AssertionError, RecursionError):
            said = f'--cfg-options {" ".join(values)}: expected KEY=VALUE, where VALUE '
            parser.error(f'{said}is a number, a word, or [a,b] of these')


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Let a command take settings that override its config.

    Args:
        parser (argparse.ArgumentParser): The parser of the command.
    """
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_OneLineAction,
        metavar='KEY=VALUE',
        help='settings that override the config, as in `mim train`',
    )
