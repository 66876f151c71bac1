from __future__ import annotations

import numpy as np
import pytest

from training.protocol import (
    CONDITIONS,
    CORNER_GAP,
    PLAIN,
    TAP_DISTANCE,
    add_tap,
    draw_condition,
    draw_parts,
    draw_rest,
    move_anywhere,
    move_to_corner,
    repeat_placements,
    turn,
)
from training.unipen import PenDigit

SEVEN = np.array([[200.0, 150.0], [260.0, 150.0], [300.0, 152.0], [270.0, 230.0], [250.0, 320.0]])
DIGITS = [PenDigit(7, 3, (SEVEN,)), PenDigit(1, 4, (SEVEN[2:],))]
PLACED = [SEVEN * 0.56]


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_every_model_is_asked_the_same_questions(condition: object) -> None:
    first, again = draw_condition(DIGITS, condition), draw_condition(DIGITS, condition)
    assert first.shape == (4, 28, 28)
    np.testing.assert_array_equal(first, again)


def test_conditions_differ_from_the_plain_one() -> None:
    plain = draw_condition(DIGITS, PLAIN)
    for condition in CONDITIONS:
        # Sizes and places are taken out by the preprocessing; half a pixel may be left.
        same_place = condition.name in {PLAIN.name, "off-centre", "in a corner"}
        assert same_place or not np.array_equal(draw_condition(DIGITS, condition), plain), condition.name


def test_labels_are_repeated_as_the_drawings_are() -> None:
    assert repeat_placements([7, 1]).tolist() == [7, 1, 7, 1]


@pytest.mark.parametrize("seed", range(8))
def test_moved_ink_stays_on_the_canvas(seed: int) -> None:
    for move in (move_anywhere, move_to_corner):
        (stroke,) = move(PLACED, np.random.default_rng(seed))
        assert stroke.min() >= 10
        assert stroke.max() <= 270
        np.testing.assert_allclose(stroke - stroke[0], PLACED[0] - PLACED[0][0])


def test_a_corner_is_a_corner() -> None:
    (stroke,) = move_to_corner(PLACED, np.random.default_rng(0))
    edge = 10 + CORNER_GAP
    assert any(np.isclose(bound, edge) for bound in stroke.min(axis=0)) or np.allclose(stroke.max(axis=0), 280 - edge)


def test_turning_keeps_distances() -> None:
    (stroke,) = turn(PLACED, np.random.default_rng(0))
    before, after = (np.linalg.norm(np.diff(points, axis=0), axis=1) for points in (PLACED[0], stroke))
    np.testing.assert_allclose(before, after)
    assert not np.allclose(stroke, PLACED[0])


def test_a_stray_tap_keeps_its_distance() -> None:
    *digit, tap = add_tap(PLACED, np.random.default_rng(0))
    assert len(digit) == 1
    assert tap.shape == (1, 2)
    assert np.linalg.norm(PLACED[0] - tap, axis=1).min() >= TAP_DISTANCE


def test_what_is_no_digit_comes_with_its_kind() -> None:
    images, kinds = draw_rest(DIGITS, 8)
    assert images.shape == (8, 28, 28)
    assert kinds == ["taps", "scribble", "symbol", "pair"] * 2


def test_parts_are_the_same_for_every_model_and_named_by_kind() -> None:
    known = draw_condition(DIGITS, PLAIN)[2:]
    images, kinds = draw_parts(DIGITS, known, 20)
    again, _ = draw_parts(DIGITS, known, 20)
    np.testing.assert_array_equal(images, again)
    assert len(images) == len(kinds) > 0
    assert set(kinds) <= {"piece", "touching"}
