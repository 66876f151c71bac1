from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.data import load_mnist
from training.disputed import GIVEN, SEEN, TEST_IMAGES, score_disputed


def label_all() -> np.ndarray:
    labels = np.zeros(TEST_IMAGES, np.int64)
    labels[list(GIVEN)] = list(GIVEN.values())
    return labels


def test_what_people_saw_is_another_digit_than_the_label() -> None:
    assert len(GIVEN) == 15
    assert all(GIVEN[row] != digit for row, digit in SEEN.items())


def test_answers_are_held_against_labels_and_against_people() -> None:
    labels = label_all()
    answers = labels.copy()
    answers[[947, 1621, 2130, 5]] = [9, 5, 9, 1]
    figures = score_disputed(np.eye(10, dtype=np.float32)[answers], labels)
    assert figures is not None
    assert (figures.undisputed.examples, figures.undisputed.errors) == (9985, 1)
    assert (figures.images, figures.as_labelled, figures.as_seen) == (15, 12, 1)


@pytest.mark.parametrize("labels", [label_all()[:-1], np.zeros(TEST_IMAGES, np.int64)], ids=["fewer", "others"])
def test_another_set_of_images_has_no_disputed_labels(labels: np.ndarray) -> None:
    assert score_disputed(np.eye(10, dtype=np.float32)[labels], labels) is None


@pytest.mark.data
def test_the_labels_are_those_of_mnists_test_split(data_dir: Path) -> None:
    labels = load_mnist(data_dir, "test")[0].labels
    assert score_disputed(np.eye(10, dtype=np.float32)[labels], labels) is not None
