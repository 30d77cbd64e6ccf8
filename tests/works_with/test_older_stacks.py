"""MMEngine and MMDetection of earlier years."""

from __future__ import annotations

import os
import re

import pytest
from runner_configs import ROOT
from wheels import fetched, run_pytest

# What came out at about the same time; the last with the MMDetection of today.
STACKS = [
    ('mmengine==0.7.4', 'mmdet==3.0.0'),
    ('mmengine==0.8.5', 'mmdet==3.1.0'),
    ('mmengine==0.9.1', 'mmdet==3.2.0'),
    ('mmengine==0.10.4',),
]

# MMEngine 0.7 cannot print a config with a later one.
YAPF = ('yapf==0.40.1', 'importlib-metadata==6.8.0', 'zipp==3.16.2')

# What today's stack has to pass as well.
TESTS = (
    'tests/works_with/on_this_stack.py',
    'tests/pools/test_weights.py',
    'tests/hooks/test_resume_once.py',
    'tests/hooks/test_resume.py'
    '::test_a_resumed_run_trains_on_the_batches_that_were_left',
)


def test_the_extra_allows_the_oldest_that_is_tested_and_nothing_older():
    text = (ROOT / 'pyproject.toml').read_text()
    (extra,) = re.findall(r'^openmmlab = (.*)$', text, re.M)
    for requirement in STACKS[0]:
        assert f'"{requirement.replace("==", ">=")},' in extra


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get('MMDEFECT_STACK') == 'onedl', reason="OneDL's stack has no such past"
)
@pytest.mark.parametrize('stack', STACKS, ids=' '.join)
def test_an_older_stack_trains_and_resumes_as_the_newest_does(stack, tmp_path):
    folder = fetched(tmp_path, *stack, *(YAPF if stack == STACKS[0] else ()))
    for path in folder.glob('mmdet/__init__.py'):
        # Before 3.2 it refuses the mmcv that is compiled here, by its number only.
        text = path.read_text()
        limit = "mmcv_maximum_version = '2.1.0'"
        path.write_text(text.replace(limit, "mmcv_maximum_version = '2.2.0'"))
    run_pytest(folder, *TESTS, MMDEFECT_EXPECTED=' '.join(stack))
