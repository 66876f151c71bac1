"""From an encoded image, or from strokes, to the number in it, stage by stage; no HTTP."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from service.classifier import Classifier
from service.contract import AlternativeNumber, ReadResponse, ReadStrokes, RecognizedDigit
from service.errors import UnreadableNumber
from service.numbers.reading import Model, ReadDigit, Reading, read_image, read_strokes
from service.numbers.strokes import Canvas
from service.prediction import CONFIDENCE_DIGITS, StageClock, rank_labels
from service.preprocessing import decode_image

MAX_POINTS = 50_000
"""Of all strokes together. A pen that reports 240 times a second takes three minutes and a half."""
BOX_DIGITS = 2


class NumberAnswer(NamedTuple):
    """An answer, and how much work it was."""

    response: ReadResponse
    candidates: int


def read_number_image(
    model: Classifier, image: bytes, max_pixels: int, clock: StageClock | None = None
) -> NumberAnswer:
    """Read the number in an encoded image. Raises `ImageError`, `InferenceFailure` or `ModelUnavailable`."""
    clock = clock or StageClock()
    reader = as_reader(model)
    grey = decode_image(image, max_pixels)
    clock.mark("decode")
    reading = read_image(grey, reader)
    clock.mark("reading")
    return respond(reading, reader)


def read_number_strokes(model: Classifier, drawing: ReadStrokes, clock: StageClock | None = None) -> NumberAnswer:
    """Read the number that strokes make. Raises `ImageError`, `InferenceFailure` or `ModelUnavailable`."""
    clock = clock or StageClock()
    reader = as_reader(model)
    points = sum(map(len, drawing.strokes))
    if points > MAX_POINTS:
        raise UnreadableNumber(f"the strokes have {points:,} points, more than the {MAX_POINTS:,} accepted")
    strokes = [np.array(stroke, np.float64) for stroke in drawing.strokes]
    reading = read_strokes(strokes, Canvas(drawing.width, drawing.height), reader)
    clock.mark("reading")
    return respond(reading, reader)


def as_reader(model: Classifier) -> Model:
    """Show a loaded model to the reading of numbers. Raises `ModelUnavailable` where it reads no digits."""
    return Model(lambda images: model.run(images).probabilities, model.preprocessing, model.digits)


def respond(reading: Reading, reader: Model) -> NumberAnswer:
    """Write a reading as the API does."""
    return NumberAnswer(
        ReadResponse(
            number=reading.number,
            confidence=round(reading.confidence, CONFIDENCE_DIGITS),
            digits=tuple(describe_digit(digit, reader) for digit in reading.digits),
            alternatives=tuple(
                AlternativeNumber(number, round(probability, CONFIDENCE_DIGITS))
                for number, probability in reading.alternatives
            ),
        ),
        reading.candidates,
    )


def describe_digit(digit: ReadDigit, reader: Model) -> RecognizedDigit:
    """Write one digit of a reading as the API does."""
    left, top, right, bottom = digit.box
    place = reader.labels.index(digit.digit)
    return RecognizedDigit(
        digit=digit.digit,
        confidence=round(float(digit.probabilities[place]), CONFIDENCE_DIGITS),
        box=(
            round(left, BOX_DIGITS),
            round(top, BOX_DIGITS),
            round(right - left, BOX_DIGITS),
            round(bottom - top, BOX_DIGITS),
        ),
        top_predictions=rank_labels(digit.probabilities, reader.labels),
    )
