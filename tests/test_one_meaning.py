"""A name means one thing: who finds a function need not ask which one is meant."""

from __future__ import annotations

import ast
from collections import defaultdict

from runner_configs import ROOT

# What each command has.
INTERFACE = {'parse_args', 'run', 'show', 'as_json'}


def test_a_reader_finds_one_meaning_of_each_name():
    places = defaultdict(list)
    for path in sorted((ROOT / 'mmdefect').rglob('*.py')):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                places[node.name].append(path.relative_to(ROOT).as_posix())
    twice = {
        name: files
        for name, files in places.items()
        # Names that start with _ and names of modules (__getattr__) are a file's own.
        if len(files) > 1 and name[0] != '_' and name not in INTERFACE
    }
    assert twice == {}
