"""Reads whole numbers: takes a drawing apart, asks the model about every candidate at once, puts the best together.

The model is whatever turns a batch of tensors into probabilities, so that training can judge the reading of a model
that has not been exported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.contract import PreprocessingSpec
from service.errors import EmptyDrawing, UnreadableNumber
from service.numbers.geometry import (
    CERTAINTY_LIMITS,
    SURE,
    USUAL_WIDTH,
    Box,
    Features,
    bits_of,
    enclose,
)
from service.numbers.images import find_picture, take_picture_apart
from service.numbers.lattice import Candidate, Way, find_ways
from service.numbers.pieces import Pieces
from service.numbers.strokes import Canvas, take_strokes_apart
from service.numbers.weights import INK, STROKES
from service.preprocessing import DIGITS, GreyImage, Tensor, prepare_grey
from service.rendering import Stroke

MAX_DIGITS = 12
WAYS = 24
"""Looked at for the number and its alternatives: several ways can give the same number."""
ALTERNATIVES = 4
LEAST_ALTERNATIVE = 1e-4
"""Of an alternative's probability."""
CERTAIN = 7.0
"""Certainty of the model about a piece of ink from which it is not cut: at most one in a thousand is wrong."""
NARROW = 0.4
"""Width and height, in line heights, of a piece of ink that cannot be several digits."""
LABELS = 3
"""Of a candidate, which may take part in a way."""
STEEPEST = 0.5
"""Rise over run of a line of digits."""
STRAY = 0.9
"""Height, in digits, of the band along a line in which the digits' middles have to lie."""

Classify = Callable[[Tensor], NDArray[np.float32]]
"""(N, 28, 28, 1) float32 to (N, classes) probabilities."""


class Model(NamedTuple):
    """What reads a single digit."""

    classify: Classify
    spec: PreprocessingSpec = DIGITS
    labels: tuple[int, ...] = tuple(range(10))


class ReadDigit(NamedTuple):
    """One digit of a number."""

    digit: int
    probabilities: NDArray[np.float32]
    """(classes,): what the model says about it alone."""
    box: Box


class Reading(NamedTuple):
    """A number, and what else it may be."""

    number: str
    confidence: float
    digits: tuple[ReadDigit, ...]
    alternatives: tuple[tuple[str, float], ...]
    """Numbers and their probabilities, the likeliest first."""
    candidates: int
    """How many pictures the model was asked about."""


class Examined(NamedTuple):
    """A drawing taken apart, and what the model and the geometry say about each candidate."""

    pieces: Pieces
    probabilities: NDArray[np.float32]
    """(candidates, classes)."""
    features: tuple[Features, ...]


def read_strokes(strokes: Sequence[Stroke], canvas: Canvas, model: Model) -> Reading:
    """Read the number that strokes make. Raises `EmptyDrawing` or `UnreadableNumber`."""
    return read_examined(examine(take_strokes_apart(strokes, canvas), model), STROKES, model.labels)


def read_image(grey: GreyImage, model: Model) -> Reading:
    """Read the number in (H, W) grey levels. Raises `EmptyDrawing` or `UnreadableNumber`."""
    return read_examined(examine_image(grey, model), INK, model.labels)


def examine_image(grey: GreyImage, model: Model) -> Examined:
    """Take (H, W) grey levels apart, first along the paper, then what is no digit that the model knows for sure.

    Raises `EmptyDrawing` or `UnreadableNumber`.
    """
    picture = find_picture(grey, model.spec)
    wholes = examine(take_picture_apart(picture), model)
    unsure = find_unsure(wholes)
    if not unsure:
        return wholes
    return examine(take_picture_apart(picture, unsure), model, wholes.probabilities)


def find_unsure(wholes: Examined) -> list[int]:
    """List the pieces, each an atom and alone the group of the same place, that may be more than one digit."""
    pieces = wholes.pieces
    return [
        place
        for place, box in enumerate(pieces.boxes)
        if min(box.width, box.height) >= NARROW * pieces.line and wholes.features[place].certainty < CERTAIN
    ]


def examine(pieces: Pieces, model: Model, known: NDArray[np.float32] | None = None) -> Examined:
    """Ask the model in one batch about all candidates but the first, of which it is known, and describe each."""
    drawn_light = msgspec.structs.replace(model.spec, polarity="light_on_dark")
    unknown = pieces.groups[0 if known is None else len(known) :]
    tensors = [prepare_group(pieces.draw(group), drawn_light) for group in unknown]
    answers = [] if known is None else [known]
    probabilities = np.concatenate([*answers, model.classify(np.stack(tensors))] if tensors else answers)
    features = tuple(
        describe(pieces, index, float(certainty)) for index, certainty in enumerate(probabilities.max(axis=1))
    )
    return Examined(pieces, probabilities, features)


