"""The fixes of findings as a new config, which can be checked and trained at once."""

from __future__ import annotations

import ast
import os
import re
from typing import Any, Sequence

from mmdefect.checks.finding import Finding
from mmdefect.checks.keys import look_up

# An argument, as it is written into a config; other fixes belong to annotation files.
ARGUMENT = re.compile(r'(\w+)=(.+)', re.DOTALL)
WIDTH = 80  # of a screen
# What stands for what is there now: a value of its own, or the first part of a list.
THERE = re.compile(r'(?<![\w.])\.\.\.')


def new_config(config: str, statements: Sequence[str], pure_python: bool) -> str:
    """The text of a config that mends another one."""
    name = os.path.basename(config)
    begin = [f'_base_ = {name!r}']
    if pure_python:
        begin = [
            'from mmengine.config import read_base',
            '',
            'with read_base():',
            f'    from .{os.path.splitext(name)[0]} import *',
            '',
        ]
    return '\n'.join([*begin, *statements, ''])


def statement(finding: Finding, cfg: Any, pure_python: bool = False) -> str:
    """The line of a new config that mends what a finding found."""
    argument = ARGUMENT.fullmatch(finding.fix)
    if argument is None or not _is_written(finding.fix):
        return ''
    key, value = argument.groups()
    path = finding.where
    if re.split(r'[.\[]', path)[-1] != key:
        path += f'.{key}'
    there, found = look_up(cfg, path)
    if found is None:
        return ''
    place = _in_pure_python(path) if pure_python else f'_base_.{path}'
    value = value.replace('_delete_=True, ', '')
    if value.startswith('[...'):
        kept = f'*{place}, ' if there else ''
        value = f'[{kept}{value[1:].partition(", ")[2]}'
    value = THERE.sub(place, value)
    line = f'{path if "." not in path else place} = {value}'
    if isinstance(there, dict) and value.startswith('dict(') and 'type=' not in value:
        line = f'{place}.update({value[len("dict(") :]}'
    if len(line) <= WIDTH or not line.endswith(')'):
        return line
    begin, _, arguments = line.partition('(')
    return f'{begin}(\n    {arguments[:-1]}\n)'


def _is_written(argument: str) -> bool:
    # A sentence may begin like an argument.
    try:
        ast.parse(f'dict({argument})', mode='eval')
    except SyntaxError:
        return False
    return True


def _in_pure_python(path: str) -> str:
    first, *inner = path.split('.')
    return first + ''.join(re.sub(r'^(\w+)', r"['\1']", name) for name in inner)
