"""What is written is there wholly, or what was there before."""

from __future__ import annotations

import contextlib

from mmdefect.analysis.files import whole


def test_a_file_is_replaced_by_a_whole_one_or_kept(tmp_path):
    path = tmp_path / 'kept.txt'
    with whole(path) as part:
        part.write_text('whole')
    assert path.read_text() == 'whole'
    with contextlib.suppress(KeyboardInterrupt), whole(path) as part:
        part.write_text('ha')
        raise KeyboardInterrupt
    assert path.read_text() == 'whole'
    assert [p.name for p in tmp_path.iterdir()] == ['kept.txt']
