"""Ink taken apart: connected pieces, and where one is too wide for a digit, the parts between seams."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from service.contract import PreprocessingSpec
from service.errors import UnreadableNumber
from service.numbers.components import Components, Labels, Mask, label_components
from service.numbers.geometry import WIDEST, Box, bits_of, enclose, measure_line, propose_groups, refuse_too_many_groups
from service.numbers.pieces import Making, Pieces
from service.numbers.seams import DEAR, Seam, find_seams
from service.preprocessing import GreyImage, clear_paper, crop_to_ink, lighten_ink

MAX_ATOMS = 48
"""Of one picture: twelve digits of four."""
PIECES_PER_DIGIT = 4
WIDE = 0.75
"""Width, in line heights, from which a piece may be several digits."""
OUTLINE_PER_STEP = np.pi / 4
"""Length of a smooth outline for each side of a pixel in it, over all directions."""
SPECK = 0.06
"""Longer side of ink, in line heights, below which it is dirt."""
MAX_SIDE = 1200
"""Longer side of the ink, in pixels, above which the picture is scaled down: twelve digits of a hundred pixels."""


class Atom(NamedTuple):
    """A piece of ink that is not taken apart any further."""

    box: Box
    label: int
    """Of its pixels."""
    component: int
    part: int
    """Its place among the parts of the component."""
    costs: tuple[float, float]
    """Ink crossed by the seams to its left and to its right, in widths of the pen; 0 where there is none."""


class Ink(NamedTuple):
    """A picture's ink, cropped, and scaled down where it was huge."""

    grey: GreyImage
    left: int
    top: int
    """Where it lay, in the picture's pixels."""
    factor: int
    """By how much it was scaled down."""


def take_image_apart(grey: GreyImage, spec: PreprocessingSpec) -> Pieces:
    """Take (H, W) grey levels to candidates; the spec says which of them are ink.

    Raises `EmptyDrawing` or `UnreadableNumber`.
    """
    ink = find_ink(lighten_ink(grey, spec), spec.ink_threshold)
    components = label_components(ink.grey > 0)
    numbers, line = find_pieces(components)
    labels = components.labels.copy()
    pen = measure_pen(ink.grey)
    atoms = sorted(cut_pieces(ink.grey, labels, components, numbers, line, pen), key=lambda atom: atom.box.middle)
    refuse_too_many(len(atoms))
    groups = propose_pieces(atoms, line)

    def members(group: int) -> list[Atom]:
        return [atoms[index] for index in bits_of(group)]

    def draw(group: int) -> GreyImage:
        return draw_atoms(ink.grey, labels, members(group))

    def frame(group: int) -> Box:
        return place_box(enclose([atom.box for atom in members(group)]), ink)

    makings = tuple(describe_making(members(group), line) for group in groups)
    return Pieces(tuple(atom.box for atom in atoms), line, tuple(groups), makings, draw, frame)


def propose_pieces(atoms: Sequence[Atom], line: float) -> list[int]:
    """List the sets of atoms that may be a digit, as bits: whole components, alone and together, and runs of parts.

    Raises `UnreadableNumber` where there are too many.
    """
    parts: dict[int, list[int]] = {}
    for index, atom in sorted(enumerate(atoms), key=lambda item: item[1].part):
        parts.setdefault(atom.component, []).append(index)
    wholes = sorted(
        ((enclose([atoms[index].box for index in own]), own) for own in parts.values()),
        key=lambda whole: whole[0].middle,
    )
    together = propose_groups([box for box, _ in wholes], line, PIECES_PER_DIGIT)
    groups = [sum(1 << index for place in bits_of(group) for index in wholes[place][1]) for group in together]
    groups += [run for own in parts.values() for run in propose_runs(own, atoms, line)]
    refuse_too_many_groups(len(groups))
    return groups


def propose_runs(own: Sequence[int], atoms: Sequence[Atom], line: float) -> list[int]:
    """List the runs of a component's parts, short of all, that are no wider than a digit."""
    runs = []
    for first in range(len(own)):
        for last in range(first, len(own)):
            box = enclose([atoms[index].box for index in own[first : last + 1]])
            is_whole = last - first + 1 == len(own)
            if not is_whole and (first == last or box.width <= WIDEST * line):
                runs.append(sum(1 << index for index in own[first : last + 1]))
    return runs


def find_ink(grey: GreyImage, ink_threshold: int) -> Ink:
    """Crop to the ink, and scale it down where it is huge. Raises `EmptyDrawing`."""
    cleared = clear_paper(grey, ink_threshold)
    crop = crop_to_ink(cleared)
    left, top, *_ = Image.fromarray(cleared).getbbox() or (0, 0)
    factor = math.ceil(max(crop.shape) / MAX_SIDE)
    if factor > 1:
        crop = clear_paper(np.asarray(Image.fromarray(crop).reduce(factor)), ink_threshold)
    return Ink(crop, left, top, factor)


