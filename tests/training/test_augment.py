from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from service.preprocessing import prepare_grey
from service.rendering import CANVAS_SIZE, PEN_WIDTH, SMOOTHING, render_strokes
from training.augment import (
    IMAGE_WARPS,
    STROKE_WARPS,
    Warp,
    distort_image,
    draw_warp,
    redraw_strokes,
    thin_out,
    warp_image,
)
from training.strokes import fit_strokes

UNMOVED = Warp(np.eye(2), np.zeros((2, 2)), np.zeros(2), np.zeros((2, 2)))
SEVEN = [np.array([[20.0, 10.0], [50.0, 9.0], [80.0, 10.0], [60.0, 50.0], [40.0, 90.0]])]


LINE = np.linspace((20.0, 10.0), (70.0, 90.0), 40)


class Drawing(NamedTuple):
    """What the renderer is asked to draw."""

    strokes: list[np.ndarray]
    pen_width: float
    smoothing: float


def draw_nine() -> np.ndarray:
    y, x = np.mgrid[:28, :28] - 13.5
    loop = np.abs(np.hypot(x, y + 4) - 5)
    stem = np.hypot(x - 5, y - np.clip(y, -4, 10))
    return (255 * np.clip(1.5 - np.minimum(loop, stem), 0, 1)).astype(np.uint8)


def redraw_line(monkeypatch: pytest.MonkeyPatch, **options: float) -> list[Drawing]:
    """Redraw a straight line 300 times, but for the rendering."""
    drawings: list[Drawing] = []
    canvas = render_strokes([LINE])

    def record(strokes: list[np.ndarray], pen_width: float, *, smoothing: float) -> np.ndarray:
        drawings.append(Drawing(strokes, pen_width, smoothing))
        return canvas

    monkeypatch.setattr("training.augment.render_strokes", record)
    generator = np.random.default_rng(4)
    for _ in range(300):
        redraw_strokes([LINE], generator, **options)
    return drawings


def turn_to_chord(stroke: np.ndarray) -> np.ndarray:
    """Turn a stroke so that its ends lie level: x along the line between them, y beside it."""
    along = (stroke[-1] - stroke[0]) / np.linalg.norm(stroke[-1] - stroke[0])
    return (stroke - stroke[0]) @ np.array([[along[0], -along[1]], [along[1], along[0]]])


def test_the_identity_leaves_an_image_as_it_is_but_for_its_size() -> None:
    image = draw_nine()
    warped = np.asarray(warp_image(image, UNMOVED)).astype(float)
    reduced = warped[7:-7, 7:-7].reshape(28, 2, 28, 2).mean(axis=(1, 3))
    assert np.abs(reduced - image).max() < 40
    assert reduced.sum() == pytest.approx(image.sum(), rel=0.01)


