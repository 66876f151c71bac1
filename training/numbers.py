"""Whole numbers composed from recorded digits: the fixed questions by which the reading of numbers is judged.

One writer a number, in that writer's own sizes, on a line that rises or falls and leans a little, with the gaps that a
spacing says. The canvas grows with the number. Random choices depend on the spacing's name alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

import numpy as np

from service.rendering import PEN_WIDTH, render_strokes
from training.strokes import place_as_drawn

if TYPE_CHECKING:
    from training.data import Pixels
    from training.unipen import PenDigit, Stroke

MARGIN = 30.0
"""Between the pen's line and the edges of the canvas, in pixels."""
DIGIT_JITTER = 0.04
"""Standard deviation of a digit's height above the line, in line heights."""
STEEPEST_LINE = 0.1
"""Rise over run: up to six degrees."""
LEAN = 0.1
"""Standard deviation of the shear, x over y."""
STEP = 2.0
"""Between points that stand for a stroke where distances are measured, in pixels."""
SHIFTS = 24
"""Halvings in the search for a place: enough for a millionth of a pixel."""


class ComposedNumber(NamedTuple):
    """A number as it may have been written."""

    text: str
    writer: int
    strokes: list[Stroke]
    """In pixels of the canvas, in the order of writing."""
    owners: tuple[int, ...]
    """Of each stroke, the place of its digit."""
    width: float
    height: float

    def draw(self) -> Pixels:
        """Draw it as the page does: (height, width) uint8."""
        height, width = int(np.ceil(self.height)), int(np.ceil(self.width))
        return render_strokes(self.strokes, PEN_WIDTH, max(height, width))[:height, :width]


Place = Callable[[list["Stroke"], list["Stroke"], float, np.random.Generator], float]
"""Says how far to move a digit to the right, to follow another: both, the line's height, and a source of chance."""


class Spacing(NamedTuple):
    """How numbers of a kind are written."""

    name: str
    place: Place
    lengths: tuple[int, int]
    """Least and greatest number of digits."""


def apart(least: float, most: float) -> Place:
    """Leave a gap of paper between the digits' boxes, in line heights."""

    def place(before: list[Stroke], after: list[Stroke], line: float, generator: np.random.Generator) -> float:
        return shift_for_gap(before, after, PEN_WIDTH + line * float(generator.uniform(least, most)))

    return place


def touching(before: list[Stroke], after: list[Stroke], line: float, generator: np.random.Generator) -> float:
    """Let the ink of two digits touch, or run into each other by up to two fifths of the pen."""
    del line
    return shift_for_distance(before, after, PEN_WIDTH * float(generator.uniform(0.6, 1.0)))


def interleaved(before: list[Stroke], after: list[Stroke], line: float, generator: np.random.Generator) -> float:
    """Let the boxes overlap as far as the ink of the two does not touch, by at most a fifth of the line's height."""
    wanted = shift_for_gap(before, after, -line * float(generator.uniform(0.02, 0.2)))
    return max(wanted, shift_for_distance(before, after, PEN_WIDTH * float(generator.uniform(1.15, 1.5))))


def mixed(before: list[Stroke], after: list[Stroke], line: float, generator: np.random.Generator) -> float:
    """Choose one of the four for each gap."""
    places = (apart(*WIDE), apart(*NATURAL), touching, interleaved)
    return places[int(generator.integers(len(places)))](before, after, line, generator)


WIDE = (0.4, 0.9)
NATURAL = (0.05, 0.4)
SEPARATED = Spacing("separated", apart(*WIDE), (3, 3))
NATURALLY = Spacing("natural gaps", apart(*NATURAL), (1, 6))
TOUCHING = Spacing("touching pairs", touching, (2, 2))
INTERLEAVED = Spacing("overlapping in x", interleaved, (2, 4))
MIXED = Spacing("all gaps mixed", mixed, (1, 6))
SPACINGS = (SEPARATED, NATURALLY, TOUCHING, INTERLEAVED, MIXED)


def compose_numbers(digits: Sequence[PenDigit], spacing: Spacing, count: int, seed: int = 0) -> list[ComposedNumber]:
    """Compose numbers of a kind; the writers take turns."""
    generator = np.random.default_rng((crc32(spacing.name.encode()), seed))
    by_writer = group_digits(digits)
    writers = sorted(by_writer)
    return [compose(writers[index % len(writers)], by_writer, spacing, generator) for index in range(count)]


