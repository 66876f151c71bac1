"""Strokes taken apart: each is an atom, and those near each other may be one digit.

Ink that touches need not be cut, because strokes are known apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.errors import EmptyDrawing, UnreadableNumber
from service.numbers.geometry import (
    Box,
    bits_of,
    distance_between,
    enclose,
    measure_line,
    propose_groups,
    share_of_line,
)
from service.numbers.pieces import Making, Pieces
from service.preprocessing import GreyImage
from service.rendering import PEN_WIDTH, Stroke, draw_lines, flatten_curve, smooth_stroke

STROKES_PER_DIGIT = 4
MAX_STROKES = 48
"""Twelve digits of four strokes each."""
MAX_LENGTH = 300.0
"""Of all strokes together, in line heights; twelve digits take about 50."""
DRAWN_SIZE = 64
"""Side of the square in which a candidate is drawn: more than twice what the model sees."""
DRAWN_LENGTH = 48.0
"""Longer side of a candidate in it."""
DRAWN_PEN = 7.0
SAMPLE_STEP = 0.04
"""Between points that stand for a stroke where distances are measured, in line heights."""
FAR = 0.5
"""Distance of two strokes, in line heights, beyond which it does not matter."""
CONTACT = 0.1
"""Distance, in line heights, up to which two strokes may have been meant to meet."""
FINEST_STEP = 0.05
"""Points of a curve closer to each other than this, in line heights, are one to the eye."""


class Canvas(NamedTuple):
    """The size of what was drawn on, in the strokes' units."""

    width: float
    height: float


def take_strokes_apart(strokes: Sequence[Stroke], canvas: Canvas) -> Pieces:
    """Take strokes, (n, 2) x and y, to candidates. Raises `EmptyDrawing` or `UnreadableNumber`."""
    seen = [stroke for stroke in strokes if is_seen(stroke, canvas)]
    refuse_too_much(seen)
    bounds = [bound_stroke(stroke) for stroke in seen]
    order = sorted(range(len(seen)), key=lambda index: bounds[index].middle)
    boxes = tuple(bounds[index] for index in order)
    line = measure_line(boxes)
    refuse_too_long(seen, line)
    curves = [thin_out(flatten_curve(smooth_stroke(seen[index])), FINEST_STEP * line) for index in order]
    groups = propose_groups(boxes, line, STROKES_PER_DIGIT)

    def draw(group: int) -> GreyImage:
        return draw_group([curves[index] for index in bits_of(group)])

    def frame(group: int) -> Box:
        return add_pen(enclose([boxes[index] for index in bits_of(group)]), canvas)

    distances = measure_distances(curves, boxes, line)
    makings = tuple(describe_making(bits_of(group), boxes, distances) for group in groups)
    return Pieces(boxes, line, tuple(groups), makings, draw, frame)


def is_seen(stroke: Stroke, canvas: Canvas) -> bool:
    """Tell whether any of a stroke lies on the canvas."""
    return bool(((stroke >= 0) & (stroke <= canvas)).all(axis=1).any())


def refuse_too_much(strokes: Sequence[Stroke]) -> None:
    """Count strokes. Raises `EmptyDrawing` or `UnreadableNumber`."""
    if not strokes:
        raise EmptyDrawing("there are no strokes on the canvas: draw a number")
    if len(strokes) > MAX_STROKES:
        raise UnreadableNumber(
            f"there are {len(strokes)} strokes, more than the {MAX_STROKES} that a number of twelve digits may take"
        )


def refuse_too_long(strokes: Sequence[Stroke], line: float) -> None:
    """Measure the way of the pen. Raises `UnreadableNumber`."""
    length = sum(float(np.hypot(*np.diff(stroke, axis=0).T).sum()) for stroke in strokes) / line
    if length > MAX_LENGTH:
        raise UnreadableNumber(
            f"the strokes are {length:,.0f} times as long as the line is high, more than the {MAX_LENGTH:.0f} of any "
            "number: this is a scribble"
        )


def bound_stroke(stroke: Stroke) -> Box:
    """Give the box around the points."""
    return Box(*stroke.min(axis=0).tolist(), *stroke.max(axis=0).tolist())


def thin_out(stroke: Stroke, step: float) -> Stroke:
    """Leave out points that lie within a step of the way behind one that is kept, never the ends."""
    way = np.hypot(*np.diff(stroke, axis=0).T).cumsum()
    kept = np.ones(len(stroke), bool)
    kept[1:-1] = np.diff((way / step).astype(np.int64)) > 0
    return stroke[kept]


def draw_group(strokes: Sequence[Stroke]) -> GreyImage:
    """Draw strokes as large as the square allows, with the pen that the model reads best at that size."""
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = DRAWN_LENGTH / max(float((high - low).max()), 1e-9)
    lines = [(stroke - (low + high) / 2) * scale + DRAWN_SIZE / 2 for stroke in strokes]
    return draw_lines(lines, DRAWN_PEN, DRAWN_SIZE)


def measure_distances(strokes: Sequence[Stroke], boxes: Sequence[Box], line: float) -> NDArray[np.float64]:
    """Give the least distance of every two strokes, (n, n), in line heights, up to `FAR`."""
    samples = [sample_stroke(stroke, SAMPLE_STEP * line) for stroke in strokes]
    distances = np.full((len(strokes), len(strokes)), FAR)
    for one in range(len(strokes)):
        for other in range(one):
            if distance_between(boxes[one], boxes[other]) < FAR * line:
                difference = samples[one][:, np.newaxis] - samples[other]
                squares = np.square(difference[..., 0]) + np.square(difference[..., 1])
                least = float(np.sqrt(squares.min())) / line
                distances[one, other] = distances[other, one] = min(least, FAR)
    return distances


def sample_stroke(stroke: Stroke, step: float) -> Stroke:
    """Give points along a stroke, none further from the next than a step."""
    way = np.concatenate([[0.0], np.hypot(*np.diff(stroke, axis=0).T).cumsum()])
    along = np.linspace(0, way[-1], math.ceil(way[-1] / step) + 1)
    return np.stack([np.interp(along, way, stroke[:, axis]) for axis in (0, 1)], axis=1)


def describe_making(members: Sequence[int], boxes: Sequence[Box], distances: NDArray[np.float64]) -> Making:
    """Say how a group is made: its strokes, how far they are apart, and what touches or overlaps it from outside."""
    outside = [box for place, box in enumerate(boxes) if place not in members]
    overlap = share_of_line(enclose([boxes[member] for member in members]), outside)
    others = np.delete(distances[members], members, axis=1)
    contact = float(np.clip(1 - others.min(axis=0) / CONTACT, 0, 1).sum()) if others.size else 0.0
    within = distances[np.ix_(members, members)] + np.diag([np.inf] * len(members))
    apart = float(within.min(axis=1).max()) if len(members) > 1 else 0.0
    return Making(len(members), apart, overlap, contact=contact)


def add_pen(box: Box, canvas: Canvas) -> Box:
    """Widen a box by half the pen that the page draws with, as far as the canvas reaches."""
    half = PEN_WIDTH / 2
    return Box(
        max(box.left - half, 0.0),
        max(box.top - half, 0.0),
        min(box.right + half, canvas.width),
        min(box.bottom + half, canvas.height),
    )
