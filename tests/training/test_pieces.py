from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from training.pieces import cut_away, draw_pieces, find_unlike, name_kinds, set_beside
from training.protocol import PLAIN, draw_condition
from training.unipen import PenDigit

DOWN = np.array([[50.0, float(y)] for y in range(10, 91, 5)])
BAR = np.array([[float(x), 50.0] for x in range(20, 81, 5)])
DIGITS = [PenDigit(1, 1, (DOWN,)), PenDigit(4, 1, (DOWN, BAR))]


def test_all_kinds_are_drawn_and_follow_the_generator() -> None:
    first, again = (draw_pieces(20, DIGITS, np.random.default_rng(3)) for _ in range(2))
    assert [drawing.kind for drawing in first] == name_kinds(20)
    assert Counter(name_kinds(20)) == {"piece": 12, "touching": 8}
    for one, other in zip(first, again, strict=True):
        for stroke, same in zip(one.strokes, other.strokes, strict=True):
            np.testing.assert_array_equal(stroke, same)


def test_digits_of_one_stroke_each_have_pieces_too() -> None:
    for drawing in draw_pieces(20, DIGITS[:1], np.random.default_rng(0)):
        assert sum(map(len, drawing.strokes)) > 0


@pytest.mark.parametrize("axis", [0, 1])
def test_a_cut_keeps_one_side_and_both_sides_are_the_whole(axis: int) -> None:
    first, second = (cut_away(DIGITS[1].strokes, axis, 0.4, keep_first=side) for side in (True, False))
    low, high = np.concatenate(first), np.concatenate(second)
    assert low[:, axis].max() < high[:, axis].min()
    assert len(low) + len(high) == len(DOWN) + len(BAR)


def test_a_stroke_that_crosses_the_cut_twice_falls_in_two() -> None:
    arch = np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0], [1.0, 5.0], [0.0, 5.0]])
    assert [len(run) for run in cut_away([arch], 0, 0.5, keep_first=True)] == [2, 2]


def test_a_negative_gap_overlaps() -> None:
    left, right = set_beside([BAR], [BAR], -10.0)
    assert right[:, 0].min() == left[:, 0].max() - 10


def test_what_looks_like_a_digit_is_no_example_of_what_is_none() -> None:
    slants = [np.array([[140 + lean * step, 40 + 20.0 * step] for step in range(10)]) for lean in range(-4, 5)]
    digits = draw_condition([PenDigit(1, 1, (stroke,)) for stroke in slants], PLAIN)
    stem, crossbar = (draw_condition([PenDigit(4, 1, (stroke * 2,))], PLAIN)[0] for stroke in (DOWN, BAR))
    assert find_unlike(np.stack([stem, crossbar]), ["piece", "touching"], digits).tolist() == [1]
