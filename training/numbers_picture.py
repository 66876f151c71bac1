"""Draws the worst mistakes in reading whole numbers. It shows recorded strokes, so it is made on demand only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from training.numbers_assessment import find_worst_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.numbers_assessment import Answer

COLUMNS = 5
WORST_COUNT = 50


def draw_worst_numbers(answers: Sequence[Answer], path: Path) -> None:
    """Show the most confident mistakes, with what was written, what was read, and how sure that was."""
    worst = find_worst_numbers(answers, WORST_COUNT)
    rows = max(1, -(-len(worst) // COLUMNS))
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(17, 1.7 * rows), layout="constrained")
        for axes, answer in zip(figure.subplots(rows, COLUMNS, squeeze=False).flat, worst, strict=False):
            axes.imshow(answer.number.draw(), cmap="gray", vmin=0, vmax=255)
            read = answer.text or "refused"
            axes.set_title(f"{answer.number.text} → {read} ({answer.confidence:.0%}, {answer.form})")
        for axes in figure.axes:
            axes.axis("off")
        figure.savefig(path, dpi=90)
