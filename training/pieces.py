"""Drawings that a reader of whole numbers meets on its way: pieces of digits, and digits that run into each other.

Many a piece is a digit itself: the stem of a 4, the loop of a 9, half an 8. So what looks like a digit is left out, by
a rule that needs no model: it lies closer to a real digit than nearly every real digit lies to its nearest other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from training.negatives import NotDigit, scale_to_height

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from training.data import Pixels
    from training.unipen import PenDigit, Stroke

KINDS = ("piece", "touching", "piece", "touching", "piece")
"""What is drawn in turn: cut off, two that touch, begun, one beside part of another, one stroke of several."""
BLUR = 1.0
"""Standard deviation, in pixels, that forgives small shifts when images are compared."""
LIKE_A_DIGIT = {"piece": 0.97, "touching": 0.85}
"""Share of the real digits whose nearest other is no further away than a drawing that counts as like a digit. Many
pieces are digits, and two digits seldom look like one."""
LEAST_NEIGHBOUR = 80.0
"""Length of the line that counts as part of a neighbour, where a digit is 100 high; less is a stray mark."""


def name_kinds(count: int) -> list[str]:
    """Say of which kind each of the drawings is."""
    return [KINDS[index % len(KINDS)] for index in range(count)]


def draw_pieces(count: int, digits: Sequence[PenDigit], generator: np.random.Generator) -> list[NotDigit]:
    """Draw as many pieces, and as many runs of two, of each kind in turn: `count` in all, made of `digits`."""
    makers = (draw_cut, draw_touching, draw_beginning, draw_with_neighbour, draw_stroke)
    return [
        NotDigit(kind, makers[index % len(makers)](digits, generator)) for index, kind in enumerate(name_kinds(count))
    ]


def pick(digits: Sequence[PenDigit], generator: np.random.Generator) -> list[Stroke]:
    """Choose a digit, scaled to a common height."""
    return scale_to_height(digits[int(generator.integers(len(digits)))].strokes)


def draw_cut(digits: Sequence[PenDigit], generator: np.random.Generator) -> list[Stroke]:
    """Cut a digit along a line, upright more often than level, and keep one side."""
    strokes = pick(digits, generator)
    axis = int(generator.random() < 0.3)
    return cut_away(strokes, axis, float(generator.uniform(0.3, 0.7)), bool(generator.integers(2)))


def draw_beginning(digits: Sequence[PenDigit], generator: np.random.Generator) -> list[Stroke]:
    """Stop writing before the digit is whole."""
    strokes = pick(digits, generator)
    left = max(1, round(sum(map(len, strokes)) * generator.uniform(0.3, 0.8)))
    begun = []
    for stroke in strokes:
        begun.append(stroke[:left])
        left -= len(stroke)
        if left <= 0:
            break
    return begun


def draw_stroke(digits: Sequence[PenDigit], generator: np.random.Generator) -> list[Stroke]:
    """Take one stroke of a digit that has several; where none has, what was begun."""
    several = [digit for digit in digits if len(digit.strokes) > 1]
    if not several:
        return draw_beginning(digits, generator)
    strokes = pick(several, generator)
    return [strokes[int(generator.integers(len(strokes)))]]


def draw_touching(digits: Sequence[PenDigit], generator: np.random.Generator) -> list[Stroke]:
    """Write two digits that touch or overlap."""
    return set_beside(pick(digits, generator), pick(digits, generator), float(generator.uniform(-30, 10)))


def draw_with_neighbour(digits: Sequence[PenDigit], generator: np.random.Generator) -> list[Stroke]:
    """Write a digit beside the near part of its neighbour."""
    whole, other = pick(digits, generator), pick(digits, generator)
    gap, share, follows = float(generator.uniform(-15, 25)), float(generator.uniform(0.3, 0.7)), generator.integers(2)
    part = cut_away(other, 0, share, keep_first=bool(follows))
    if sum(float(np.hypot(*np.diff(stroke, axis=0).T).sum()) for stroke in part) < LEAST_NEIGHBOUR:
        part = other
    return set_beside(whole, part, gap) if follows else set_beside(part, whole, gap)


def cut_away(strokes: Sequence[Stroke], axis: int, share: float, keep_first: bool) -> list[Stroke]:
    """Keep what lies before, or after, a line at `share` of the box along x (0) or y (1); never nothing."""
    values = np.concatenate(strokes)[:, axis]
    line = values.min() + share * np.ptp(values)
    kept = []
    for stroke in strokes:
        inside = (stroke[:, axis] <= line) == keep_first
        bounds = np.flatnonzero(np.diff(inside)) + 1
        runs = np.split(stroke, bounds)
        kept += [run for run, first in zip(runs, np.split(inside, bounds), strict=True) if first[0]]
    return kept or list(strokes)


def set_beside(left: Sequence[Stroke], right: Sequence[Stroke], gap: float) -> list[Stroke]:
    """Put the right strokes' box so far behind the left strokes'."""
    end = max(float(stroke[:, 0].max()) for stroke in left)
    begin = min(float(stroke[:, 0].min()) for stroke in right)
    return [*left, *(stroke + np.array([end + gap - begin, 0.0]) for stroke in right)]


def find_unlike(images: Pixels, kinds: Sequence[str], digits: Pixels) -> NDArray[np.int64]:
    """Give the rows of the images that are like none of the digits; both prepared, (N, 28, 28) uint8."""
    known = direct(digits)
    among = known @ known.T
    np.fill_diagonal(among, -1)
    nearest_other = among.max(axis=1)
    likeness = (direct(images) @ known.T).max(axis=1)
    limits = {kind: np.quantile(nearest_other, 1 - share) for kind, share in LIKE_A_DIGIT.items()}
    return np.flatnonzero(likeness < [limits[kind] for kind in kinds])


def direct(images: Pixels) -> NDArray[np.float32]:
    """Blur images and flatten them to vectors of length one, whose products say how alike they are."""
    blurred = gaussian_filter(images.astype(np.float32), (0, BLUR, BLUR)).reshape(len(images), -1)
    vectors: NDArray[np.float32] = blurred / np.maximum(np.linalg.norm(blurred, axis=1, keepdims=True), 1)
    return vectors
