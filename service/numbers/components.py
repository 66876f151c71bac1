"""Connected ink: which pixels hang together.

Rows are cut into runs of ink, runs that touch in neighbouring rows are joined. The same result as
`scipy.ndimage.label` with diagonal neighbours, without SciPy, which the slim server does not have.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]


class Runs(NamedTuple):
    """Stretches of ink within a row, row by row; positions count along the rows, each one pixel longer than it is."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    """The position behind the last pixel."""


class Components(NamedTuple):
    """Connected parts of an image's ink, numbered from 1 in the order of their first pixels."""

    labels: Labels
    """(H, W): the number of each pixel's component; 0 = paper."""
    boxes: NDArray[np.int64]
    """(N, 4): left, top, right and bottom of each, the latter two behind the last pixel."""


def label_components(ink: Mask) -> Components:
    """Number the connected parts of (H, W) ink."""
    padded = np.zeros((ink.shape[0], ink.shape[1] + 1), bool)
    padded[:, :-1] = ink
    runs = find_runs(padded.ravel())
    roots = join_runs(len(runs.starts), *find_touching(runs, padded.shape[1]))
    found, numbers = np.unique(roots, return_inverse=True)
    steps = np.zeros(padded.size + 1, np.int32)
    steps[runs.starts] += numbers.astype(np.int32) + 1
    steps[runs.ends] -= numbers.astype(np.int32) + 1
    labels = np.cumsum(steps[:-1], dtype=np.int32).reshape(padded.shape)[:, :-1]
    return Components(labels, bound_runs(runs, numbers, len(found), padded.shape[1]))


def bound_runs(runs: Runs, numbers: NDArray[np.int64], count: int, width: int) -> NDArray[np.int64]:
    """Give the box around the runs of each number."""
    boxes = np.empty((count, 4), np.int64)
    boxes[:, :2], boxes[:, 2:] = np.iinfo(np.int64).max, 0
    rows, columns = np.divmod(runs.starts, width)
    np.minimum.at(boxes[:, 0], numbers, columns)
    np.minimum.at(boxes[:, 1], numbers, rows)
    np.maximum.at(boxes[:, 2], numbers, columns + runs.ends - runs.starts)
    np.maximum.at(boxes[:, 3], numbers, rows + 1)
    return boxes


def find_runs(line: Mask) -> Runs:
    """Find where ink begins and ends in the rows laid end to end; the last pixel of each row is paper."""
    changes = np.flatnonzero(line[1:] != line[:-1]) + 1
    if len(line) and line[0]:
        changes = np.concatenate([[0], changes])
    return Runs(changes[::2], changes[1::2])


def find_touching(runs: Runs, width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the pairs of runs in neighbouring rows that touch, be it at a corner."""
    first = np.searchsorted(runs.ends, runs.starts + width, "left")
    last = np.searchsorted(runs.starts, runs.ends + width, "right")
    counts = np.maximum(last - first, 0)
    upper = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return upper, first[upper] + rank


def join_runs(count: int, upper: NDArray[np.int64], lower: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each run the lowest index of those that it hangs together with."""
    roots = np.arange(count)
    while True:
        one, other = roots[upper], roots[lower]
        if np.array_equal(one, other):
            return roots
        lowest = np.minimum(one, other)
        np.minimum.at(roots, one, lowest)
        np.minimum.at(roots, other, lowest)
        while not np.array_equal(roots, roots[roots]):
            roots = roots[roots]
