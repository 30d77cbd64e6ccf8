"""MMRotate, whose boxes have an angle."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from wheels import fetched, run_pytest


@pytest.mark.slow
def test_rotated_detectors_train_deliver_resume_and_are_measured(tmp_path):
    folder = fetched(tmp_path, 'mmrotate-dev==1.0.1')
    if find_spec('torchvision') is None:
        # MMRotate imports it for one detector, which is not trained here.
        (folder / 'torchvision.py').write_text("__version__ = '0'\ntransforms = None\n")
    run_pytest(folder, 'tests/works_with/on_mmrotate.py')
