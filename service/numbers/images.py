"""Ink taken apart: connected pieces, and the slices of those that are to be cut."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from service.contract import PreprocessingSpec
from service.errors import EmptyDrawing, UnreadableNumber
from service.numbers.components import Components, Labels, label_components
from service.numbers.geometry import (
    Box,
    bits_of,
    enclose,
    measure_line,
    propose_groups,
    refuse_too_many_groups,
    share_of_line,
)
from service.numbers.pieces import Making, Pieces
from service.numbers.slices import Slice, slice_piece
from service.preprocessing import TOO_FAINT, GreyImage, clear_paper, crop_to_ink, lighten_ink

MAX_ATOMS = 48
"""Of one picture: twelve digits of four."""
PIECES_PER_DIGIT = 4
OUTLINE_PER_STEP = math.pi / 4
"""Length of a smooth outline for each side of a pixel in it, over all directions."""
SPECK = 0.06
"""Longer side of ink, in line heights, below which it is dirt."""
MAX_SIDE = 1200
"""Longer side of the ink, in pixels, above which the picture is scaled down: twelve digits of a hundred pixels."""


class Ink(NamedTuple):
    """A picture's ink, cropped, and scaled down where it was huge."""

    grey: GreyImage
    left: int
    top: int
    """Where it lay, in the picture's pixels."""
    factor: int
    """By how much it was scaled down."""


class Picture(NamedTuple):
    """A picture's ink, and how it hangs together."""

    ink: Ink
    components: Components
    numbers: tuple[int, ...]
    """Of the components that are more than dirt, in the order of their boxes' middles."""
    line: float


class Atom(NamedTuple):
    """Ink that is not taken apart any further."""

    box: Box
    label: int
    """Of its pixels."""


class Piece(NamedTuple):
    """Connected ink: its atoms, and what may be taken out of it."""

    box: Box
    atoms: tuple[Atom, ...]
    uncut: float = 0.0
    """How tempting its seams are."""
    slices: tuple[Slice, ...] = ()


class Group(NamedTuple):
    """Atoms that may be a digit."""

    atoms: int
    making: Making


def find_picture(grey: GreyImage, spec: PreprocessingSpec) -> Picture:
    """Find the ink in (H, W) grey levels; the spec says which of them are ink.

    Raises `EmptyDrawing` or `UnreadableNumber`.
    """
    ink = find_ink(lighten_ink(grey, spec), spec.ink_threshold)
    components = label_components(ink.grey > 0)
    boxes = [Box(*map(float, box)) for box in components.boxes]
    line = measure_line(boxes)
    kept = [place for place, box in enumerate(boxes) if max(box.width, box.height) >= SPECK * line]
    refuse_too_many(len(kept))
    kept.sort(key=lambda place: boxes[place].middle)
    return Picture(ink, components, tuple(place + 1 for place in kept), line)


def take_picture_apart(picture: Picture, cut: Collection[int] = ()) -> Pieces:
    """Take a picture to candidates: its pieces, and the slices of those that are to be cut, told by their places.

    The first groups are those of whole pieces, and they are the same whatever is cut. Raises `UnreadableNumber`.
    """
    labels = picture.components.labels.copy()
    pieces = list(list_pieces(picture, labels, cut))
    atoms = sorted((atom for piece in pieces for atom in piece.atoms), key=lambda atom: atom.box.middle)
    refuse_too_many(len(atoms))
    bits = {atom.label: 1 << index for index, atom in enumerate(atoms)}
    groups = [*group_pieces(pieces, bits, picture.line), *group_slices(pieces, bits, picture.line)]
    refuse_too_many_groups(len(groups))

    def draw(group: int) -> GreyImage:
        return draw_atoms(picture.ink.grey, labels, [atoms[index] for index in bits_of(group)])

    def frame(group: int) -> Box:
        return place_box(enclose([atoms[index].box for index in bits_of(group)]), picture.ink)

    return Pieces(
        tuple(atom.box for atom in atoms),
        picture.line,
        tuple(group.atoms for group in groups),
        tuple(group.making for group in groups),
        draw,
        frame,
    )


