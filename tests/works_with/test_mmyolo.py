"""MMYOLO, whose datasets, collate function and hooks go ways of their own."""

from __future__ import annotations

import re

import pytest
from wheels import fetched, run_pytest


@pytest.mark.slow
def test_its_detectors_train_deliver_resume_and_are_measured(tmp_path):
    folder = fetched(tmp_path, 'mmyolo==0.6.0', 'prettytable', 'wcwidth')
    # It refuses mmcv 2.1 by its number only.
    limits = folder / 'mmyolo/__init__.py'
    text = limits.read_text()
    limits.write_text(re.sub(r"(mmcv_maximum_version = )'.*'", r"\1'3.0.0'", text))
    run_pytest(folder, 'tests/works_with/on_mmyolo.py')
