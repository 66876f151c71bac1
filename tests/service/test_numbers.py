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
from service.numbers.images import measure_pen, take_image_apart
from service.numbers.lattice import Candidate, find_ways
from service.numbers.seams import find_seams
from service.numbers.strokes import Canvas, take_strokes_apart
from service.preprocessing import DIGITS


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
@settings(deadline=None)
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
@settings(deadline=None)
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


def test_touching_ink_may_be_one_digit_or_two(touching):
    pieces = take_image_apart(touching, DIGITS)
    whole = (1 << len(pieces.boxes)) - 1
    assert whole in pieces.groups
    assert {1, 1 << len(pieces.boxes) - 1} <= set(pieces.groups)
    ink = sum(int((pieces.draw(1 << index) > 0).sum()) for index in range(len(pieces.boxes)))
    assert ink == int((touching > 0).sum())


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
