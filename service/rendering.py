"""Pen strokes to pixels, as the page's canvas draws them: smoothed, with a round white pen on dark paper.

A stroke is (n, 2) x and y on the canvas, in pixels from the left and from the top. Shared by training, which draws what
people will draw, and by the reading of whole numbers, which draws candidates for a digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

Stroke = NDArray[np.float64]
"""(n, 2): x to the right, y downwards."""

CANVAS_SIZE = 280
PEN_WIDTH = 20.0
SMOOTHING = 0.3
"""Weight of the smoothed point before; the page's default."""
PAPER_LEVEL = 11
"""ITU-R 601 grey of the page's #0a0a0f."""
INK_LEVEL = 255
SEGMENT_LENGTH = 6.0
"""Curves are drawn as straight pieces of at most this length, in pixels: under a round pen no eye sees corners."""


def render_strokes(
    strokes: Sequence[ArrayLike],
    pen_width: float = PEN_WIDTH,
    canvas_size: int = CANVAS_SIZE,
    smoothing: float = SMOOTHING,
) -> NDArray[np.uint8]:
    """Draw strokes on a square canvas: (canvas_size, canvas_size) uint8 grey levels.

    Where the pen's edge crosses a pixel, the distance to the line stands for the covered area, which is at most a
    few grey levels from what a browser's antialiasing gives.
    """
    return draw_lines([flatten_curve(smooth_stroke(stroke, smoothing)) for stroke in strokes], pen_width, canvas_size)


def draw_lines(lines: Sequence[Stroke], pen_width: float, canvas_size: int) -> NDArray[np.uint8]:
    """Draw polylines as they are."""
    pieces = np.concatenate([cut_pieces(line) for line in lines])
    margin = int(np.ceil(pen_width / 2)) + 1
    coverage = measure_coverage(pieces + margin, pen_width, canvas_size + 2 * margin)[margin:-margin, margin:-margin]
    return (PAPER_LEVEL + coverage * (INK_LEVEL - PAPER_LEVEL) + 0.5).astype(np.uint8)


def smooth_stroke(stroke: ArrayLike, smoothing: float = SMOOTHING) -> Stroke:
    """Make each point the weighted average of itself and the smoothed point before."""
    points = np.asarray(stroke, np.float64)
    axes = [smooth_values(points[:, axis].tolist(), smoothing) for axis in (0, 1)]
    return np.array(axes).T


def smooth_values(values: list[float], smoothing: float) -> list[float]:
    """Run the average over one coordinate: `scipy.signal.lfilter` to the last bit, which the slim server has not."""
    keep = 1 - smoothing
    return list(accumulate(values, lambda before, value: keep * value + smoothing * before, initial=values[0]))[1:]


def flatten_curve(points: Stroke) -> Stroke:
    """Follow quadratic Béziers from midpoint to midpoint, with the points as control points, by points on them."""
    if len(points) < 3:
        return points
    control = points[1:-1]
    ends = (control + points[2:]) / 2
    starts = np.concatenate([points[:1], ends[:-1]])
    halves = starts / 4 + control / 2 + ends / 4
    curve = np.stack([halves, ends], axis=1).reshape(-1, 2)
    return np.concatenate([points[:1], curve, points[-1:]])


def cut_pieces(points: Stroke) -> NDArray[np.float64]:
    """Cut a polyline into (n, 2, 2) straight pieces, start and end, none longer than `SEGMENT_LENGTH`."""
    starts, ends = (points[:-1], points[1:]) if len(points) > 1 else (points, points)
    counts = np.maximum(1, np.ceil(np.hypot(*(ends - starts).T) / SEGMENT_LENGTH)).astype(int)
    owner = np.repeat(np.arange(len(starts)), counts)
    rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    step = ((ends - starts) / counts[:, np.newaxis])[owner]
    begin = starts[owner] + step * rank[:, np.newaxis]
    return np.stack([begin, begin + step], axis=1)


def measure_coverage(pieces: NDArray[np.float64], pen_width: float, size: int) -> NDArray[np.float32]:
    """Give each pixel of a square the share of it that a round pen covers, from its centre's distance to the line.

    Each piece reaches no further than a window around it, so only that is looked at.
    """
    side = min(size, int(np.ceil(pen_width + SEGMENT_LENGTH)) + 3)
    middles = pieces.mean(axis=1)
    corners = np.clip(np.floor(middles - side / 2), 0, size - side).astype(int)
    distances = measure_distances(pieces, corners, side)
    nearest = np.full((size, size), np.inf, np.float32)
    for (left, top), window in zip(corners, distances, strict=True):
        view = nearest[top : top + side, left : left + side]
        np.minimum(view, window, out=view)
    return np.clip(pen_width / 2 + 0.5 - np.sqrt(nearest), 0, 1)


def measure_distances(pieces: NDArray[np.float64], corners: NDArray[np.int64], side: int) -> NDArray[np.float32]:
    """Square distances (n, side, side) from the pixels' centres in each piece's window to that piece."""
    origin = (pieces[:, 0] - corners).astype(np.float32)
    direction = (pieces[:, 1] - pieces[:, 0]).astype(np.float32)
    length = np.maximum(np.square(direction).sum(1), np.float32(1e-12))
    grid = np.arange(side, dtype=np.float32) + np.float32(0.5)
    x = grid[np.newaxis, np.newaxis, :] - origin[:, 0, np.newaxis, np.newaxis]
    y = grid[np.newaxis, :, np.newaxis] - origin[:, 1, np.newaxis, np.newaxis]
    along_x, along_y = (direction[:, axis, np.newaxis, np.newaxis] for axis in (0, 1))
    along = np.clip((x * along_x + y * along_y) / length[:, np.newaxis, np.newaxis], 0, 1)
    squares: NDArray[np.float32] = np.square(x - along * along_x) + np.square(y - along * along_y)
    return squares
