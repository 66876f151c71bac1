"""Seams: ways from the top of a piece of ink to its bottom that cross as little of a pen's line as they can.

Where digits touch, their lines lie side by side or on each other, so that the ink there is thicker than the pen: going
through the thick is free, and what costs is to cross a line. The cheapest seam through each place of a few rows is
found by dynamic programming from above and from below; a seam may be wrong, so that its cost speaks for or against it.

Source: the idea of minimal-energy seams, S. Avidan, A. Shamir, Seam Carving for Content-Aware Image Resizing, 2007.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from service.preprocessing import GreyImage

ROWS = 48
"""The ink is scaled to so many rows: enough to find thin places, and quick."""
THROUGH = (0.25, 0.5, 0.75)
"""Rows, as shares of the height, through whose places the cheapest seams are looked for."""
THICK = 1.5
"""Side of the square, in widths of the pen, in which ink is measured: a line fills two thirds of it, two lines all."""
BEND_COST = 0.12
"""Of each step aside, in pixels of ink."""
DIFFERENCE = 0.25
"""Least ink between two seams, in bars as wide as the pen and as high as the line; of closer ones, the cheaper is
kept."""
LEAST_INK = 0.45
"""The same on either side of a seam: half a 1."""
PER_LINE = 4.0
"""Most seams for each line height of width."""
LEAST_SEAMS = 5
"""The same where that is less."""
MOST_SEAMS = 20
"""The same where that is more: what twelve digits that all touch may need, and a bound for scribbles."""
DEAR = 4.0
"""Cost, in widths of the pen, above which a seam is none: four lines crossed squarely."""
OUTSIDE = 1e3
"""Cost of leaving the picture: never paid, since standing still is free of it."""

Steps = NDArray[np.int64]


class Seam(NamedTuple):
    """A way through the ink."""

    places: NDArray[np.float64]
    """(H,): the x in each row, before which the left side ends."""
    cost: float
    """Ink crossed, in widths of the pen."""


class Paths(NamedTuple):
    """Seams through scaled ink."""

    places: NDArray[np.int64]
    """(seams, rows): the last column on the left side."""
    costs: NDArray[np.float32]
    """(seams,): in pixels of ink."""


def find_seams(grey: GreyImage, line: float, pen: float) -> list[Seam]:
    """Find the seams through (H, W) ink that may separate digits of such a line and pen, from left to right."""
    height, width = grey.shape
    scale = ROWS / height
    small = Image.fromarray(grey).resize((max(3, round(width * scale)), ROWS), Image.Resampling.BOX)
    ink = np.asarray(small, np.float32) / np.float32(255)
    paths = trace_paths(weigh_ink(small, pen * scale))
    most = min(max(LEAST_SEAMS, int(PER_LINE * width / line)), MOST_SEAMS)
    chosen = choose_paths(paths, ink, bar=line * pen * scale**2, dear=DEAR * pen * scale, most=most)
    rows = np.clip(((np.arange(height) + 0.5) * scale).astype(int), 0, ROWS - 1)
    across = width / small.width
    return [Seam((paths.places[i, rows] + 0.5) * across, float(paths.costs[i]) / (pen * scale)) for i in chosen]


def weigh_ink(small: Image.Image, pen: float) -> NDArray[np.float32]:
    """Say what each pixel costs to cross: its ink where that is as thin as the pen, nothing where it is thick."""
    radius = max(0.5, (THICK * pen - 1) / 2)
    margin = math.ceil(radius) + 1
    padded = np.pad(np.asarray(small), margin)
    around = np.asarray(Image.fromarray(padded).filter(ImageFilter.BoxBlur(radius)), np.float32)
    filled = around[margin:-margin, margin:-margin] / 255
    thickness = np.clip((filled * THICK - 1) / (THICK - 1), 0, 1)
    cost = np.asarray(small, np.float32) / 255 * (1 - thickness)
    return cost.astype(np.float32)


def trace_paths(cost: NDArray[np.float32]) -> Paths:
    """Find the cheapest seams through the rows that are asked about: one for each place that is cheaper than those
    beside it.
    """
    totals, steps = sweep(np.stack([cost, cost[::-1]]))
    through = totals[0] + totals[1, ::-1] - cost
    places, costs = [], []
    for row in (int(share * len(cost)) for share in THROUGH):
        at = find_lowest(through[row])
        above = follow_back(steps[0, : row + 1], at)
        below = follow_back(steps[1, : len(cost) - row], at)[:, ::-1]
        places.append(np.concatenate([above, below[:, 1:]], axis=1))
        costs.append(through[row, at])
    return Paths(np.concatenate(places), np.concatenate(costs))


def find_lowest(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """List where values are lower than those beside them; of equal neighbours, the last."""
    return np.flatnonzero((values[1:-1] <= values[:-2]) & (values[1:-1] < values[2:])) + 1


def sweep(costs: NDArray[np.float32]) -> tuple[NDArray[np.float32], Steps]:
    """Find the cheapest ways down to every pixel of (N, rows, columns) costs, and the last step aside of each."""
    totals = np.pad(costs, ((0, 0), (0, 0), (1, 1)), constant_values=OUTSIDE)
    for row in range(1, costs.shape[1]):
        before = totals[:, row - 1]
        aside = np.minimum(before[:, :-2], before[:, 2:]) + np.float32(BEND_COST)
        totals[:, row, 1:-1] += np.minimum(before[:, 1:-1], aside)
    return totals[..., 1:-1], find_steps(totals)


def find_steps(totals: NDArray[np.float32]) -> Steps:
    """Say where each of the cheapest ways came from: straight from above, or from the left, -1, or the right, 1."""
    above, from_left, from_right = totals[:, :-1, 1:-1], totals[:, :-1, :-2], totals[:, :-1, 2:]
    is_aside = np.minimum(from_left, from_right) + np.float32(BEND_COST) < above
    steps = np.where(is_aside, np.where(from_left <= from_right, -1, 1), 0)
    return np.pad(steps, ((0, 0), (1, 0), (0, 0)))


def follow_back(steps: Steps, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Follow the steps from places in the last row to the first: columns, (ends, rows)."""
    places = np.empty((len(ends), len(steps)), np.int64)
    at = ends
    for row in range(len(steps) - 1, -1, -1):
        places[:, row] = at
        at = at + steps[row, at]
    return places


def choose_paths(paths: Paths, ink: NDArray[np.float32], bar: float, dear: float, most: int) -> list[int]:
    """Keep the cheapest that have enough ink on either side and between them; from left to right."""
    sums = np.cumsum(ink, axis=1)
    left = sums[np.arange(len(ink)), paths.places]
    shares, total = left.sum(axis=1), float(sums[:, -1].sum())
    fair = (shares >= LEAST_INK * bar) & (total - shares >= LEAST_INK * bar) & (paths.costs <= dear)
    kept: list[int] = []
    for index in np.argsort(paths.costs, kind="stable").tolist():
        if fair[index] and (np.abs(left[kept] - left[index]).sum(axis=1) >= DIFFERENCE * bar).all():
            kept.append(index)
        if len(kept) == most:
            break
    return sorted(kept, key=lambda index: float(shares[index]))
