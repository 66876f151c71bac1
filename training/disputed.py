"""The labels of MNIST's test split that people dispute.

Five people each were asked about 100 images on which classifiers disagreed with the label; for these 15 fewer than
three of the five saw the digit that the label names.

Source: C. Northcutt, A. Athalye, J. Mueller, Pervasive Label Errors in Test Sets Destabilize Machine Learning
Benchmarks, NeurIPS 2021; `mturk/mnist_mturk.json` at https://github.com/cleanlab/label-errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from training.evaluate import Scores, score_answers

if TYPE_CHECKING:
    from training.evaluate import Labels, Probabilities

TEST_IMAGES = 10_000
GIVEN = {
    947: 8, 1621: 0, 1901: 9, 2130: 4, 2462: 2, 2597: 5, 2654: 6, 3520: 6, 3558: 5, 5937: 5, 6651: 0, 6783: 1,
    8527: 4, 9679: 6, 9729: 5,
}  # fmt: skip
"""The label of each image, by its index."""
SEEN = {947: 9, 1621: 6, 1901: 4, 2462: 0, 2597: 3, 3558: 0, 5937: 3, 6651: 6, 6783: 6, 9729: 6}
"""The digit that most people saw instead. In the other five most saw neither, or they were split."""


class DisputedFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a model makes of the disputed images, and its score without them."""

    undisputed: Scores
    images: int
    as_labelled: int
    """Of the disputed: answers that agree with the label."""
    as_seen: int
    """Answers that agree with what most people saw instead."""


def score_disputed(probabilities: Probabilities, labels: Labels) -> DisputedFigures | None:
    """Score the answers to MNIST's test split; None where the labels are not that split's."""
    disputed = np.array(list(GIVEN))
    if len(labels) != TEST_IMAGES or not np.array_equal(labels[disputed], list(GIVEN.values())):
        return None
    rest = np.setdiff1d(np.arange(TEST_IMAGES), disputed)
    answers = probabilities.argmax(1)
    return DisputedFigures(
        undisputed=score_answers(probabilities[rest], labels[rest]),
        images=len(GIVEN),
        as_labelled=sum(int(answers[row]) == label for row, label in GIVEN.items()),
        as_seen=sum(int(answers[row]) == digit for row, digit in SEEN.items()),
    )
