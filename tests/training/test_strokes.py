from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.signal import lfilter

from service.rendering import PAPER_LEVEL, render_strokes, smooth_stroke
from training.strokes import fit_strokes, place_as_drawn
from training.unipen import PenDigit


def test_a_tap_is_a_disc_of_the_pens_size() -> None:
    canvas = render_strokes([[[140.0, 140.0]]], pen_width=20)
    assert canvas.shape == (280, 280)
    assert canvas[140, 140] == 255
    assert canvas[0, 0] == PAPER_LEVEL
    area = (canvas.astype(float) - PAPER_LEVEL).sum() / (255 - PAPER_LEVEL)
    assert area == pytest.approx(np.pi * 100, rel=0.005)


def test_a_straight_stroke_has_its_length_and_width() -> None:
    canvas = render_strokes([[[40.0, 140.0], [240.0, 140.0]]], pen_width=10, smoothing=0)
    rows, columns = np.nonzero(canvas > 128)
    assert (rows.min(), rows.max()) == (135, 144)
    assert (columns.min(), columns.max()) == (35, 244)


def test_smoothing_follows_the_running_average_of_the_page() -> None:
    stroke = np.array([[0.0, 10.0], [10.0, 10.0], [10.0, 20.0]])
    np.testing.assert_allclose(smooth_stroke(stroke), [[0, 10], [7, 10], [9.1, 17]])


@given(
    stroke=arrays(np.float64, st.tuples(st.integers(1, 40), st.just(2)), elements=st.floats(-500, 500)),
    smoothing=st.floats(0, 0.9),
)
def test_smoothing_is_scipys_filter_to_the_last_bit(stroke: np.ndarray, smoothing: float) -> None:
    filtered, _ = lfilter([1 - smoothing], [1, -smoothing], stroke, axis=0, zi=smoothing * stroke[:1])
    assert np.array_equal(smooth_stroke(stroke, smoothing), filtered)


@given(x=st.integers(-60, 60), y=st.integers(-60, 60))
@settings(max_examples=20)
def test_moving_a_drawing_by_whole_pixels_moves_its_image(x: int, y: int) -> None:
    stroke = np.array([[110.0, 100.5], [150.25, 120.0], [120.0, 180.0]])
    still, moved = render_strokes([stroke]), render_strokes([stroke + np.array([x, y])])
    difference = np.roll(still, (y, x), axis=(0, 1)).astype(int) - moved
    assert np.abs(difference).max() <= 1


def test_ink_outside_the_canvas_is_cut_off() -> None:
    canvas = render_strokes([[[-500.0, 140.0], [140.0, 140.0]], [[140.0, 140.0], [140.0, 900.0]]], smoothing=0)
    assert canvas[140, 0] == 255
    assert canvas[279, 140] == 255


def test_every_drawing_of_ours_reaches_the_canvas(drawings: list[dict[str, Any]]) -> None:
    for drawing in drawings:
        assert render_strokes(drawing["strokes"]).max() == 255, drawing["name"]


def test_the_tablet_fills_the_canvas_and_keeps_places() -> None:
    digit = PenDigit(1, 5, (np.array([[0.0, 0.0], [250.0, 500.0]]),))
    np.testing.assert_allclose(place_as_drawn(digit)[0], [[0, 0], [140, 280]])


def test_fitting_centres_and_scales_the_longer_side() -> None:
    (stroke,) = fit_strokes([np.array([[10.0, 20.0], [20.0, 60.0]])], length=200)
    np.testing.assert_allclose(stroke, [[115, 40], [165, 240]])


def test_fitting_a_dot_leaves_a_dot_in_the_middle() -> None:
    np.testing.assert_allclose(fit_strokes([np.array([[7.0, 9.0]])]), [[[140, 140]]])
