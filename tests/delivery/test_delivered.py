from __future__ import annotations

import pytest

from mmdefect.delivery.delivered import counted_classes

CLASSES = ('crack', 'dent', 'normal')


@pytest.mark.parametrize(
    ('drawn', 'counted'),
    [
        (['normal', 'crack'], {'crack'}),
        (['normal', 'crack', 'dent'], {'crack', 'dent'}),
        (['normal', 'crack', 'hard'], {'crack'}),
        (['normal', 'crack', 'defect'], set(CLASSES)),
        (['normal', 'defect'], set(CLASSES)),
        (['normal', 'hard'], set(CLASSES)),
        (['normal'], set(CLASSES)),
        (['all'], set(CLASSES)),
    ],
)
def test_an_image_counts_as_delivered_by_what_the_quota_names(drawn, counted):
    assert counted_classes(drawn, CLASSES) == counted
