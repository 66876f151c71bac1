from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files

import numpy as np
import pytest

from training.negatives import draw_not_digits, fill_in, load_symbols, scale_to_height
from training.unipen import PenDigit

LIKE_DIGITS = set("OIlSZBDbgq|/")
DIGITS = [PenDigit(1, 1, (np.array([[50.0, 10.0], [50.0, 90.0]]),)), PenDigit(0, 1, (np.array([[9.0, 9.0]]),))]


def test_the_groups_share_no_symbol_and_none_reads_as_a_digit() -> None:
    groups = json.loads(files("training").joinpath("not_digits.json").read_text("utf-8"))
    training, evaluation = set(groups["training"]), set(groups["evaluation"])
    assert training.isdisjoint(evaluation)
    assert LIKE_DIGITS.isdisjoint(training | evaluation)


@pytest.mark.parametrize("group", ["training", "evaluation"])
def test_symbols_lie_on_a_square_of_100(group: str) -> None:
    for drawing in load_symbols(group):
        points = np.concatenate(drawing.strokes)
        assert points.min() >= 0
        assert points.max() <= 100


def test_all_kinds_are_drawn_alike_often_and_follow_the_generator() -> None:
    first, again = (draw_not_digits(40, "training", DIGITS, np.random.default_rng(3)) for _ in range(2))
    assert Counter(drawing.kind for drawing in first) == dict.fromkeys(("taps", "scribble", "symbol", "pair"), 10)
    for one, other in zip(first, again, strict=True):
        for stroke, same in zip(one.strokes, other.strokes, strict=True):
            np.testing.assert_array_equal(stroke, same)


def test_a_pair_stands_side_by_side() -> None:
    pair = draw_not_digits(4, "training", DIGITS[:1], np.random.default_rng(0))[3]
    left, right = pair.strokes
    assert left[:, 0].max() < right[:, 0].min()


def test_filling_in_keeps_corners() -> None:
    corners = np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 16.0]])
    filled = fill_in(corners)
    np.testing.assert_array_equal(filled[[0, 8, 16]], corners)
    assert len(filled) == 17


def test_a_flat_stroke_can_be_scaled() -> None:
    (stroke,) = scale_to_height([np.array([[5.0, 7.0], [6.0, 7.0]])])
    assert np.isfinite(stroke).all()
