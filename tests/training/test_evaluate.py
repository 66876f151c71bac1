from __future__ import annotations

import numpy as np
import pytest

from training.evaluate import (
    accuracy_by_group,
    calibration_error,
    find_worst,
    fit_temperature,
    low_confidence,
    score_answers,
    separate,
    softmax,
)


def answers(*rows: tuple[int, float]) -> np.ndarray:
    """Probabilities with the given answer and confidence, the rest spread evenly."""
    probabilities = np.array([np.full(10, (1 - confidence) / 9) for _, confidence in rows], np.float32)
    for row, (answer, confidence) in zip(probabilities, rows, strict=True):
        row[answer] = confidence
    return probabilities


def test_scores_count_errors() -> None:
    scores = score_answers(answers((3, 0.9), (4, 0.8), (5, 0.7), (6, 0.95)), np.array([3, 4, 5, 7]))
    assert (scores.examples, scores.errors, scores.accuracy) == (4, 1, 0.75)


def test_calibration_error_is_the_mean_gap_over_bins() -> None:
    probabilities = answers((1, 0.9), (1, 0.9), (2, 0.5), (2, 0.5))
    labels = np.array([1, 1, 2, 0])
    assert calibration_error(probabilities, labels) == pytest.approx(0.5 * 0.1 + 0.5 * 0.0)


def test_full_confidence_has_a_bin() -> None:
    assert calibration_error(answers((1, 1.0)), np.array([1])) == pytest.approx(0)


def test_the_most_confident_mistake_comes_first() -> None:
    mistakes = find_worst(answers((1, 0.6), (2, 0.9), (3, 0.99)), np.array([0, 0, 3]))
    assert [(mistake.example, mistake.label, mistake.answer) for mistake in mistakes] == [(1, 0, 2), (0, 0, 1)]


def test_the_temperature_of_exaggerated_logits_is_found() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (4000, 10)).astype(np.float32)
    labels = np.array([generator.choice(10, p=row) for row in softmax(logits.astype(np.float64))])
    assert fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.1)


def test_softmax_stands_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([[1000.0, 0.0]], np.float32)), [[1, 0]])


def test_the_threshold_leaves_the_share_below() -> None:
    probabilities = answers(*((1, 0.5 + index / 1000) for index in range(400)))
    threshold = low_confidence(probabilities, 0.05)
    assert np.mean(probabilities.max(1) < threshold) == pytest.approx(0.05, abs=0.003)


@pytest.mark.parametrize(
    ("digit", "rest", "expected"), [(0.9, 0.3, 1.0), (0.3, 0.9, 0.0), (0.5, 0.5, 0.5)], ids=["apart", "swapped", "tied"]
)
def test_separation_is_the_probability_of_the_right_order(digit: float, rest: float, expected: float) -> None:
    assert separate(answers((1, digit), (2, digit)), answers((3, rest), (4, rest), (5, rest))) == expected


def test_groups_are_scored_apart() -> None:
    probabilities = answers((1, 0.9), (1, 0.9), (2, 0.9))
    assert accuracy_by_group(probabilities, np.array([1, 2, 2]), np.array([7, 7, 9])) == {7: 0.5, 9: 1.0}
