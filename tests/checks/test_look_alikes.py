"""Other photographs of the parts that were trained on are asked about."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mmdefect.checks import look_alikes
from mmdefect.checks.look_alikes import check_look_alikes

SIDE = 160  # pixels


@pytest.fixture
def draw(tmp_path):
    """Writes photographs of some parts in some light, on what all have in common."""
    rng = np.random.default_rng(0)

    def smooth(number, sigma):
        noise = np.random.default_rng(number).standard_normal((SIDE, SIDE))
        blurred = cv2.GaussianBlur(noise, (0, 0), sigma)
        return blurred / blurred.std()

    def write(name, parts, light=1.0, common=0):
        paths = []
        for part in parts:
            surface = 10 * smooth(part, 4) + common * smooth(10**6, 6)
            pixels = light * (110 + surface) + rng.normal(0, 3, (SIDE, SIDE))
            path = str(tmp_path / f'{name}{part}.png')
            cv2.imwrite(path, pixels.clip(0, 255).astype(np.uint8))
            paths.append(path)
        return paths

    return write


def asked(ours, theirs, defects=()):
    shows = {path: path in defects for path in ours}
    return list(check_look_alikes(shows, theirs, 'val_dataloader.dataset'))


def test_other_exposures_of_the_same_parts_are_asked_about(draw):
    theirs = draw('train', range(40))
    ours = draw('val', range(30, 60), light=1.6)
    (note,) = asked(ours, theirs, defects=ours[:4])
    assert not note.breaks
    assert '6 of 26 normal and 4 of 4 with a defect' in note.what
    example = note.what.split('such as ')[1]
    mine, other = (path.rsplit('/', 1)[1] for path in example.split(' and '))
    assert mine.replace('val', 'train') == other


def test_other_parts_are_not_however_alike_all_of_them_are(draw):
    for common in (0, 20):
        theirs = draw('train', range(40), common=common)
        assert asked(draw('val', range(40, 70), common=common), theirs) == []


def test_what_is_no_photograph_or_shows_nothing_is_like_nothing(draw, tmp_path):
    theirs = draw('train', range(10))
    for number in range(20):
        path = tmp_path / f'{number}.png'
        if number % 2:
            path.write_text('no image')
        else:
            cv2.imwrite(str(path), np.full((SIDE, SIDE), 7, np.uint8))
        theirs.append(str(path))
    assert asked([*theirs[10:], str(tmp_path / 'gone.png')], theirs) == []
    assert asked([], theirs) == []


def test_of_many_photographs_a_sample_is_compared_and_that_is_said(draw, monkeypatch):
    monkeypatch.setattr(look_alikes, 'OURS', 12)
    theirs, ours = draw('train', range(24)), draw('val', range(24), light=0.7)
    (note,) = asked(ours, theirs)
    assert '12 of 12 normal in a sample of 12 of 24' in note.what
    monkeypatch.setattr(look_alikes, 'BYTES', 1)
    assert asked(ours, theirs) == []
