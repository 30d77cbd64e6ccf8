"""Building mmdefect: a wheel has the ready configs inside the package, for MIM.

A symbolic link in the tree would do the same, but not on Windows.
"""

from __future__ import annotations

from pathlib import Path

from setuptools.command import build_py

ROOT = Path(__file__).resolve().parents[1]


class BuildPy(build_py.build_py):
    """Copies ``configs`` to ``mmdefect/.mim/configs`` of what is built.

    An editable install runs from the checkout, which has them at its top.
    """

    def build_package_data(self) -> None:
        """Copy the package's data files, and the configs."""
        super().build_package_data()
        for path in self._configs():
            target = Path(self.build_lib, 'mmdefect/.mim', path)
            self.mkpath(str(target.parent))
            self.copy_file(str(path), str(target))

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
