"""Join the C++ files of mmcv's source package into a few translation units.

Nearly all of the time of compiling mmcv goes into torch's headers, once for each of
77 files. Joined into six units that include the files, the same ops take a sixth.

usage: python tools/join_units.py SOURCE_FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

UNITS = 6
# Of mmcv 2.1.0 and onedl-mmcv 2.3.6: they define the same names, or the macros `min`
# and `max`. So each stands last in its unit, with none of the others.
LAST = (
    'bezier_align.cpp',
    'psamask.cpp',
    'roi_align.cpp',
    'roi_align_rotated.cpp',
    'rotated_feature_align.cpp',
)


def join(source: Path) -> list[Path]:
    """Put units in the place of the files; the folders of other devices stay."""
    folder = source / 'mmcv' / 'ops' / 'csrc' / 'pytorch'
    last = [folder / 'cpu' / name for name in LAST]
    units = [[file] for file in last] + [[] for _ in range(UNITS - len(last))]
    others = {*folder.glob('*.cpp'), *(folder / 'cpu').glob('*.cpp')} - {*last}

    def size(files: list[Path]) -> int:
        return sum(file.stat().st_size for file in files)

    for file in sorted(others, key=lambda file: (-size([file]), file)):
        min(units, key=size).insert(0, file)
    for number, files in enumerate(units):
        # Named .inc, so that setup.py, which takes its files by *.cpp, passes them by.
        parts = [file.rename(file.with_suffix('.inc')) for file in files]
        lines = [f'#include "{part.relative_to(folder)}"\n' for part in parts]
        (folder / f'unit_{number}.cpp').write_text(''.join(lines))
    return sorted(folder.glob('unit_*.cpp'))


if __name__ == '__main__':
    print(*join(Path(sys.argv[1])), sep='\n')
