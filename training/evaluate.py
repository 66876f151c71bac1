"""How good a model is: accuracy, calibration, and the answers that were most wrong. Arrays in, figures out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.float32]
Labels = NDArray[np.int64]

CALIBRATION_BINS = 15


class Mistake(NamedTuple):
    """A wrong answer."""

    example: int
    """Its index in the data set."""
    label: int
    answer: int
    confidence: float


class Scores(NamedTuple):
    """What a set of answers is worth."""

    examples: int
    errors: int
    accuracy: float
    calibration_error: float


def score_answers(probabilities: Probabilities, labels: Labels) -> Scores:
    """Score (N, 10) probabilities against (N,) labels."""
    errors = int(np.sum(probabilities.argmax(1) != labels))
    return Scores(len(labels), errors, 1 - errors / len(labels), calibration_error(probabilities, labels))


def calibration_error(probabilities: Probabilities, labels: Labels, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: mean gap between confidence and accuracy over equal-width bins of confidence.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599.
    """
    confidence = probabilities.max(1).astype(np.float64)
    gap = confidence - (probabilities.argmax(1) == labels)
    bin_index = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(bin_index, gap, bins)).sum() / len(labels))


def find_worst(probabilities: Probabilities, labels: Labels, count: int = 100) -> list[Mistake]:
    """List the wrong answers, the most confident first."""
    answers = probabilities.argmax(1)
    wrong = np.flatnonzero(answers != labels)
    wrong = wrong[np.argsort(-probabilities[wrong, answers[wrong]], kind="stable")][:count]
    return [Mistake(int(i), int(labels[i]), int(answers[i]), float(probabilities[i, answers[i]])) for i in wrong]
