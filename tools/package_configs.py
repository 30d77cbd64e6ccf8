"""Building mmdefect: a wheel has what MIM looks for, which no checkout needs.

``mmdefect/.mim/configs`` are the ready configs. A symbolic link in the tree would do
the same, but not on Windows. ``mmdefect/.mim/tools`` has a script for each command,
which ``mim run mmdefect COMMAND`` runs. ``mmdefect/.mim/model-index.yml`` lists the
ready configs for ``mim search mmdefect``.
"""

from __future__ import annotations

from pathlib import Path

from setuptools.command import build_py

ROOT = Path(__file__).resolve().parents[1]

MODEL = """\
  - Name: {0}
    In Collection: mmdefect
    Config: configs/{0}.py
    Metadata:
      Task: Object Detection
"""

SCRIPT = '''"""What ``mim run mmdefect {name}`` runs."""

import os
import sys

# This folder holds an inspect.py, which is not Python's own.
here = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if os.path.abspath(path or '.') != here]

from mmdefect.commands.main import main  # noqa: E402

sys.exit(main(['{name}', *sys.argv[1:]]))
'''


def commands() -> list[str]:
    """The commands, which cannot be imported where nothing is installed yet."""
    modules = sorted(ROOT.glob('mmdefect/commands/*.py'))
    return [
        path.stem for path in modules if '\ndef parse_args(' in path.read_text('utf-8')
    ]


class BuildPy(build_py.build_py):
    """Adds ``mmdefect/.mim`` to what is built.

    MIM looks for none of it where mmdefect is installed editable, from a checkout.
    """

    def build_package_data(self) -> None:
        """Copy the package's data files and the configs, and write the scripts."""
        super().build_package_data()
        folder = Path(self.build_lib, 'mmdefect/.mim')
        for path in self._configs():
            target = folder / path
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))
        self.mkpath(str(folder / 'tools'))
        for name in commands():
            script = SCRIPT.format(name=name)
            (folder / f'tools/{name}.py').write_text(script, encoding='utf-8')
        models = [MODEL.format(path.stem) for path in sorted(ROOT.glob('configs/*.py'))]
        (folder / 'model-index.yml').write_text(
            'Collections:\n  - Name: mmdefect\nModels:\n' + ''.join(models)
        )

    def get_source_files(self) -> list[str]:
        """What a source distribution needs, so that a wheel can be built from it."""
        return [
            *super().get_source_files(),
            *map(str, self._configs()),
            str(Path(__file__).relative_to(ROOT)),
        ]

    def _configs(self) -> list[Path]:
        found = ROOT.glob('configs/**/*.py')
        return sorted(path.relative_to(ROOT) for path in found)