def prepare_group(grey: GreyImage, spec: PreprocessingSpec) -> Tensor:
    """Lay a candidate out for the model; what does not survive scaling is blank."""
    try:
        return prepare_grey(grey, spec).tensor
    except EmptyDrawing:
        return np.zeros((spec.frame_size, spec.frame_size, 1), np.float32)


def describe(pieces: Pieces, index: int, probability: float) -> Features:
    """Describe a candidate by its place, and by how sure the model is of it."""
    members = bits_of(pieces.groups[index])
    box = enclose([pieces.boxes[member] for member in members])
    making = pieces.makings[index]
    least, most = CERTAINTY_LIMITS
    odds = min(max(math.log(max(probability, 1e-9) / max(1 - probability, 1e-9)), least), most)
    return Features(
        bias=1.0,
        certainty=odds,
        low=max(0.0, 1 - box.height / pieces.line),
        wide=max(0.0, box.width / pieces.line - USUAL_WIDTH),
        apart=making.apart,
        contact=making.contact,
        overlap=making.overlap,
        parts=making.parts - 1,
        cut=making.cut,
        uncut=making.uncut,
        doubt=max(0.0, SURE - odds),
    )


def read_examined(examined: Examined, weights: Features, labels: Sequence[int]) -> Reading:
    """Put the candidates together. Raises `UnreadableNumber`."""
    ways = find_ways(len(examined.pieces.boxes), make_candidates(examined, weights), WAYS)
    frames = [examined.pieces.frame(group) for group in examined.pieces.groups]
    laid_out = [lay_out(way, examined, frames, labels) for way in ways]
    chances: dict[str, float] = {}
    for way, digits in zip(ways, laid_out, strict=True):
        chances[spell(digits)] = chances.get(spell(digits), 0.0) + way.probability
    (number, confidence), *others = sorted(chances.items(), key=lambda item: -item[1])
    digits = next(digits for digits in laid_out if spell(digits) == number)
    refuse_no_line(digits)
    alternatives = tuple(item for item in others[:ALTERNATIVES] if item[1] >= LEAST_ALTERNATIVE)
    return Reading(number, min(confidence, 1.0), digits, alternatives, len(examined.features))


def make_candidates(examined: Examined, weights: Features) -> list[Candidate]:
    """Score every candidate, and choose the labels that it may have."""
    scores = np.array(examined.features) @ np.array(weights)
    logarithms = np.log(np.maximum(examined.probabilities.astype(np.float64), 1e-12))
    best = np.argsort(-logarithms, axis=1, kind="stable")[:, :LABELS]
    return [
        Candidate(group, float(score), tuple((int(label), float(row[label])) for label in likeliest))
        for group, score, row, likeliest in zip(examined.pieces.groups, scores, logarithms, best, strict=True)
    ]


def lay_out(way: Way, examined: Examined, frames: Sequence[Box], labels: Sequence[int]) -> tuple[ReadDigit, ...]:
    """Give a way's digits from left to right."""
    digits = [ReadDigit(labels[label], examined.probabilities[index], frames[index]) for index, label in way.steps]
    return tuple(sorted(digits, key=lambda digit: digit.box.middle))


def spell(digits: Sequence[ReadDigit]) -> str:
    """Write digits one after another."""
    return "".join(str(digit.digit) for digit in digits)


def refuse_no_line(digits: Sequence[ReadDigit]) -> None:
    """Hold the digits against what a number may be. Raises `UnreadableNumber`."""
    if len(digits) > MAX_DIGITS:
        raise UnreadableNumber(f"there seem to be {len(digits)} digits: at most {MAX_DIGITS} are read at once")
    x, y = np.array([(digit.box.middle, (digit.box.top + digit.box.bottom) / 2) for digit in digits]).T
    height = float(np.median([digit.box.height for digit in digits]))
    run = x - x.mean()
    slope = float(np.clip(run @ (y - y.mean()) / max(float(run @ run), 1e-9), -STEEPEST, STEEPEST))
    if float(np.ptp(y - slope * run)) > STRAY * height:
        raise UnreadableNumber("the digits do not stand on one line: write one number, or send one line at a time")
