"""What ``test_older_stacks.py`` runs first: that the older packages are in use."""

from __future__ import annotations

import os

import mmdet
import mmengine


def test_the_older_packages_are_in_use():
    for requirement in os.environ['MMDEFECT_EXPECTED'].split():
        name, version = requirement.split('==')
        assert dict(mmengine=mmengine, mmdet=mmdet)[name].__version__ == version
