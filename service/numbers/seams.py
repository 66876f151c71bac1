"""Seams: ways from the top of a piece of ink to its bottom that cross as little ink as they can.

Where digits touch, the seam between them crosses the thin place, and winds around what leans over. Each stretch of the
width has its best seam, found by dynamic programming; a seam may be wrong, so that its cost speaks for or against it.

Source: the idea of minimal-energy seams, S. Avidan, A. Shamir, Seam Carving for Content-Aware Image Resizing, 2007.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.preprocessing import GreyImage

ROWS = 48
"""The ink is scaled to so many rows: enough to find thin places, and quick."""
SPACING = 0.1
"""Distance between the stretches' middles, as a share of the line height."""
REACH = 0.15
"""How far a stretch reaches to either side of its middle."""
BEND_COST = 0.05
"""Of each step aside, in pixels of ink."""
NEAREST = 0.08
"""Least distance of two seams' mean places; of closer ones, the cheaper is kept."""
PER_LINE = 3.0
"""Most seams for each line height of width."""
LEAST_SEAMS = 3
"""The same where that is less."""
FAIR_SHARE = 0.15
"""Least share of the ink on either side."""
DEAR = 2.0
"""Cost, in widths of the pen, above which a seam is none: two strokes crossed squarely."""
OUTSIDE = 1e3
"""Cost of leaving the picture: never paid, since standing still is free of it."""


class Seam(NamedTuple):
    """A way through the ink."""

    places: NDArray[np.float64]
    """(H,): the x in each row, before which the left side ends."""
    cost: float
    """Ink crossed, in widths of the pen."""


def find_seams(grey: GreyImage, line: float, pen: float) -> list[Seam]:
    """Find the seams through (H, W) ink that may separate digits of such a line and pen, from left to right."""
    height, width = grey.shape
    scale = ROWS / height
    small = Image.fromarray(grey).resize((max(3, round(width * scale)), ROWS), Image.Resampling.BOX)
    cost = np.asarray(small, np.float32) / np.float32(255)
    unit = line * scale
    middles = np.arange(2 * SPACING * unit, cost.shape[1] - 2 * SPACING * unit + 1e-6, max(1.0, SPACING * unit))
    if not len(middles):
        return []
    paths, costs = trace_stretches(cost, middles, max(1, round(REACH * unit)))
    rows = np.clip(((np.arange(height) + 0.5) * scale).astype(int), 0, ROWS - 1)
    seams = [
        Seam((path[rows] + 0.5) * (width / cost.shape[1]), float(total) / (pen * scale))
        for path, total in zip(paths, costs, strict=True)
    ]
    return choose_seams([seam for seam in seams if is_fair(seam, grey)], line, width)


def is_fair(seam: Seam, grey: GreyImage) -> bool:
    """Tell whether enough ink lies on either side."""
    left = np.arange(grey.shape[1]) + 0.5 < seam.places[:, np.newaxis]
    share = float(grey[left].sum(dtype=np.int64)) / float(grey.sum(dtype=np.int64))
    return FAIR_SHARE <= share <= 1 - FAIR_SHARE


def trace_stretches(
    cost: NDArray[np.float32], middles: NDArray[np.float64], reach: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Find the cheapest seam of every stretch at once: columns (stretches, rows) and costs (stretches,)."""
    columns = middles.round().astype(int)[:, np.newaxis] + np.arange(-reach, reach + 1)
    inside = (columns >= 0) & (columns < cost.shape[1])
    stretches = np.where(inside, cost[:, np.clip(columns, 0, cost.shape[1] - 1)], np.float32(OUTSIDE))
    total = stretches[0]
    steps = np.empty(stretches.shape, np.int64)
    edge = np.full((len(columns), 1), np.float32(OUTSIDE))
    for row in range(1, len(stretches)):
        from_left = np.concatenate([edge, total[:, :-1]], axis=1) + np.float32(BEND_COST)
        from_right = np.concatenate([total[:, 1:], edge], axis=1) + np.float32(BEND_COST)
        choices = np.stack([total, from_left, from_right])
        steps[row] = choices.argmin(axis=0)
        total = choices.min(axis=0) + stretches[row]
    return follow_back(steps, total.argmin(axis=1), columns), total.min(axis=1)


def follow_back(steps: NDArray[np.int64], ends: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Follow each stretch's choices from the bottom to the top."""
    stretches = np.arange(len(ends))
    places = np.empty((len(ends), len(steps)), np.int64)
    moves = np.array([0, -1, 1])
    at = ends
    for row in range(len(steps) - 1, -1, -1):
        places[:, row] = at
        if row:
            at = at + moves[steps[row, stretches, at]]
    return np.take_along_axis(columns, places, axis=1)


def choose_seams(seams: list[Seam], line: float, width: int) -> list[Seam]:
    """Keep the cheapest of neighbours, and no more than digits of such a width can need; from left to right."""
    kept: list[Seam] = []
    for seam in sorted(seams, key=lambda seam: seam.cost):
        if seam.cost <= DEAR and all(
            abs(float(seam.places.mean() - other.places.mean())) >= NEAREST * line for other in kept
        ):
            kept.append(seam)
    most = max(LEAST_SEAMS, int(PER_LINE * width / line))
    return sorted(kept[:most], key=lambda seam: float(seam.places.mean()))
