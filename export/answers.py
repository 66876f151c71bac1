"""What the numbers that a model answers with are: probabilities already, or scores that a softmax is still due to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.parity import PROBABILITY_LIMIT, finite_rows

SEED = 20261122
OPEN_SIDES = (32, 64, 128, 256)
"""Heights and widths that we try where the model leaves them open; a deep one has nothing left of a small image."""
PROBE_LEVELS = (1.0, 255.0, -255.0)
"""Brightest levels of the probes: far from what a model was made for, raw scores leave [0, 1]."""
PROBABILITY_FLOOR = 2.0**-100
"""Smaller probabilities count as this, so that their logarithm is finite; exact in float32, and no denormal."""


def noise_images(shape: tuple[int, ...], count: int) -> NDArray[np.float32]:
    """Make seeded uniform noise in [0, 1); (count, H, W, C)."""
    return np.random.default_rng(SEED).random((count, *shape), dtype=np.float32)


def probe_images(sides: Sequence[int | None]) -> NDArray[np.float32]:
    """Make noise and bars at several levels, (N, H, W, C), for a model of (H, W, C); None or 0 is an open side.

    A model of drawings may answer all noise alike, by its last biases alone.
    """
    shape = tuple(side or OPEN_SIDES[-1] for side in sides)
    height, width, _ = shape
    bars = np.zeros((2, *shape), np.float32)
    bars[0, height // 5 : height - height // 5, width * 2 // 5 : width * 3 // 5 + 1] = 1
    bars[1, height * 2 // 5 : height * 3 // 5 + 1, width // 5 : width - width // 5] = 1
    images = np.concatenate([noise_images(shape, 1), bars])
    return np.concatenate([images * np.float32(level) for level in PROBE_LEVELS])


def is_distribution(answers: NDArray[Any]) -> bool:
    """Say whether every row of (N, classes) is a distribution over classes; rows that are no numbers do not count."""
    sums = answers[finite_rows(answers)].sum(axis=1, dtype=np.float64)
    return are_fractions(answers) and bool((np.abs(sums - 1) <= PROBABILITY_LIMIT).all())


def are_fractions(answers: NDArray[Any]) -> bool:
    """Say whether all of (N, classes) lies in [0, 1]; rows that are no numbers do not count."""
    rows = answers[finite_rows(answers)]
    return bool(rows.size and rows.min() >= 0 and rows.max() <= 1 + PROBABILITY_LIMIT)


def is_finished(answers: NDArray[Any]) -> bool:
    """Say whether (N, classes), or (N, 1) for a yes, needs no softmax or sigmoid any more."""
    return are_fractions(answers) if answers.shape[1] == 1 else is_distribution(answers)
