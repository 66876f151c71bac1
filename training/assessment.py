"""Asks a model everything that the protocol asks, and reports the figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from training.config import HELD_OUT_WRITERS
from training.data import Digits, load_mnist, prepare_digits
from training.evaluate import Mistake, Scores, accuracy_by_group, find_worst, score_answers, separate
from training.protocol import CONDITIONS, PLAIN, draw_condition, draw_rest, repeat_placements
from training.unipen import find_pen_file, load_pen_digits

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.data import Pixels
    from training.runners import Classifier
    from training.unipen import PenDigit

Report = Callable[[str], None]


class Answered(NamedTuple):
    """A data set and the model's answers."""

    digits: Digits
    """Prepared."""
    probabilities: NDArray[np.float32]


class StrokeFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures on pen strokes."""

    writers: tuple[int, ...]
    plain: Scores
    """As drawn and filling the canvas together, with the page's pen."""
    as_drawn: Scores
    filling: Scores
    by_writer: dict[int, float]
    worst_writer: float
    by_condition: dict[str, Scores]
    rejection: dict[str, float]
    """Area under the ROC curve, digits against each kind of drawing that is none, and against all."""


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """`report.json`: all figures of one model."""

    model: str
    mnist: Scores
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
        pen_digits, _ = load_pen_digits(data_dir)
        asked = [digit for digit in pen_digits if all_writers or digit.writer in HELD_OUT_WRITERS]
        strokes, answered["pen strokes"] = assess_strokes(classify, asked, report)
    figures = Assessment(
        model=name,
        mnist=score_answers(mnist.probabilities, mnist.digits.labels),
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
        by_writer=by_writer,
        worst_writer=min(by_writer.values()),
        by_condition={name: score_answers(probabilities, labels) for name, probabilities in answers.items()},
        rejection=measure_rejection(classify, plain, digits),
    )
    return figures, Answered(Digits(drawn[PLAIN.name], labels), plain)


def measure_rejection(
    classify: Classifier, digit_answers: NDArray[np.float32], digits: Sequence[PenDigit]
) -> dict[str, float]:
    """Separate the digits from each kind of drawing that is none, and from all."""
    images, kinds = draw_rest(digits)
    answers = classify(images)
    by_kind = {
        kind: separate(digit_answers, answers[[other == kind for other in kinds]]) for kind in sorted(set(kinds))
    }
    return {"all": separate(digit_answers, answers), **by_kind}
