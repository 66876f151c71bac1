"""The parts of the reading of whole numbers, each against what it should be by another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageDraw
from scipy import ndimage

from service.errors import UnreadableNumber
from service.numbers.components import label_components
from service.numbers.geometry import Box, measure_line, propose_groups
from service.numbers.images import find_picture, measure_pen, take_picture_apart
from service.numbers.lattice import Candidate, find_ways
from service.numbers.reading import Model, examine_image
from service.numbers.seams import MOST_SEAMS, Seam, find_seams
from service.numbers.slices import find_cells, keep_ways, slice_piece
from service.numbers.strokes import Canvas, take_strokes_apart
from service.preprocessing import DIGITS


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
def test_components_are_those_that_scipy_finds(ink):
    labels, count = ndimage.label(ink, np.ones((3, 3)))
    found = label_components(ink)
    assert np.array_equal(found.labels, labels)
    boxes = [(x.start, y.start, x.stop, y.stop) for y, x in ndimage.find_objects(labels)]
    assert found.boxes.tolist() == [list(box) for box in boxes]
    assert len(found.boxes) == count


def labelled(scores: list[float], chosen: tuple[Candidate, ...]) -> list[float]:
    totals = [sum(scores)]
    for candidate in chosen:
        totals = [total + chance for total in totals for _, chance in candidate.labels]
    return totals


@given(st.lists(st.floats(-3, 3), min_size=7, max_size=7))
def test_ways_and_their_probabilities_are_those_of_trying_all(scores):
    labels = ((0, math.log(0.75)), (1, math.log(0.25)))
    candidates = [Candidate(atoms, score, labels) for atoms, score in zip(range(1, 8), scores, strict=True)]
    exact = [0b001, 0b010, 0b100]
    covers = [exact, [0b011, 0b100], [0b101, 0b010], [0b110, 0b001], [0b111]]
    by_atoms = {candidate.atoms: candidate for candidate in candidates}
    wanted = [
        total
        for cover in covers
        for total in labelled([by_atoms[atoms].score for atoms in cover], tuple(by_atoms[atoms] for atoms in cover))
    ]
    whole = math.log(sum(map(math.exp, wanted)))
    ways = find_ways(3, candidates, 100)
    assert [way.probability for way in ways] == pytest.approx(
        sorted((math.exp(total - whole) for total in wanted), reverse=True)
    )
    assert sum(way.probability for way in ways) == pytest.approx(1)


def test_the_line_is_as_high_as_its_high_parts():
    boxes = [Box(0, 0, 10, 100), Box(20, 40, 30, 44), Box(40, 0, 60, 90), Box(70, 0, 80, 110)]
    assert measure_line(boxes) == 100


def test_far_strokes_are_not_one_digit_and_near_marks_are():
    bar, cross, other = Box(0, 0, 10, 100), Box(-10, 40, 25, 44), Box(90, 0, 100, 100)
    assert sorted(propose_groups((bar, cross, other), 100, 4)) == [0b001, 0b010, 0b011, 0b100]


def test_too_many_ways_are_refused_before_the_work():
    boxes = [Box(place, 0, place + 50, 100) for place in range(30)]
    with pytest.raises(UnreadableNumber, match="more than 256 ways"):
        propose_groups(boxes, 100, 4)


@pytest.fixture
def touching() -> np.ndarray:
    """Two upright bars joined by a thin bridge."""
    image = Image.new("L", (140, 120), 0)
    pen = ImageDraw.Draw(image)
    for left in (10, 100):
        pen.rectangle((left, 10, left + 19, 109), fill=255)
    pen.line([(30, 60), (100, 60)], fill=255, width=6)
    return np.asarray(image)


def test_a_seam_crosses_the_thin_place(touching):
    (seam, *_) = sorted(find_seams(touching, 100, 20), key=lambda seam: seam.cost)
    assert 25 < seam.places.mean() < 105
    assert seam.cost < 0.6


def test_seams_are_bounded_however_wide_the_ink_is():
    image = Image.new("L", (1200, 100), 0)
    pen = ImageDraw.Draw(image)
    for left in range(0, 1200, 12):
        pen.line([(left, 0), (left, 99)], fill=255, width=4)
    pen.line([(0, 50), (1200, 50)], fill=255, width=4)
    assert len(find_seams(np.asarray(image), 20, 4)) == MOST_SEAMS


@pytest.fixture
def merged() -> np.ndarray:
    """Two slanted bars of 20 pixels side by side that run into each other by 6, the right one lower."""
    image = Image.new("L", (160, 140), 0)
    pen = ImageDraw.Draw(image)
    for x, y in ((10, 10), (30, 26)):
        pen.polygon([(x + 60, y), (x + 80, y), (x + 20, y + 100), (x, y + 100)], fill=255)
    return np.asarray(image)[8:138, 8:113]


def test_a_seam_runs_through_ink_that_is_thicker_than_the_pen(merged):
    (seam, *_) = sorted(find_seams(merged, 116, 17), key=lambda seam: seam.cost)
    assert seam.cost < 1
    cells = find_cells(merged > 0, [seam], 0)
    shares = [float((cells.parts == cell).sum()) / float((merged > 0).sum()) for cell in range(2)]
    assert min(shares) > 0.4
    assert [box.height for box in cells.boxes] == pytest.approx([101, 101], abs=15)


def test_touching_ink_may_be_one_digit_or_two(touching):
    pieces = take_picture_apart(find_picture(touching, DIGITS), {0})
    whole = (1 << len(pieces.boxes)) - 1
    assert whole == pieces.groups[0]
    halves = [group for group in pieces.groups if whole & ~group in pieces.groups]
    assert len(halves) >= 2
    ink = sum(int((pieces.draw(1 << index) > 0).sum()) for index in range(len(pieces.boxes)))
    assert ink == int((touching > 0).sum())


def straight(top: float, bottom: float, height: int = 100) -> Seam:
    return Seam(np.linspace(top, bottom, height), 1.0)


def test_seams_that_cross_make_cells_on_every_side_of_both():
    cells = find_cells(np.ones((100, 100), bool), [straight(20, 80), straight(80, 20)], 10)
    assert sorted(cells.sides) == [0b00, 0b01, 0b10, 0b11]
    assert set(np.unique(cells.parts)) == {0, 1, 2, 3}


def test_a_cell_of_hardly_any_ink_goes_with_its_like():
    cells = find_cells(np.ones((100, 100), bool), [straight(49, 51), straight(50, 50)], 100)
    assert sorted(cells.sides) == [0b00, 0b11]
    assert [int((cells.parts == cell).sum()) for cell in range(2)] == pytest.approx([5000, 5000], abs=50)


def test_a_way_goes_on_to_the_end():
    assert keep_ways([(0, 1), (0, 2), (1, 2), (2, 4), (3, 4), (0, 3), (1, 3)], 4) == [
        (0, 1),
        (0, 2),
        (1, 2),
        (2, 4),
        (3, 4),
        (0, 3),
        (1, 3),
    ]
    assert keep_ways([(0, 1), (0, 2), (2, 4), (3, 4)], 4) == [(0, 2), (2, 4)]


def can_be_used_up(atoms: int, groups: list[int]) -> bool:
    """Whether some of the groups use each of the atoms once."""
    first = atoms & -atoms
    return not atoms or any(
        can_be_used_up(atoms & ~group, groups) for group in groups if group & first and not group & ~atoms
    )


@given(st.lists(st.tuples(st.integers(10, 190), st.integers(10, 90)), min_size=2, max_size=14))
@settings(max_examples=60)
def test_whatever_is_cut_out_the_rest_can_be_used_up(points):
    image = Image.new("L", (200, 100), 0)
    ImageDraw.Draw(image).line(points, fill=255, width=9, joint="curve")
    grey = np.asarray(image)[:, np.asarray(image).any(axis=0)]
    cells, whole, slices = slice_piece(grey, 60.0, 9.0)
    everything = (1 << len(cells.boxes)) - 1
    groups = [whole.cells, *(slice_.cells for slice_ in slices)]
    assert whole.cells == everything
    assert len(set(groups)) == len(groups)
    for slice_ in slices:
        assert slice_.before | slice_.cells | slice_.after == everything
        assert can_be_used_up(slice_.before, groups)
        assert can_be_used_up(slice_.after, groups)


def answer_always(certainty: float, asked: list[int]) -> Model:
    """Takes everything for a 1, and remembers how much it was asked."""

    def classify(tensors: np.ndarray) -> np.ndarray:
        asked.append(len(tensors))
        return np.tile(
            np.array([(1 - certainty) / 9, certainty, *[(1 - certainty) / 9] * 8], np.float32), (asked[-1], 1)
        )

    return Model(classify)


def test_ink_that_the_model_knows_is_not_cut(touching):
    asked: list[int] = []
    examined = examine_image(touching, answer_always(0.9999, asked))
    assert (asked, len(examined.pieces.boxes)) == ([1], 1)


def test_ink_that_the_model_does_not_know_is_cut_and_the_model_asked_about_what_is_new(touching):
    asked: list[int] = []
    examined = examine_image(touching, answer_always(0.9, asked))
    assert len(asked) == 2
    assert asked[0] == 1
    assert sum(asked) == len(examined.pieces.groups) == len(examined.probabilities) > 2


def test_the_pen_is_measured_by_what_it_leaves():
    image = Image.new("L", (300, 300), 0)
    ImageDraw.Draw(image).ellipse((40, 40, 260, 260), outline=255, width=20)
    assert measure_pen(np.asarray(image)) == pytest.approx(20, rel=0.1)


def test_a_stroke_that_meets_another_counts_as_touching_it():
    cross = [np.array([[50.0, 10.0], [50.0, 110.0]]), np.array([[20.0, 60.0], [80.0, 60.0]])]
    pieces = take_strokes_apart(cross, Canvas(280, 280))
    contact = {group: making.contact for group, making in zip(pieces.groups, pieces.makings, strict=True)}
    assert contact[0b11] == 0
    assert contact[0b01] == contact[0b10] == pytest.approx(1, abs=0.2)
