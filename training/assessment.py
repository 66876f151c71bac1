"""Asks a model everything that the protocol asks, and reports the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from training.calibration import cross_fit
from training.config import HELD_OUT_WRITERS
from training.data import Digits, load_mnist, prepare_digits
from training.disputed import DisputedFigures, score_disputed
from training.evaluate import (
    Mistake,
    Scores,
    accuracy_by_group,
    calibration_error,
    find_worst,
    score_answers,
    separate,
)
from training.protocol import CONDITIONS, PLAIN, draw_condition, draw_parts, draw_rest, repeat_placements
from training.unipen import choose_writers, find_pen_file, load_pen_digits

if TYPE_CHECKING:
    from pathlib import Path

    from training.data import Labels, Pixels
    from training.evaluate import Probabilities
    from training.runners import Classifier
    from training.unipen import PenDigit

Report = Callable[[str], None]


class Answered(NamedTuple):
    """A data set and the model's answers."""

    digits: Digits
    """Prepared."""
    probabilities: Probabilities


class StrokeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures on pen strokes."""

    writers: tuple[int, ...]
    plain: Scores
    """As drawn and filling the canvas together, with the page's pen."""
    as_drawn: Scores
    filling: Scores
    cross_fitted_calibration_error: float | None
    """Of the plain answers, each half of the writers under the temperature that the other half teaches, whichever
    writers the model's own temperature was fitted to; None where there is one writer."""
    by_writer: dict[int, float]
    worst_writer: float
    by_condition: dict[str, Scores]
    rejection: dict[str, float]
    """Area under the ROC curve, digits against each kind of drawing that is none, and against all of them."""
    pieces: dict[str, float]
    """The same against pieces of digits and digits that touch, as a reader of whole numbers meets them."""


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """`report.json`: all figures of one model."""

    model: str
    mnist: Scores
    mnist_disputed: DisputedFigures | None
    """None where the images are not MNIST's own test split."""
    mnist_worst: list[Mistake]
    strokes: StrokeFigures | None
    """None where the data folder has no pen strokes."""


def assess(
    classify: Classifier, name: str, data_dir: Path | None, all_writers: bool, report: Report
) -> tuple[Assessment, dict[str, Answered]]:
    """Ask a model everything; give the figures, and the answers to the plain questions by data set.

    The strokes are those of the writers that the recipes hold out, or of all. Raises `DataError`.
    """
    report("MNIST test images")
    mnist = answer_mnist(classify, data_dir)
    answered = {"MNIST": mnist}
    strokes = None
    if data_dir is None or find_pen_file(data_dir):
        pen_digits, _ = load_pen_digits(data_dir, report)
        asked = pen_digits if all_writers else choose_writers(pen_digits, HELD_OUT_WRITERS)
        strokes, answered["pen strokes"] = assess_strokes(classify, asked, report)
    figures = Assessment(
        model=name,
        mnist=score_answers(mnist.probabilities, mnist.digits.labels),
        mnist_disputed=score_disputed(mnist.probabilities, mnist.digits.labels),
        mnist_worst=find_worst(mnist.probabilities, mnist.digits.labels),
        strokes=strokes,
    )
    return figures, answered


def answer_mnist(classify: Classifier, data_dir: Path | None) -> Answered:
    """Answer MNIST's test split."""
    (images, labels), _ = load_mnist(data_dir, "test")
    prepared = prepare_digits(images)
    return Answered(Digits(prepared, labels), classify(prepared))


def assess_strokes(classify: Classifier, digits: Sequence[PenDigit], report: Report) -> tuple[StrokeFigures, Answered]:
    """Answer every condition, and what is no digit."""
    labels = repeat_placements([digit.label for digit in digits])
    writers = repeat_placements([digit.writer for digit in digits])
    drawn: dict[str, Pixels] = {}
    answers = {}
    for condition in CONDITIONS:
        report(f"pen strokes, {condition.name}")
        drawn[condition.name] = draw_condition(digits, condition)
        answers[condition.name] = classify(drawn[condition.name])
    plain = answers[PLAIN.name]
    by_writer = accuracy_by_group(plain, labels, writers)
    half = len(digits)
    report("drawings that are no digit")
    figures = StrokeFigures(
        writers=tuple(by_writer),
        plain=score_answers(plain, labels),
        as_drawn=score_answers(plain[:half], labels[:half]),
        filling=score_answers(plain[half:], labels[half:]),
        cross_fitted_calibration_error=cross_calibrate(plain, labels, writers),
        by_writer=by_writer,
        worst_writer=min(by_writer.values()),
        by_condition={name: score_answers(probabilities, labels) for name, probabilities in answers.items()},
        rejection=measure_rejection(classify, plain, *draw_rest(digits)),
        pieces=measure_rejection(classify, plain, *draw_parts(digits, drawn[PLAIN.name][half:])),
    )
    return figures, Answered(Digits(drawn[PLAIN.name], labels), plain)


def cross_calibrate(answers: Probabilities, labels: Labels, writers: Labels) -> float | None:
    """Give the calibration error that does not owe anything to fitting on the same writers."""
    if len(np.unique(writers)) == 1:
        return None
    # The logarithms differ from the logits by a number for each row, which changes nothing.
    logits = np.log(np.maximum(answers, np.finfo(np.float32).tiny))
    return calibration_error(cross_fit(logits, labels, writers), labels)


def measure_rejection(
    classify: Classifier, digit_answers: Probabilities, images: Pixels, kinds: Sequence[str]
) -> dict[str, float]:
    """Separate the digits from each kind of drawing that is none, and from all; nothing where there is no drawing."""
    if not kinds:
        return {}
    answers = classify(images)
    by_kind = {
        kind: separate(digit_answers, answers[[other == kind for other in kinds]]) for kind in sorted(set(kinds))
    }
    return {"all": separate(digit_answers, answers), **by_kind}
