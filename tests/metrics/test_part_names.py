"""Which photographs show one part is read from metainfo, or refused."""

from __future__ import annotations

import pytest

from mmdefect.metrics.parts import numbered, part_names

PATHS = ['/a/t1_exp1.png', '/a/t1_exp2.png', '/a/t2_exp1.png']


def test_a_pattern_or_a_file_says_which_photographs_show_one_part(tmp_path):
    assert part_names(dict(pattern=r'(.*)_exp\d'), PATHS) == ['t1', 't1', 't2']
    path = tmp_path / 'parts.txt'
    path.write_text('t1_exp1.png 7\nt1_exp2.png 7\nt2_exp1.png 8\n')
    assert part_names(dict(file=str(path)), PATHS) == ['7', '7', '8']
    assert part_names(None, PATHS) == PATHS
    assert numbered(PATHS) is None


@pytest.mark.parametrize(
    ('said', 'told'),
    [
        ('(.*)_exp', 'expected dict'),
        (dict(pattern='.*'), 'with one group'),
        (dict(pattern='(t2)'), 'no part of 2 of 3 photographs, such as t1_exp1.png'),
    ],
)
def test_what_names_no_part_is_refused(said, told):
    with pytest.raises(ValueError, match=told):
        part_names(said, PATHS)
