"""A drawing taken apart: the border between those who know strokes or pixels, and the reader, who does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from service.numbers.geometry import Box
from service.preprocessing import GreyImage


class Pieces(NamedTuple):
    """Atoms, and the groups of them that may be a digit."""

    boxes: tuple[Box, ...]
    """Of the atoms, in the order of their middles."""
    line: float
    """Height of the line, in the boxes' units."""
    groups: tuple[int, ...]
    """Sets of atoms as bits, each atom alone among them."""
    joints: tuple[float, ...]
    """Of each group: how it was taken out, `geometry.Features.joint`."""
    draw: Callable[[int], GreyImage]
    """Draws a group: (H, W) grey levels, 0 = paper, 255 = ink."""
    frame: Callable[[int], Box]
    """Gives the box around a group's ink, in the caller's units."""
