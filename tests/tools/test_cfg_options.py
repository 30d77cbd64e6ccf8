"""Settings from the command line."""

from __future__ import annotations

import argparse
import re

import pytest
from cfg_options import add_cfg_options
from runner_configs import ROOT


def parse(*options):
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    return parser.parse_args(['--cfg-options', *options]).cfg_options


def test_settings_are_read_as_mmengine_reads_them():
    assert parse('a.b=2', 'c=[1,2]') == {'a.b': 2, 'c': [1, 2]}


@pytest.mark.parametrize('option', ['quota', 'q={pit:[1,dent:2}', "p={'h':[1,2]}"])
def test_a_typing_error_costs_a_line_and_no_traceback(option, capsys):
    with pytest.raises(SystemExit, match='2'):
        parse(option)
    assert 'expected KEY=VALUE' in capsys.readouterr().err.splitlines()[-1]


def test_no_tool_has_settings_that_end_with_a_traceback():
    tools = {path.name: path.read_text() for path in ROOT.glob('tools/*.py')}
    assert [name for name, text in tools.items() if 'DictAction' in text] == [
        'cfg_options.py'
    ]
    assert sum(bool(re.search('add_cfg_options', text)) for text in tools.values()) > 8
