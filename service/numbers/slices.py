"""Connected ink cut along its seams, in all ways that may take a digit out of it.

Seams may cross each other. So what is never taken apart are the cells, the ink that lies on the same side of every
seam; and a slice is what lies behind one seam, or the beginning, and before another that does not cross it, or the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from PIL import Image

from service.numbers.components import Labels, Mask
from service.numbers.geometry import WIDEST, Box, bits_of, enclose
from service.numbers.seams import DEAR, Seam, find_seams
from service.preprocessing import GreyImage

LEAST_CELL = 0.1
"""Ink of a cell, in bars as wide as the pen and as high as the line, below which it goes with the most similar one."""
SHORTEST = 0.4
"""Height of a slice that may be a digit, in line heights."""


class Slice(NamedTuple):
    """A part of a piece of ink that may be a digit."""

    cells: int
    """As bits."""
    before: int
    """The cells to its left."""
    after: int
    """The cells to its right."""
    cut: float
    """What the seams around it cost."""
    uncut: float
    """How tempting the seams in it are: 1 for each that costs nothing, 0 from `DEAR` on."""


class Cells(NamedTuple):
    """Ink as seams divide it."""

    parts: Labels
    """(H, W): which cell each pixel of the ink is in."""
    sides: tuple[int, ...]
    """Of each cell: the seams to whose right it lies, as bits."""
    boxes: tuple[Box, ...]


class Sliced(NamedTuple):
    """A piece of ink that may be cut."""

    cells: Cells
    whole: Slice
    slices: tuple[Slice, ...]
    """Without the whole. Each is part of some way to use every cell."""


def slice_piece(grey: GreyImage, line: float, pen: float) -> Sliced:
    """Cut (H, W) ink that hangs together."""
    own = grey > 0
    seams = find_seams(grey, line, pen)
    cells = find_cells(own, seams, LEAST_CELL * line * pen)
    whole = describe_slice(0, len(seams) + 1, cells.sides, seams)
    return Sliced(cells, whole, list_slices(cells, seams, line))


def find_cells(own: Mask, seams: Sequence[Seam], least: float) -> Cells:
    """Divide ink along all seams; cells of less ink than the least go with the one that fewest seams keep them from."""
    x = np.arange(own.shape[1]) + 0.5
    sides = np.zeros(own.shape, np.int32)
    for place, seam in enumerate(seams):
        sides |= (x >= seam.places[:, np.newaxis]).astype(np.int32) << place
    inks = np.bincount(sides[own], minlength=1)
    found = sorted(np.flatnonzero(inks).tolist(), key=lambda side: -inks[side])
    kept = [side for side in found if inks[side] >= least] or found[:1]
    numbers = np.zeros(len(inks), np.int32)
    for side in found:
        numbers[side] = min(range(len(kept)), key=lambda cell: (side ^ kept[cell]).bit_count())
    parts = np.where(own, numbers[np.minimum(sides, len(inks) - 1)], -1)
    return Cells(parts, tuple(kept), tuple(bound_ink(parts == cell) for cell in range(len(kept))))


def bound_ink(ink: Mask) -> Box:
    """Give the box around ink."""
    return Box(*map(float, Image.fromarray(ink).getbbox() or (0, 0, 0, 0)))


def list_slices(cells: Cells, seams: Sequence[Seam], line: float) -> tuple[Slice, ...]:
    """List what is between two seams, if it may be a digit and the rest can be used as well."""
    end = len(seams) + 1
    between = {
        pair: describe_slice(*pair, cells.sides, seams)
        for pair in combinations(range(end + 1), 2)
        if pair != (0, end) and not is_crossed(*pair, cells.sides)
    }
    likely = [pair for pair, slice_ in between.items() if may_be_digit(slice_, cells.boxes, line)]
    different = {between[pair].cells: between[pair] for pair in keep_ways(likely, end)}
    return tuple(different.values())


def is_crossed(first: int, last: int, sides: Sequence[int]) -> bool:
    """Tell whether ink lies both to the left of the first seam and to the right of the last, counted from 1."""
    return any(not is_right(first, side) and is_right(last, side) for side in sides)


def is_right(seam: int, side: int) -> bool:
    """Tell whether a cell lies to the right of a seam, counted from 1; all are to the right of the beginning, 0."""
    return seam == 0 or bool(side >> (seam - 1) & 1)


def describe_slice(first: int, last: int, sides: Sequence[int], seams: Sequence[Seam]) -> Slice:
    """Give what is between two seams, counted from 1."""
    before = sum(1 << cell for cell, side in enumerate(sides) if not is_right(first, side))
    after = sum(1 << cell for cell, side in enumerate(sides) if is_right(last, side))
    costs = [0.0, *(seam.cost for seam in seams), 0.0]
    uncut = sum(max(0.0, 1 - cost / DEAR) for cost in costs[first + 1 : last])
    return Slice((1 << len(sides)) - 1 & ~before & ~after, before, after, costs[first] + costs[last], uncut)


def may_be_digit(slice_: Slice, boxes: Sequence[Box], line: float) -> bool:
    """Tell whether a slice has the size of a digit."""
    if not slice_.cells:
        return False
    box = enclose([boxes[cell] for cell in bits_of(slice_.cells)])
    return box.height >= SHORTEST * line and box.width <= WIDEST * line


def keep_ways(pairs: Sequence[tuple[int, int]], end: int) -> list[tuple[int, int]]:
    """Leave out pairs that no way from 0 to the end goes through; a pair leads from its first to its second number."""
    reached, leading = {0}, {end}
    for first, last in sorted(pairs):
        if first in reached:
            reached.add(last)
    for first, last in sorted(pairs, reverse=True):
        if last in leading:
            leading.add(first)
    return [(first, last) for first, last in pairs if first in reached and last in leading]
