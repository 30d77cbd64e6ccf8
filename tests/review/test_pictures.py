"""What is drawn of a review promises no more than the images can prove."""

from __future__ import annotations

import numpy as np

from mmdefect.review import pictures
from mmdefect.review.operating import make_curve, point_at
from mmdefect.review.photographs import Photograph


def test_no_band_is_drawn_where_nothing_can_be_proved(monkeypatch):
    rng = np.random.default_rng(0)
    curve = make_curve(rng.random(60), np.arange(60) < 20)
    drawn = []
    band = pictures.band
    monkeypatch.setattr(pictures, 'band', lambda c, x: drawn.append(x) or band(c, x))
    pictures.draw_curve({'a': curve}, {'a': point_at(curve, 30)}, (4, 3))
    assert drawn[0].min() >= curve.overkill.provable > 0.05


def test_a_small_defect_is_shown_from_nearby_at_full_resolution():
    pixels = np.zeros((3000, 4000, 3), np.uint8)
    pixels[1500:1520, 2000:2020] = 255
    box = np.array([[2000.0, 1500, 2020, 1520]])
    none = np.zeros((0, 4))
    image = Photograph('a#b?%20.png', box, np.array([0]), none, {})
    shown = pictures.picture(image, none, pixels)
    assert shown.near
    left, top, width, height = shown.view
    assert left < 2000 < 2020 < left + width < 2200
    assert top < 1500 < 1520 < top + height < 1700
