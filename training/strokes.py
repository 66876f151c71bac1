"""Where recorded digits lie on the page's canvas; `service.rendering` draws them there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from service.rendering import CANVAS_SIZE

if TYPE_CHECKING:
    from training.unipen import PenDigit, Stroke

FILL_LENGTH = 220.0
"""Longer side of a drawing that fills the canvas, without the pen's width."""


def place_as_drawn(digit: PenDigit) -> list[Stroke]:
    """Lay the whole tablet on the canvas: the digit keeps its place and its size."""
    from training.unipen import TABLET_SIZE

    return [stroke * (CANVAS_SIZE / TABLET_SIZE) for stroke in digit.strokes]


def fit_strokes(strokes: Sequence[Stroke], length: float = FILL_LENGTH) -> list[Stroke]:
    """Scale to a longer side of `length` and centre on the canvas."""
    points = np.concatenate(strokes)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = length / max(float((high - low).max()), 1.0)
    return [(stroke - (low + high) / 2) * scale + CANVAS_SIZE / 2 for stroke in strokes]
