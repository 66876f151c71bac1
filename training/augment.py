"""Distortions of digits, all before the shared preprocessing, so that boxes and centres vary as they do in service.

Sizes and places need no variation: the preprocessing takes them out. What is left is what hands and pens differ in:
slant, turn, proportions, wobble, the width of the line, stray taps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from service.errors import EmptyDrawing
from service.preprocessing import prepare_grey
from service.rendering import CANVAS_SIZE, PEN_WIDTH, SMOOTHING, render_strokes
from training.strokes import fit_strokes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.data import Pixels
    from training.unipen import Stroke

IMAGE_ZOOM = 2
"""MNIST images are distorted at twice their size, so that little sharpness is lost."""
IMAGE_CELLS = 4
"""The distorted image is laid out in so many by so many cells, each a quadrilateral of the original."""
WIDEST_PEN = 0.45
"""Of the digit's longer side; wider lines run into each other."""


class Warp(NamedTuple):
    """A smooth map of the plane: a linear part and a wobble of two waves, about the origin, unit = half a digit."""

    matrix: NDArray[np.float64]
    """(2, 2)."""
    waves: NDArray[np.float64]
    """(2, 2): wave vectors."""
    phases: NDArray[np.float64]
    """(2,)."""
    sway: NDArray[np.float64]
    """(2, 2): how far each wave moves a point, x and y."""

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move (n, 2) points."""
        return points @ self.matrix.T + np.sin(points @ self.waves.T + self.phases) @ self.sway


class WarpStrength(NamedTuple):
    """How much digits are distorted: standard deviations, or half ranges where said."""

    turn_degrees: float
    """Half range."""
    slant: float
    stretch: float
    """Of the logarithm of width over height."""
    sway: float
    """In half digits."""


IMAGE_WARPS = WarpStrength(turn_degrees=12.0, slant=0.12, stretch=0.08, sway=0.035)
STROKE_WARPS = WarpStrength(turn_degrees=16.0, slant=0.15, stretch=0.12, sway=0.04)


def draw_warp(generator: np.random.Generator, strength: WarpStrength) -> Warp:
    """Draw a random warp."""
    turn = np.deg2rad(generator.uniform(-1, 1) * strength.turn_degrees)
    stretch = np.exp(generator.normal(0, strength.stretch) / 2)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    slant = np.array([[1.0, generator.normal(0, strength.slant)], [0.0, 1.0]])
    directions = generator.uniform(0, 2 * np.pi, 2)
    frequency = generator.uniform(1.5, 4.0, (2, 1))
    return Warp(
        rotation @ slant @ np.diag([stretch, 1 / stretch]),
        frequency * np.stack([np.cos(directions), np.sin(directions)], axis=1),
        generator.uniform(0, 2 * np.pi, 2),
        generator.normal(0, strength.sway, (2, 2)),
    )


def distort_image(image: Pixels, generator: np.random.Generator) -> Pixels:
    """Warp an MNIST image, sometimes change the width of its lines, and lay it out: (28, 28) uint8 in and out."""
    warped = warp_image(image, draw_warp(generator, IMAGE_WARPS))
    change = generator.random()
    if change < 0.15:
        warped = warped.filter(ImageFilter.MaxFilter(3))
    elif change < 0.25:
        warped = warped.filter(ImageFilter.MinFilter(3))
    try:
        return prepare_grey(np.asarray(warped)).final
    except EmptyDrawing:
        # Thinning can leave nothing of a faint digit.
        return prepare_grey(image).final


def warp_image(image: Pixels, warp: Warp) -> Image.Image:
    """Resample an image `IMAGE_ZOOM` times as large, through the warp, from a field with a margin."""
    height, width = image.shape
    size = IMAGE_ZOOM * width * 5 // 4
    edges = np.linspace(0, size, IMAGE_CELLS + 1).round().astype(int)
    grid = np.stack(np.meshgrid(edges, edges), axis=-1).reshape(-1, 2)
    centred = (grid - size / 2) / (IMAGE_ZOOM * width / 2)
    corners = (warp(centred) * (width / 2) + (width / 2, height / 2)).reshape(IMAGE_CELLS + 1, IMAGE_CELLS + 1, 2)
    mesh = [
        ((int(edges[c]), int(edges[r]), int(edges[c + 1]), int(edges[r + 1])), quadrilateral(corners, r, c))
        for r in range(IMAGE_CELLS)
        for c in range(IMAGE_CELLS)
    ]
    return Image.fromarray(image).transform((size, size), Image.Transform.MESH, mesh, Image.Resampling.BICUBIC)


def quadrilateral(corners: NDArray[np.float64], row: int, column: int) -> tuple[float, ...]:
    """List a cell's corners as Pillow wants them: upper left, lower left, lower right, upper right."""
    order = ((row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1))
    return tuple(float(value) for at in order for value in corners[at])


def redraw_strokes(strokes: Sequence[Stroke], generator: np.random.Generator, taps: float = 0.08) -> Pixels:
    """Draw strokes as another hand with another pen might have, and lay the image out: (28, 28) uint8.

    `taps` is the probability of a stray tap of the pen beside the digit. Raises `EmptyDrawing`, very rarely.
    """
    length = float(np.exp(generator.uniform(np.log(50), np.log(240))))
    width = min(PEN_WIDTH if generator.random() < 0.6 else float(generator.uniform(8, 34)), WIDEST_PEN * length)
    smoothing = SMOOTHING if generator.random() < 0.6 else float(generator.uniform(0, 0.7))
    drawn = fit_strokes(disturb_strokes(strokes, generator), length)
    if generator.random() < 0.25:
        drawn = [stroke + generator.normal(0, 1.0, stroke.shape) for stroke in drawn]
    if generator.random() < taps:
        drawn.append(generator.uniform(width, CANVAS_SIZE - width, (1, 2)))
    return prepare_grey(render_strokes(drawn, width, smoothing=smoothing)).final


def disturb_strokes(strokes: Sequence[Stroke], generator: np.random.Generator) -> list[Stroke]:
    """Warp strokes about their middle, and sometimes drop a third of their points, as a slow browser does."""
    warp = draw_warp(generator, STROKE_WARPS)
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    unit = max(float((high - low).max()), 1.0) / 2
    warped = [warp((stroke - (low + high) / 2) / unit) * unit for stroke in strokes]
    if generator.random() < 0.2:
        warped = [thin_out(stroke, generator) for stroke in warped]
    return warped


def thin_out(stroke: Stroke, generator: np.random.Generator) -> Stroke:
    """Drop a third of the points, never the ends."""
    kept = generator.random(len(stroke)) > 1 / 3
    kept[[0, -1]] = True
    return stroke[kept]
