"""How good a model is: accuracy, calibration, and the answers that were most wrong. Arrays in, figures out."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import rankdata

Probabilities = NDArray[np.float32]
Labels = NDArray[np.int64]

CALIBRATION_BINS = 15
TEMPERATURE_LOG_BOUNDS = (-2.0, 2.0)
FALSE_ALARMS = 0.01
"""Share of digits that may be called uncertain."""


class Mistake(msgspec.Struct, frozen=True):
    """A wrong answer."""

    example: int
    """Its index in the data set."""
    label: int
    answer: int
    confidence: float


class Scores(msgspec.Struct, frozen=True):
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


def softmax(logits: NDArray[np.float32]) -> Probabilities:
    """Turn (N, 10) logits to probabilities."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    probabilities: Probabilities = (powers / powers.sum(1, keepdims=True)).astype(np.float32)
    return probabilities


def fit_temperature(logits: NDArray[np.float32], labels: Labels) -> float:
    """Find the divisor of the logits under which the labels are likeliest.

    Source: C. Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599.
    """

    def surprise(log_temperature: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log_temperature)
        return float(np.mean(logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]))

    return float(np.exp(minimize_scalar(surprise, bounds=TEMPERATURE_LOG_BOUNDS, method="bounded").x))


def low_confidence(probabilities: Probabilities, share: float = FALSE_ALARMS) -> float:
    """Find the highest probability under which this share of the answers lies."""
    return float(np.quantile(probabilities.max(1), share))


def separate(digits: Probabilities, rest: Probabilities) -> float:
    """Area under the ROC curve of the highest probability, digits against what is no digit: 0.5 to 1.

    It is the probability that a random digit gets a higher one than a random other drawing.
    """
    ranks = rankdata(np.concatenate([digits.max(1), rest.max(1)]))[: len(digits)]
    return float((ranks.sum() - len(digits) * (len(digits) + 1) / 2) / (len(digits) * len(rest)))


def accuracy_by_group(probabilities: Probabilities, labels: Labels, groups: Labels) -> dict[int, float]:
    """Give the accuracy of each group, such as a writer."""
    right = probabilities.argmax(1) == labels
    return {int(group): float(right[groups == group].mean()) for group in np.unique(groups)}