def test_a_warp_turns_points_about_the_origin() -> None:
    quarter = UNMOVED._replace(matrix=np.array([[0.0, -1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(quarter(np.array([[1.0, 0.0]])), [[0, 1]])


@pytest.mark.parametrize("strength", [IMAGE_WARPS, STROKE_WARPS], ids=["images", "strokes"])
def test_no_warp_mirrors_or_flattens(strength: object) -> None:
    generator = np.random.default_rng(1)
    determinants = [np.linalg.det(draw_warp(generator, strength).matrix) for _ in range(200)]
    np.testing.assert_allclose(determinants, 1)


@pytest.mark.parametrize("strength", [IMAGE_WARPS, STROKE_WARPS], ids=["images", "strokes"])
def test_warps_turn_slant_stretch_and_sway_a_little(strength: object) -> None:
    generator = np.random.default_rng(1)
    warps = [draw_warp(generator, strength) for _ in range(200)]
    # A turn times a slant times a stretch, so the first column is only turned and stretched.
    turns = np.array([np.arctan2(*warp.matrix[::-1, 0]) for warp in warps])
    stretches = np.array([np.linalg.norm(warp.matrix[:, 0]) for warp in warps])
    slants = [warp.matrix[:, 0] @ warp.matrix[:, 1] for warp in warps]
    assert 9 < np.rad2deg(np.abs(turns)).max() < 20
    assert 0.08 < np.std(slants) < 0.25
    assert 0.02 < np.std(stretches) < 0.1
    assert 0.02 < np.std([warp.sway for warp in warps]) < 0.06


def test_a_warp_says_where_a_point_of_the_image_comes_from() -> None:
    image = draw_nine()
    still = np.asarray(warp_image(image, UNMOVED))
    sway = UNMOVED._replace(phases=np.full(2, np.pi / 2), sway=np.array([[0.25, 0.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(np.asarray(warp_image(image, sway))[:, :-7], still[:, 7:])


def test_a_distorted_image_is_warped_and_at_times_has_wider_or_narrower_lines() -> None:
    image = draw_nine()
    ink = []
    for seed in range(200):
        plain = prepare_grey(np.asarray(warp_image(image, draw_warp(np.random.default_rng(seed), IMAGE_WARPS)))).final
        ink.append(distort_image(image, np.random.default_rng(seed)).sum() / plain.sum())
    ratios = np.array(ink)
    assert 0.6 < np.mean(ratios == 1) < 0.9
    assert 0.05 < np.mean(ratios > 1.1) < 0.3
    assert 0.03 < np.mean(ratios < 0.9) < 0.2


def test_redrawn_lines_differ_in_size_pen_and_smoothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawings = redraw_line(monkeypatch, taps=0)
    sizes = [np.ptp(np.concatenate(drawing.strokes), axis=0).max() for drawing in drawings]
    assert min(sizes) < 70
    assert max(sizes) > 200
    widths = np.array([drawing.pen_width for drawing in drawings])
    assert 0.4 < np.mean(widths == PEN_WIDTH) < 0.8
    assert widths.min() < 11
    assert widths.max() > 30
    smoothings = np.array([drawing.smoothing for drawing in drawings])
    assert 0.4 < np.mean(smoothings == SMOOTHING) < 0.8
    assert smoothings.min() < 0.1
    assert 0.6 < smoothings.max() < 0.75


def test_redrawn_lines_are_turned_and_swayed(monkeypatch: pytest.MonkeyPatch) -> None:
    strokes = [drawing.strokes[0] for drawing in redraw_line(monkeypatch, taps=0)]
    turns = np.rad2deg([np.arctan2(*(stroke[-1] - stroke[0])[::-1]) - np.arctan2(80, 50) for stroke in strokes])
    assert 6 < np.std(turns) < 20
    assert np.abs(turns).max() < 60
    bends = [np.abs(turn_to_chord(stroke)[:, 1]).max() / np.ptp(stroke, axis=0).max() for stroke in strokes]
    assert 0.01 < np.median(bends) < 0.1


def test_some_redrawn_lines_tremble_and_some_lack_points(monkeypatch: pytest.MonkeyPatch) -> None:
    strokes = [drawing.strokes[0] for drawing in redraw_line(monkeypatch, taps=0)]
    whole = [stroke for stroke in strokes if len(stroke) == len(LINE)]
    assert 0.7 < len(whole) / len(strokes) < 0.9
    tremor = np.array([np.std(np.diff(turn_to_chord(stroke)[:, 1], n=2)) for stroke in whole])
    assert 0.15 < np.mean(tremor > 1) < 0.35


@pytest.mark.parametrize(
    ("options", "least", "most"), [({}, 0.03, 0.15), ({"taps": 0}, 0, 0), ({"taps": 1}, 1, 1)], ids=str
)
def test_a_stray_tap_lies_on_the_canvas_as_often_as_asked(
    options: dict[str, float], least: float, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    taps = [drawing.strokes[1:] for drawing in redraw_line(monkeypatch, **options)]
    assert least <= np.mean([len(tap) for tap in taps]) <= most
    for (tap,) in filter(None, taps):
        assert tap.shape == (1, 2)
        assert ((tap > 0) & (tap < CANVAS_SIZE)).all()


def test_distortions_follow_the_generator_and_differ() -> None:
    image = draw_nine()
    first, again = (distort_image(image, np.random.default_rng(5)) for _ in range(2))
    other = distort_image(image, np.random.default_rng(6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (28, 28)
    assert first.dtype == np.uint8


def test_an_image_too_faint_to_be_thinned_is_left_alone() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[14, 14] = 30
    expected = prepare_grey(image).final
    generator = np.random.default_rng(0)
    results = [distort_image(image, generator) for _ in range(40)]
    assert any(np.array_equal(result, expected) for result in results)


def test_a_redrawn_digit_still_resembles_itself() -> None:
    generator = np.random.default_rng(2)
    plain = prepare_grey(render_strokes(fit_strokes(SEVEN))).final.astype(float)
    likeness = [np.corrcoef(plain.ravel(), redraw_strokes(SEVEN, generator, taps=0).ravel())[0, 1] for _ in range(50)]
    assert np.median(likeness) > 0.5


def test_thinning_keeps_the_ends() -> None:
    stroke = np.arange(60.0).reshape(30, 2)
    thinned = thin_out(stroke, np.random.default_rng(0))
    assert 10 < len(thinned) < 30
    np.testing.assert_array_equal(thinned[[0, -1]], stroke[[0, -1]])
    dot = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(thin_out(dot, np.random.default_rng(0)), dot)
