"""How every command is called, shows progress, writes files and ends."""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
import textwrap
import time
from typing import Any, Iterable, Iterator, TypeVar

from mmdefect.commands.screen import screen

Item = TypeVar('Item')

PAUSE = 10  # seconds between two lines about progress


def quiet_interruptions() -> None:
    """Let Ctrl-C and a polite ``kill`` end this process without a traceback.

    It ends with the status of an interruption, 130. To be called before what takes
    seconds to import.
    """
    sys.excepthook = _tell
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _tell(kind: type[BaseException], error: Any, trace: Any) -> None:
    # Python itself then ends with the status of an interruption.
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


class _Formatter(argparse.HelpFormatter):
    # Paragraphs are filled, indented lines such as examples are kept.
    def _fill_text(self, text: str, width: int, indent: str) -> str:
        blocks = []
        for kept, lines in itertools.groupby(
            text.strip().splitlines(), lambda line: not line or line.startswith(' ')
        ):
            block = '\n'.join(lines)
            filled = textwrap.fill(block, width, break_on_hyphens=False)
            blocks.append(block if kept else filled)
        return '\n'.join(blocks)


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line, and whose help fits the screen."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Formatter, **options)

    def error(self, message: str) -> Any:
        """Print ``message`` and exit with 2."""
        self.exit(2, f'{self.prog}: error: {" ".join(message.split())}\n')


def progress(
    items: Iterable[Item], description: str, total: int | None = None
) -> Iterator[Item]:
    """Go through items, and show how far it is."""
    from rich.progress import Progress

    total = len(items) if total is None else total  # type: ignore[arg-type]
    console = screen(stderr=True)
    if console.is_terminal:
        # What is printed meanwhile may be meant for a file, not for this screen.
        bar = Progress(
            *Progress.get_default_columns(),
            console=console,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        with bar:
            yield from bar.track(items, total, description=description)
        return
    begin = spoken = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - spoken > PAUSE:
            spoken = now
            left = f'about {(now - begin) * (total - done) / done:,.0f} s left'
            print(f'{description}: {done:,} of {total:,}, {left}', file=sys.stderr)
        yield item


def percent_of(share: float) -> str:
    """A share as people read it."""
    return f'{share:.1%}'.replace('%', ' %')


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Let a command take settings that override its config."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=_CfgOptionsAction,
        metavar='KEY=VALUE',
        help='settings that override the config, as in `mim train`',
    )


class _CfgOptionsAction(argparse.Action):
    # Reads them as MMEngine does, which is imported only where there are some; its own
    # action ends with a traceback where something cannot be read.
    def __call__(self, parser: Any, namespace: Any, values: Any, *rest: Any) -> None:
        from mmengine.config import DictAction

        try:
            DictAction(self.option_strings, self.dest)(parser, namespace, values, *rest)
        except (ValueError, AssertionError, RecursionError):
            said = f'--cfg-options {" ".join(values)}: expected KEY=VALUE, where VALUE '
            parser.error(f'{said}is a number, a word, or [a,b] of these')