def list_pieces(picture: Picture, labels: Labels, cut: Collection[int]) -> Iterator[Piece]:
    """Describe each piece; where one is cut, write its cells' labels over its own."""
    pen = measure_pen(picture.ink.grey) if cut else 0.0
    free = len(picture.components.boxes) + 1
    for place, number in enumerate(picture.numbers):
        left, top, right, bottom = picture.components.boxes[number - 1].tolist()
        box = Box(left, top, right, bottom)
        if place not in cut:
            yield Piece(box, (Atom(box, number),))
            continue
        own = labels[top:bottom, left:right] == number
        grey = np.where(own, picture.ink.grey[top:bottom, left:right], np.uint8(0))
        cells, whole, slices = slice_piece(grey, picture.line, pen)
        labels[top:bottom, left:right][own] = free + cells.parts[own]
        atoms = [Atom(move_box(cell, left, top), free + index) for index, cell in enumerate(cells.boxes)]
        yield Piece(box, tuple(atoms), whole.uncut, slices)
        free += len(atoms)


def move_box(box: Box, x: float, y: float) -> Box:
    """Move a box."""
    return Box(box.left + x, box.top + y, box.right + x, box.bottom + y)


def group_pieces(pieces: Sequence[Piece], bits: dict[int, int], line: float) -> Iterator[Group]:
    """List the sets of whole pieces that may be a digit; first each piece alone.

    Raises `UnreadableNumber` where there are too many.
    """
    boxes = [piece.box for piece in pieces]
    for group in propose_groups(boxes, line, PIECES_PER_DIGIT):
        members = bits_of(group)
        own = [boxes[place] for place in members]
        others = [box for place, box in enumerate(boxes) if place not in members]
        making = Making(
            len(members),
            max(0.0, widest_gap(own) / line),
            share_of_line(enclose(own), others),
            uncut=sum(pieces[place].uncut for place in members),
        )
        yield Group(sum(bits[atom.label] for place in members for atom in pieces[place].atoms), making)


def group_slices(pieces: Sequence[Piece], bits: dict[int, int], line: float) -> Iterator[Group]:
    """List the slices of pieces that are cut."""
    for place, piece in enumerate(pieces):
        others = [other.box for index, other in enumerate(pieces) if index != place]
        for slice_ in piece.slices:
            own = pick_atoms(piece, slice_.cells)
            rest = [
                enclose([atom.box for atom in pick_atoms(piece, cells)])
                for cells in (slice_.before, slice_.after)
                if cells
            ]
            boxes = [atom.box for atom in own]
            overlap = share_of_line(enclose(boxes), others + rest)
            making = Making(1, max(0.0, widest_gap(boxes) / line), overlap, cut=slice_.cut, uncut=slice_.uncut)
            yield Group(sum(bits[atom.label] for atom in own), making)


def pick_atoms(piece: Piece, cells: int) -> list[Atom]:
    """List the atoms of a piece whose bits are set."""
    return [piece.atoms[cell] for cell in bits_of(cells)]


def find_ink(grey: GreyImage, ink_threshold: int) -> Ink:
    """Crop to the ink, and scale it down where it is huge. Raises `EmptyDrawing`."""
    cleared = clear_paper(grey, ink_threshold)
    crop = crop_to_ink(cleared)
    left, top, *_ = Image.fromarray(cleared).getbbox() or (0, 0)
    factor = math.ceil(max(crop.shape) / MAX_SIDE)
    if factor > 1:
        crop = clear_paper(np.asarray(Image.fromarray(crop).reduce(factor)), ink_threshold)
        if not crop.any():
            raise EmptyDrawing(TOO_FAINT)
    return Ink(crop, left, top, factor)


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
    return max(1.0, 2 * float(np.count_nonzero(ink)) / max(OUTLINE_PER_STEP * float(steps), 1.0))


def draw_atoms(grey: GreyImage, labels: Labels, atoms: Sequence[Atom]) -> GreyImage:
    """Show some atoms alone, cropped to their box."""
    left, top, right, bottom = map(int, enclose([atom.box for atom in atoms]))
    inside = labels[top:bottom, left:right]
    shown = inside == atoms[0].label
    for atom in atoms[1:]:
        shown |= inside == atom.label
    return np.where(shown, grey[top:bottom, left:right], np.uint8(0))


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