def group_digits(digits: Sequence[PenDigit]) -> dict[int, dict[int, list[PenDigit]]]:
    """Group digits by writer and label."""
    groups: dict[int, dict[int, list[PenDigit]]] = {}
    for digit in digits:
        groups.setdefault(digit.writer, {}).setdefault(digit.label, []).append(digit)
    return groups


def compose(
    writer: int, by_writer: dict[int, dict[int, list[PenDigit]]], spacing: Spacing, generator: np.random.Generator
) -> ComposedNumber:
    """Compose one number."""
    own = by_writer[writer]
    labels = generator.choice(sorted(own), int(generator.integers(spacing.lengths[0], spacing.lengths[1] + 1)))
    drawn = [stand_on_line(own[int(label)][int(generator.integers(len(own[int(label)])))]) for label in labels]
    line = float(np.median([np.ptp(np.concatenate(strokes)[:, 1]) for strokes in drawn]))
    placed = [raise_by(drawn[0], line, generator)]
    for strokes in drawn[1:]:
        raised = raise_by(strokes, line, generator)
        placed.append(move(raised, spacing.place(placed[-1], raised, line, generator), 0.0))
    text = "".join(map(str, labels))
    owners = tuple(place for place, strokes in enumerate(placed) for _ in strokes)
    return lay_on_canvas(text, writer, [stroke for strokes in placed for stroke in strokes], owners, generator)


def stand_on_line(digit: PenDigit) -> list[Stroke]:
    """Move a digit so that its box begins at x 0 and ends at y 0."""
    strokes = place_as_drawn(digit)
    points = np.concatenate(strokes)
    return move(strokes, -float(points[:, 0].min()), -float(points[:, 1].max()))


def raise_by(strokes: list[Stroke], line: float, generator: np.random.Generator) -> list[Stroke]:
    """Move a digit off the line by a little."""
    return move(strokes, 0.0, line * float(generator.normal(0, DIGIT_JITTER)))


def move(strokes: Sequence[Stroke], x: float, y: float) -> list[Stroke]:
    """Move strokes."""
    return [stroke + np.array([x, y]) for stroke in strokes]


def lay_on_canvas(
    text: str, writer: int, strokes: list[Stroke], owners: tuple[int, ...], generator: np.random.Generator
) -> ComposedNumber:
    """Slope the line, lean the digits, and put a canvas around them."""
    slope, lean = generator.uniform(-STEEPEST_LINE, STEEPEST_LINE), generator.normal(0, LEAN)
    matrix = np.array([[1.0, -lean], [slope, 1.0]])
    sloped = [stroke @ matrix.T for stroke in strokes]
    points = np.concatenate(sloped)
    low, size = points.min(axis=0), np.ptp(points, axis=0) + 2 * MARGIN
    return ComposedNumber(text, writer, move(sloped, *(MARGIN - low)), owners, *map(float, size))


def shift_for_gap(before: Sequence[Stroke], after: Sequence[Stroke], gap: float) -> float:
    """Say how far to move a digit so that its box begins so far behind the other's end."""
    return max(float(stroke[:, 0].max()) for stroke in before) + gap - min(float(s[:, 0].min()) for s in after)


def shift_for_distance(before: Sequence[Stroke], after: Sequence[Stroke], distance: float) -> float:
    """Say how far to move a digit so that the least distance between the two pens' lines is this.

    Found by halving between boxes that are so far apart and boxes that begin together.
    """
    left, right = sample_points(before), sample_points(after)
    far = shift_for_gap(before, after, distance)
    near = float(left[:, 0].min() - right[:, 0].min())
    for _ in range(SHIFTS):
        middle = (near + far) / 2
        difference = left[:, np.newaxis] - (right + np.array([middle, 0.0]))
        if float(np.hypot(difference[..., 0], difference[..., 1]).min()) < distance:
            near = middle
        else:
            far = middle
    return far


def sample_points(strokes: Sequence[Stroke]) -> Stroke:
    """Give points along strokes, none further from the next than `STEP`."""
    return np.concatenate([sample_stroke(stroke) for stroke in strokes])


def sample_stroke(stroke: Stroke) -> Stroke:
    """Give points along one stroke."""
    way = np.concatenate([[0.0], np.hypot(*np.diff(stroke, axis=0).T).cumsum()])
    along = np.linspace(0, way[-1], max(1, int(np.ceil(way[-1] / STEP))) + 1)
    return np.stack([np.interp(along, way, stroke[:, axis]) for axis in (0, 1)], axis=1)