def find_pieces(components: Components) -> tuple[list[int], float]:
    """Give the numbers of the components that are more than dirt, and the height of the line."""
    boxes = [Box(*map(float, box)) for box in components.boxes]
    line = measure_line(boxes)
    kept = [number for number, box in enumerate(boxes, 1) if max(box.width, box.height) >= SPECK * line]
    refuse_too_many(len(kept))
    return kept, line


def refuse_too_many(count: int) -> None:
    """Count pieces. Raises `UnreadableNumber`."""
    if count > MAX_ATOMS:
        raise UnreadableNumber(
            f"the picture has {count} pieces of ink, more than the {MAX_ATOMS} of a number of twelve digits: "
            "crop it to one number"
        )


def measure_pen(grey: GreyImage) -> float:
    """Give the width of the pen, as twice the ink's area over its outline's length."""
    ink = np.pad(grey > 127, 1)
    steps = np.count_nonzero(ink[1:] != ink[:-1]) + np.count_nonzero(ink[:, 1:] != ink[:, :-1])
    return max(1.0, 2 * float(np.count_nonzero(ink)) / max(OUTLINE_PER_STEP * steps, 1.0))


def cut_pieces(
    grey: GreyImage, labels: Labels, components: Components, numbers: Sequence[int], line: float, pen: float
) -> Iterator[Atom]:
    """Cut what is too wide for a digit, writing the parts' labels over those of the piece."""
    free = len(components.boxes) + 1
    for number in numbers:
        left, top, right, bottom = components.boxes[number - 1].tolist()
        whole = Atom(Box(left, top, right, bottom), number, number, 0, (0.0, 0.0))
        if right - left < WIDE * line:
            yield whole
            continue
        own = labels[top:bottom, left:right] == number
        seams = find_seams(np.where(own, grey[top:bottom, left:right], np.uint8(0)), line, pen)
        parts = number_parts(own, seams)
        labels[top:bottom, left:right][own] = free + parts[own]
        yield from list_parts(parts, own, whole, seams, free)
        free += len(seams) + 1


def number_parts(own: Mask, seams: Sequence[Seam]) -> Labels:
    """Say of each pixel of a piece how many seams lie to its left."""
    x = np.arange(own.shape[1]) + 0.5
    parts = np.zeros(own.shape, np.int32)
    for seam in seams:
        parts += x >= seam.places[:, np.newaxis]
    return parts


def list_parts(parts: Labels, own: Mask, whole: Atom, seams: Sequence[Seam], free: int) -> Iterator[Atom]:
    """Describe the parts of a piece that hold any ink."""
    costs = [0.0, *(seam.cost for seam in seams), 0.0]
    for part in range(len(seams) + 1):
        inside = own & (parts == part)
        bounds = Image.fromarray(inside).getbbox()
        if bounds:
            left, top, right, bottom = bounds
            x, y = whole.box.left, whole.box.top
            box = Box(x + left, y + top, x + right, y + bottom)
            yield Atom(box, free + part, whole.component, part, (costs[part], costs[part + 1]))


def draw_atoms(grey: GreyImage, labels: Labels, atoms: Sequence[Atom]) -> GreyImage:
    """Show some atoms alone, cropped to their box."""
    left, top, right, bottom = map(int, enclose([atom.box for atom in atoms]))
    inside = labels[top:bottom, left:right]
    shown = inside == atoms[0].label
    for atom in atoms[1:]:
        shown |= inside == atom.label
    return np.where(shown, grey[top:bottom, left:right], np.uint8(0))


def describe_making(atoms: Sequence[Atom], line: float) -> Making:
    """Say how a group is made: pieces, seams around it, seams inside it."""
    present = {(atom.component, atom.part) for atom in atoms}
    cut = uncut = 0.0
    for atom in atoms:
        before, after = ((atom.component, atom.part + step) in present for step in (-1, 1))
        cut += (0.0 if before else atom.costs[0]) + (0.0 if after else atom.costs[1])
        uncut += max(0.0, 1 - atom.costs[1] / DEAR) if after else 0.0
    apart = max(0.0, widest_gap([atom.box for atom in atoms]) / line)
    return Making(len({atom.component for atom in atoms}), apart, cut=cut, uncut=uncut)


def widest_gap(boxes: Sequence[Box]) -> float:
    """Give the widest stretch of x between boxes that none of them covers."""
    end, widest = min(box.left for box in boxes), 0.0
    for box in sorted(boxes):
        widest, end = max(widest, box.left - end), max(end, box.right)
    return widest


def place_box(box: Box, ink: Ink) -> Box:
    """Take a box back to the picture's pixels."""
    left, top, right, bottom = (value * ink.factor for value in box)
    return Box(left + ink.left, top + ink.top, right + ink.left, bottom + ink.top)
