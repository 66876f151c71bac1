"""A drawing taken apart: the border between those who know strokes or pixels, and the reader, who does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from service.numbers.geometry import Box
from service.preprocessing import GreyImage


class Making(NamedTuple):
    """How a group is made of its atoms."""

    parts: int
    """Strokes, or pieces of ink that do not hang together."""
    apart: float
    """Distance of the part that is furthest from the others, in line heights."""
    overlap: float
    """How far it shares its stretch of the line with others: 1 for each that it covers, or that covers it."""
    contact: float = 0.0
    """How many strokes that are not its own touch it, 1 for each that meets its line, 0 from `CONTACT` on."""
    cut: float = 0.0
    """What the seams around it cost: lines of the pen that they cross."""
    uncut: float = 0.0
    """How tempting the seams inside it are that were not cut: 1 for each that costs nothing, 0 from `DEAR` on."""


class Pieces(NamedTuple):
    """Atoms, and the groups of them that may be a digit."""

    boxes: tuple[Box, ...]
    """Of the atoms, in the order of their middles."""
    line: float
    """Height of the line, in the boxes' units."""
    groups: tuple[int, ...]
    """Sets of atoms as bits. Whichever were taken for digits, others use up the rest."""
    makings: tuple[Making, ...]
    """Of each group: how it is made of its atoms."""
    draw: Callable[[int], GreyImage]
    """Draws a group: (H, W) grey levels, 0 = paper, 255 = ink."""
    frame: Callable[[int], Box]
    """Gives the box around a group's ink, in the caller's units."""
