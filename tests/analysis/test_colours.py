"""A sampler has one colour in every picture."""

from __future__ import annotations

from mmdefect.analysis.colours import COLOURS, OF_SAMPLERS, colours_of


def test_a_sampler_keeps_its_colour_whatever_stands_beside_it():
    for names in (['stock', 'quota'], ['quota', 'weighted', 'stock']):
        assert colours_of(names) == {name: OF_SAMPLERS[name] for name in names}
    runs = ['defect_yolox', 'defect_yolox_stock']  # of the quickstart
    assert list(colours_of(runs).values()) == [
        OF_SAMPLERS['quota'],
        OF_SAMPLERS['stock'],
    ]


def test_as_many_runs_as_there_are_colours_have_one_each():
    names = ['quota', 'a_stock', 'stock', 'b', 'c', 'quota=2', 'd']
    found = colours_of(names)
    assert list(found) == names
    assert len(set(found.values())) == len(COLOURS)
