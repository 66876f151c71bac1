"""Drawings that are no digit: taps, scribbles, letters and symbols, two digits at once.

The letters and symbols are drawings of our own on a square of 100, in `not_digits.json`, in two groups that share no
shape: one to learn from, one to be judged by. Those that a reader would take for a digit (O, I, l, S, Z, B, D, b, g,
q) are in neither.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.unipen import PenDigit, Stroke

POINTS_PER_EDGE = 8

Group = Literal["training", "evaluation"]


class NotDigit(NamedTuple):
    """A drawing that is no digit."""

    kind: str
    """taps, scribble, symbol or pair."""
    strokes: list[Stroke]
    """In units of its own."""


def load_symbols(group: Group) -> list[NotDigit]:
    """Read our own letters and symbols."""
    drawings = json.loads(files("training").joinpath("not_digits.json").read_text("utf-8"))[group]
    return [NotDigit("symbol", [fill_in(np.array(stroke)) for stroke in strokes]) for strokes in drawings.values()]


def fill_in(corners: Stroke) -> Stroke:
    """Put points between corners as a moving pen does, so that smoothing does not cut the corners."""
    along = np.arange(len(corners))
    fine = np.linspace(0, len(corners) - 1, POINTS_PER_EDGE * (len(corners) - 1) + 1)
    return np.stack([np.interp(fine, along, corners[:, axis]) for axis in (0, 1)], axis=1)


def draw_not_digits(
    count: int, group: Group, digits: Sequence[PenDigit], generator: np.random.Generator
) -> list[NotDigit]:
    """Draw as many of each kind, in turn: `count` in all. Pairs are made of `digits`."""
    symbols = load_symbols(group)
    makers = (
        lambda: draw_taps(generator),
        lambda: draw_scribble(generator),
        lambda: symbols[generator.integers(len(symbols))],
        lambda: draw_pair(digits, generator),
    )
    return [makers[index % len(makers)]() for index in range(count)]


def draw_taps(generator: np.random.Generator) -> NotDigit:
    """Tap the pen one to four times, sometimes slipping a little."""
    places = generator.uniform(0, 100, (int(generator.integers(1, 5)), 1, 2))
    slips = generator.normal(0, 1.5, (len(places), 3, 2)).cumsum(axis=1)
    return NotDigit("taps", list(places + slips))


def draw_scribble(generator: np.random.Generator) -> NotDigit:
    """Move the pen about at random on a spring: it curls, crosses itself, and stays near where it began."""
    inertia = generator.uniform(0.3, 0.9)
    velocity, place, path = np.zeros(2), np.zeros(2), []
    for _ in range(int(generator.integers(30, 120))):
        velocity = inertia * velocity - 0.1 * place + generator.normal(0, 20, 2)
        place = place + velocity
        path.append(place)
    return NotDigit("scribble", [np.array(path)])


def draw_pair(digits: Sequence[PenDigit], generator: np.random.Generator) -> NotDigit:
    """Write two digits side by side, as high as each other, with a small gap."""
    left, right = (scale_to_height(digits[int(index)].strokes) for index in generator.integers(len(digits), size=2))
    shift = max(float(stroke[:, 0].max()) for stroke in left) + generator.uniform(5, 40)
    return NotDigit("pair", [*left, *(stroke + np.array([shift, 0]) for stroke in right)])


def scale_to_height(strokes: Sequence[Stroke], height: float = 100.0) -> list[Stroke]:
    """Scale to a height and put the upper left corner at the origin."""
    points = np.concatenate(strokes)
    low = points.min(axis=0)
    scale = height / max(float(np.ptp(points[:, 1])), 1.0)
    return [(stroke - low) * scale for stroke in strokes]
