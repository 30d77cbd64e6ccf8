"""Trainings are watched without costing them time."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

from mmdefect.comparison import runs


def test_logs_that_grow_are_not_read_all_the_time(monkeypatch, tmp_path):
    read = []
    sleeping = [sys.executable, '-c', 'import time; time.sleep(2)']
    monkeypatch.setattr(runs, 'start', lambda *_: subprocess.Popen(sleeping))
    monkeypatch.setattr(
        runs, 'read_log', lambda f: read.append(f) or SimpleNamespace(iteration=7)
    )
    run = runs.Training('stock', 0, tmp_path)
    events = list(runs.train_all([run], 10, 1))
    assert read == [tmp_path]
    assert [(event.iterations, event.done) for event in events] == [(7, 0), (10, 1)]
