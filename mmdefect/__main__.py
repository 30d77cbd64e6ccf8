"""``python -m mmdefect``, the same as the command ``mmdefect``."""

import sys

from mmdefect.commands.main import main

if __name__ == '__main__':
    sys.exit(main())
