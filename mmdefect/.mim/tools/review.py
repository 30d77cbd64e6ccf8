"""What ``mim run mmdefect review`` runs: the command ``mmdefect review``."""

import os
import sys

# This folder holds an inspect.py, which is not Python's own.
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path or '.') != here]

from mmdefect.commands.main import main  # noqa: E402

sys.exit(main(['review', *sys.argv[1:]]))
