"""How well whole numbers are read: the protocol of `training.numbers`, asked as strokes and as images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from service.errors import ImageError
from service.numbers.reading import Model, Reading, read_image, read_strokes
from service.numbers.strokes import Canvas
from service.rendering import CANVAS_SIZE
from training.config import HELD_OUT_WRITERS
from training.evaluate import calibration_error
from training.numbers import NATURALLY, SEPARATED, SPACINGS, TOUCHING, ComposedNumber, compose_numbers
from training.strokes import place_as_drawn
from training.unipen import choose_writers, load_pen_digits

if TYPE_CHECKING:
    from pathlib import Path

    from training.unipen import PenDigit

NUMBERS = 1000
"""Of each spacing: a share of 97 % is known to half a percent."""
STROKES_OF_ONE = (2, 3)
"""Least and greatest number of strokes of the digits that should not be taken for two."""
ONE_DIGIT = "one digit, 2 or 3 strokes"

Read = Callable[[ComposedNumber, Model], Reading]


class Answer(NamedTuple):
    """What was read of a number."""

    number: ComposedNumber
    form: str
    """strokes or image."""
    text: str
    """Empty where it was refused."""
    confidence: float

    @property
    def is_right(self) -> bool:
        """Whether every digit is right."""
        return self.text == self.number.text


class NumberScores(msgspec.Struct, frozen=True, kw_only=True):
    """What the answers to one kind of numbers in one form are worth."""

    name: str
    form: str
    numbers: int
    accuracy: float
    """Share of the numbers of which every digit is right."""
    length_accuracy: float
    """Share of which as many digits were read as were written."""
    worst_writer: float
    confidence: float
    calibration_error: float


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A figure that has to reach something."""

    name: str
    measured: float
    wanted: float
    met: bool


class NumberFigures(msgspec.Struct, frozen=True, kw_only=True):
    """`numbers.json`: all figures on whole numbers of one model."""

    model: str
    writers: tuple[int, ...]
    scores: tuple[NumberScores, ...]
    calibration_error: float
    """Of all answers together."""
    targets: tuple[Target, ...]


def read_as_strokes(number: ComposedNumber, model: Model) -> Reading:
    """Give the reading what the page gives it."""
    return read_strokes(number.strokes, Canvas(number.width, number.height), model)


def read_as_image(number: ComposedNumber, model: Model) -> Reading:
    """Give the reading a picture."""
    return read_image(number.draw(), model)


FORMS: dict[str, Read] = {"strokes": read_as_strokes, "image": read_as_image}


def assess_numbers(
    model: Model, name: str, data_dir: Path | None, report: Callable[[str], None], count: int = NUMBERS
) -> tuple[NumberFigures, list[Answer]]:
    """Ask everything that the protocol asks of the writers whom recipes hold out. Raises `DataError`."""
    digits = choose_writers(load_pen_digits(data_dir, report)[0], HELD_OUT_WRITERS)
    answers: dict[tuple[str, str], list[Answer]] = {}
    for kind, numbers in list_questions(digits, count):
        for form, read in FORMS.items():
            report(f"{kind}, as {form}")
            answers[kind, form] = [answer_number(number, form, read, model) for number in numbers]
    everything = [answer for some in answers.values() for answer in some]
    scores = tuple(score_numbers(kind, form, some) for (kind, form), some in answers.items())
    writers = tuple(sorted({digit.writer for digit in digits}))
    error = measure_calibration(everything)
    return (
        NumberFigures(
            model=name, writers=writers, scores=scores, calibration_error=error, targets=hold_to_targets(scores, error)
        ),
        everything,
    )


def list_questions(digits: Sequence[PenDigit], count: int) -> Iterator[tuple[str, list[ComposedNumber]]]:
    """Give the numbers of each kind."""
    for spacing in SPACINGS:
        yield spacing.name, compose_numbers(digits, spacing, count)
    yield ONE_DIGIT, single_digits(digits)


def single_digits(digits: Sequence[PenDigit]) -> list[ComposedNumber]:
    """Put each digit of several strokes on the canvas alone, as it was written."""
    least, most = STROKES_OF_ONE
    return [
        ComposedNumber(
            str(digit.label),
            digit.writer,
            place_as_drawn(digit),
            (0,) * len(digit.strokes),
            float(CANVAS_SIZE),
            float(CANVAS_SIZE),
        )
        for digit in digits
        if least <= len(digit.strokes) <= most
    ]


def answer_number(number: ComposedNumber, form: str, read: Read, model: Model) -> Answer:
    """Read one number; a refusal is a wrong answer without confidence."""
    try:
        reading = read(number, model)
    except ImageError:
        return Answer(number, form, "", 0.0)
    return Answer(number, form, reading.number, reading.confidence)


def score_numbers(name: str, form: str, answers: Sequence[Answer]) -> NumberScores:
    """Score the answers to one kind of numbers."""
    right = np.array([answer.is_right for answer in answers])
    writers = np.array([answer.number.writer for answer in answers])
    return NumberScores(
        name=name,
        form=form,
        numbers=len(answers),
        accuracy=float(right.mean()),
        length_accuracy=float(np.mean([len(answer.text) == len(answer.number.text) for answer in answers])),
        worst_writer=min(float(right[writers == writer].mean()) for writer in np.unique(writers)),
        confidence=float(np.mean([answer.confidence for answer in answers])),
        calibration_error=measure_calibration(answers),
    )


def measure_calibration(answers: Sequence[Answer]) -> float:
    """Give the expected calibration error of the numbers' probabilities."""
    confidence = np.array([[answer.confidence] for answer in answers], np.float32)
    # As a classification with one answer, which is right where the label is its own.
    return calibration_error(confidence, np.array([0 if answer.is_right else 1 for answer in answers]))


def hold_to_targets(scores: Sequence[NumberScores], error: float) -> tuple[Target, ...]:
    """Hold the figures against what they have to reach."""
    by_kind = {(row.name, row.form): row for row in scores}
    wanted = (
        ("three separated digits, image", by_kind[SEPARATED.name, "image"].accuracy, 0.97),
        ("one to six digits, natural gaps, strokes", by_kind[NATURALLY.name, "strokes"].accuracy, 0.97),
        ("one to six digits, natural gaps, image", by_kind[NATURALLY.name, "image"].accuracy, 0.95),
        ("touching pairs, image", by_kind[TOUCHING.name, "image"].accuracy, 0.90),
        (
            "one digit of two or three strokes read as one, strokes",
            by_kind[ONE_DIGIT, "strokes"].length_accuracy,
            0.995,
        ),
    )
    reached = [Target(name=name, measured=value, wanted=least, met=value >= least) for name, value, least in wanted]
    calibrated = Target(name="calibration error of the confidence", measured=error, wanted=0.02, met=error <= 0.02)
    return (*reached, calibrated)


def find_worst_numbers(answers: Sequence[Answer], count: int) -> list[Answer]:
    """List the wrong answers, the most confident first."""
    return sorted((answer for answer in answers if not answer.is_right), key=lambda answer: -answer.confidence)[:count]
