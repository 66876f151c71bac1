"""The fixed protocol by which models are compared on pen strokes: conditions, and drawings that are no digit.

Every condition is drawn twice, as the digit was written on the tablet and scaled to fill the canvas, and goes through
the shared preprocessing. Random choices depend on the condition alone, so every model is asked the same questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import numpy as np

from service.preprocessing import prepare_grey
from service.rendering import CANVAS_SIZE, PEN_WIDTH, render_strokes
from training.augment import redraw_strokes
from training.negatives import draw_not_digits
from training.pieces import draw_pieces, find_unlike
from training.strokes import fit_strokes, place_as_drawn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.data import Labels, Pixels
    from training.unipen import PenDigit, Stroke

Change = Callable[[list["Stroke"], np.random.Generator], list["Stroke"]]

TURN_DEGREES = 15.0
JITTER = 1.0
"""Standard deviation of each point's x and y, in pixels."""
CORNER_GAP = 2.0
"""Between the ink and the canvas's edges."""
TAP_DISTANCE = 30.0
"""Least distance of a stray tap's middle from the line."""
TAP_TRIES = 100
NOT_DIGITS = 2000
PARTS = 2000


class Condition(NamedTuple):
    """A way in which digits are drawn."""

    name: str
    change: Change = lambda strokes, _: strokes
    pen_width: float = PEN_WIDTH


def turn(strokes: list[Stroke], generator: np.random.Generator) -> list[Stroke]:
    """Turn about the middle by up to `TURN_DEGREES`."""
    angle = np.deg2rad(generator.uniform(-TURN_DEGREES, TURN_DEGREES))
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    low, high = measure_box(strokes)
    middle = (low + high) / 2
    return [(stroke - middle) @ matrix.T + middle for stroke in strokes]


def jitter(strokes: list[Stroke], generator: np.random.Generator) -> list[Stroke]:
    """Move every point a little."""
    return [stroke + generator.normal(0, JITTER, stroke.shape) for stroke in strokes]


def move_anywhere(strokes: list[Stroke], generator: np.random.Generator) -> list[Stroke]:
    """Move to a random place at which all ink is on the canvas."""
    return move_to(strokes, generator.random(2), PEN_WIDTH / 2)


def move_to_corner(strokes: list[Stroke], generator: np.random.Generator) -> list[Stroke]:
    """Move into one of the four corners."""
    return move_to(strokes, generator.integers(0, 2, 2), PEN_WIDTH / 2 + CORNER_GAP)


def move_to(strokes: list[Stroke], place: NDArray[np.float64] | NDArray[np.int64], margin: float) -> list[Stroke]:
    """Move so that the box stands at `place`, 0 to 1, of the room that there is inside a margin."""
    low, high = measure_box(strokes)
    room = CANVAS_SIZE - 2 * margin - (high - low)
    return [stroke - low + margin + place * np.maximum(room, 0) for stroke in strokes]


def add_tap(strokes: list[Stroke], generator: np.random.Generator) -> list[Stroke]:
    """Tap the pen somewhere else on the canvas, clear of the digit where there is room."""
    points = np.concatenate(strokes)
    places = generator.uniform(PEN_WIDTH, CANVAS_SIZE - PEN_WIDTH, (TAP_TRIES, 2))
    distances = np.linalg.norm(places[:, np.newaxis] - points, axis=2).min(axis=1)
    clear = np.flatnonzero(distances >= TAP_DISTANCE)
    return [*strokes, places[[clear[0] if len(clear) else distances.argmax()]]]


def measure_box(strokes: Sequence[Stroke]) -> tuple[Stroke, Stroke]:
    """Give the least and the greatest x and y."""
    points = np.concatenate(strokes)
    return points.min(axis=0), points.max(axis=0)


PLAIN = Condition("plain, 20 px pen")
CONDITIONS = (
    PLAIN,
    Condition("10 px pen", pen_width=10),
    Condition("32 px pen", pen_width=32),
    Condition("turned up to 15 degrees", turn),
    Condition("1 px jitter", jitter),
    Condition("off-centre", move_anywhere),
    Condition("in a corner", move_to_corner),
    Condition("with a stray dot", add_tap),
)


def draw_condition(digits: Sequence[PenDigit], condition: Condition) -> Pixels:
    """Draw every digit, first all as written, then all filling the canvas: (2 N, 28, 28) uint8."""
    generator = np.random.default_rng(crc32(condition.name.encode()))
    placed = [place_as_drawn(digit) for digit in digits] + [fit_strokes(digit.strokes) for digit in digits]
    canvases = (render_strokes(condition.change(strokes, generator), condition.pen_width) for strokes in placed)
    return np.stack([prepare_grey(canvas).final for canvas in canvases])


def repeat_placements(values: Sequence[int]) -> Labels:
    """Say a label or writer of each image of `draw_condition`."""
    return np.tile(np.array(values, np.int64), 2)


def draw_rest(digits: Sequence[PenDigit], count: int = NOT_DIGITS) -> tuple[Pixels, list[str]]:
    """Draw what is no digit, and say of which kind each is; pairs are made of `digits`, symbols of the evaluation's."""
    generator = np.random.default_rng(crc32(b"not digits"))
    drawings = draw_not_digits(count, "evaluation", digits, generator)
    images = [redraw_strokes(drawing.strokes, generator, taps=0) for drawing in drawings]
    return np.stack(images), [drawing.kind for drawing in drawings]


def draw_parts(digits: Sequence[PenDigit], known: Pixels, count: int = PARTS) -> tuple[Pixels, list[str]]:
    """Draw pieces of digits and runs of two, leave out what is like one of the `known` digits, and name the rest.

    Of `count` about half are left.
    """
    generator = np.random.default_rng(crc32(b"pieces"))
    drawings = draw_pieces(count, digits, generator)
    images = np.stack([redraw_strokes(drawing.strokes, generator, taps=0) for drawing in drawings])
    rows = find_unlike(images, [drawing.kind for drawing in drawings], known)
    return images[rows], [drawings[row].kind for row in rows]
