from __future__ import annotations

import numpy as np
import pytest

from service.preprocessing import prepare_grey
from service.rendering import render_strokes
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


def draw_ring() -> np.ndarray:
    y, x = np.mgrid[:28, :28] - 13.5
    return (255 * np.clip(1.5 - np.abs(np.hypot(x, y) - 7), 0, 1)).astype(np.uint8)


def test_the_identity_leaves_an_image_as_it_is_but_for_its_size() -> None:
    image = draw_ring()
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


def test_distortions_follow_the_generator_and_differ() -> None:
    image = draw_ring()
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
