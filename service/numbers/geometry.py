"""Where atoms lie, which of them may be one digit together, and what their places say about that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from service.errors import UnreadableNumber

MAX_CANDIDATES = 256
"""Of one drawing. A number of twelve digits written in one stroke each has 12, and 40 where all of them touch."""
WIDEST = 1.5
"""Width of a digit put together from several atoms, in line heights; the widest of the pen digits has 1.4."""
SMALL = 0.5
"""Longer side of an atom, in line heights, up to which it counts as a mark that belongs to some digit."""
REACH = 0.2
"""Gap in x, in line heights, across which two atoms may be one digit: 99.8 % of the pen digits of several strokes have
none above 0.12."""
REACH_UPWARDS = 0.5
"""The same in y: the loops of an 8 may miss each other, and then the line seems as low as one of them."""
ASIDE = 1.25
"""Width of two atoms that are wider than a digit together, relative to the wider of them: roofs are wide."""
REACH_OF_MARKS = 0.4
"""The same where one of the two is small."""
TALL = 0.5
"""Share of the highest atom's height from which an atom counts for the height of the line."""
FLATTEST = 0.2
"""Least height of the line, as a share of the widest atom's width: a dash has next to none of its own."""


class Box(NamedTuple):
    """A rectangle, in the drawing's units."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """The middle's x."""
        return (self.left + self.right) / 2


class Features(NamedTuple):
    """What is known about a candidate; lengths in line heights. Each has a weight."""

    bias: float
    certainty: float
    """Logarithm of the odds that the model gives its likeliest label, within limits."""
    low: float
    """By how much it is lower than the line is high."""
    wide: float
    """By how much it is wider than `USUAL_WIDTH`."""
    apart: float
    """How far its parts are from each other."""
    contact: float
    """How many strokes that are not its own touch it."""
    overlap: float
    """How far it shares its stretch of the line with what is not its own."""
    parts: float
    """How many parts it has beside the first: strokes, or pieces of ink."""
    cut: float
    """Lines of the pen that were crossed to cut it out."""
    uncut: float
    """How much speaks for cutting it further."""
    doubt: float
    """By how much `certainty` is below `SURE`."""


USUAL_WIDTH = 0.8
SURE = 2.0
CERTAINTY_LIMITS = (-4.0, 8.0)


def enclose(boxes: Sequence[Box]) -> Box:
    """Give the box around boxes."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return Box(min(lefts), min(tops), max(rights), max(bottoms))


def measure_line(boxes: Sequence[Box]) -> float:
    """Give the height of the line: the median of the high atoms' heights."""
    highest = max(box.height for box in boxes)
    tall = sorted(box.height for box in boxes if box.height >= TALL * highest)
    return max(tall[len(tall) // 2], FLATTEST * max(box.width for box in boxes), 1e-9)


def gap_between(one: Box, other: Box) -> float:
    """Give the gap in x; negative where they overlap."""
    return max(one.left, other.left) - min(one.right, other.right)


def distance_between(one: Box, other: Box) -> float:
    """Give the distance, 0 where they overlap."""
    return math.hypot(max(0.0, gap_between(one, other)), max(0.0, rise_between(one, other)))


def rise_between(one: Box, other: Box) -> float:
    """Give the gap in y; negative where they overlap."""
    return max(one.top, other.top) - min(one.bottom, other.bottom)


def are_near(one: Box, other: Box, line: float) -> bool:
    """Tell whether two atoms may be one digit."""
    is_mark = any(max(box.width, box.height) <= SMALL * line for box in (one, other))
    reach = REACH_OF_MARKS if is_mark else REACH
    return gap_between(one, other) <= reach * line and rise_between(one, other) <= REACH_UPWARDS * line


def find_near(index: int, boxes: Sequence[Box], line: float) -> int:
    """Give the atoms that may be one digit with an atom, as bits."""
    others = (other for other in range(len(boxes)) if other != index)
    return sum(1 << other for other in others if are_near(boxes[index], boxes[other], line))


def propose_groups(boxes: Sequence[Box], line: float, most: int) -> list[int]:
    """List the sets of at most so many atoms that may be a digit, as bits; first each atom alone.

    The boxes come in the order of their middles. Raises `UnreadableNumber` where there are too many.
    """
    near = [find_near(index, boxes, line) for index in range(len(boxes))]
    groups = {1 << i: (1, near[i], box) for i, box in enumerate(boxes)}
    queue = list(groups)
    for group in queue:
        size, around, box = groups[group]
        if size == most:
            continue
        for index in bits_of(around & ~group & -(group & -group)):
            larger, grown = group | 1 << index, enclose((box, boxes[index]))
            widest = max(WIDEST * line, ASIDE * max(box.width, boxes[index].width))
            if larger in groups or grown.width > widest:
                continue
            groups[larger] = (size + 1, around | near[index], grown)
            queue.append(larger)
            refuse_too_many_groups(len(queue))
    return queue


def refuse_too_many_groups(count: int) -> None:
    """Bound the work. Raises `UnreadableNumber`."""
    if count > MAX_CANDIDATES:
        raise UnreadableNumber(
            f"there are more than {MAX_CANDIDATES} ways to take a digit out of the drawing: "
            "write one number, its digits side by side"
        )


def bits_of(bits: int) -> list[int]:
    """List the indices of the bits that are 1."""
    return [index for index in range(bits.bit_length()) if bits >> index & 1]


def share_of_line(box: Box, others: Sequence[Box]) -> float:
    """Add up how far each of the others overlaps with a box in x, relative to the narrower of the two."""
    gaps = ((gap_between(box, other), min(box.width, other.width)) for other in others)
    return sum(min(1.0, -gap / max(narrower, 1e-9)) for gap, narrower in gaps if gap < 0)
