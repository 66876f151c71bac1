"""Draws an evaluation as one picture. It shows images of the data sets, so it is made on demand and not published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from training.evaluate import CALIBRATION_BINS, find_worst

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from training.assessment import Answered, Assessment

WORST_COLUMNS = 20
WORST_COUNT = 100


def draw_assessment(figures: Assessment, answered: dict[str, Answered], path: Path) -> None:
    """Draw confusions, reliability and the worst mistakes of each data set, and accuracy per writer and condition."""
    rows = len(answered)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(17, 4.6 * rows + 3.4), layout="constrained")
        grid = figure.add_gridspec(rows + 1, 4, height_ratios=[*[4.6] * rows, 3.4])
        for row, (name, answers) in enumerate(answered.items()):
            draw_confusion(figure.add_subplot(grid[row, 0]), name, answers)
            draw_reliability(figure.add_subplot(grid[row, 1]), name, answers)
            draw_worst(figure.add_subplot(grid[row, 2:]), name, answers)
        if figures.strokes:
            conditions = {name: scores.accuracy for name, scores in figures.strokes.by_condition.items()}
            writers = {str(writer): accuracy for writer, accuracy in figures.strokes.by_writer.items()}
            draw_bars(figure.add_subplot(grid[rows, :2]), "accuracy per condition", conditions)
            draw_bars(figure.add_subplot(grid[rows, 2:]), "accuracy per writer", writers)
        figure.suptitle(figures.model)
        figure.savefig(path, dpi=110)


def draw_confusion(axes: Axes, name: str, answers: Answered) -> None:
    """Count which digit is taken for which; right answers are left out."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (answers.digits.labels, answers.probabilities.argmax(1)), 1)
    np.fill_diagonal(counts, 0)
    axes.imshow(counts, cmap="Reds")
    for (label, answer), count in np.ndenumerate(counts):
        if count:
            is_dark = count > counts.max() / 2
            axes.text(answer, label, str(count), ha="center", va="center", color="white" if is_dark else "black")
    axes.set(
        xticks=range(10), yticks=range(10), xlabel="answer", ylabel="label", title=f"{name}: {counts.sum()} errors"
    )


def draw_reliability(axes: Axes, name: str, answers: Answered) -> None:
    """Draw accuracy over confidence, a point per bin that holds any answers."""
    confidence = answers.probabilities.max(1)
    right = answers.probabilities.argmax(1) == answers.digits.labels
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    used = counts > 0
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--")
    axes.scatter(
        np.bincount(bins, confidence, CALIBRATION_BINS)[used] / counts[used],
        np.bincount(bins, right, CALIBRATION_BINS)[used] / counts[used],
        s=8 + 12 * np.log10(counts[used]),
    )
    axes.set(xlabel="confidence", ylabel="accuracy", title=f"{name}: reliability", xlim=(0, 1.02), ylim=(-0.02, 1.02))


def draw_worst(axes: Axes, name: str, answers: Answered) -> None:
    """Show the most confident mistakes with label and answer."""
    mistakes = find_worst(answers.probabilities, answers.digits.labels, WORST_COUNT)
    rows = max(1, -(-len(mistakes) // WORST_COLUMNS))
    sheet = np.zeros((rows * 38, WORST_COLUMNS * 28), np.uint8)
    for index, mistake in enumerate(mistakes):
        row, column = divmod(index, WORST_COLUMNS)
        sheet[row * 38 + 10 : row * 38 + 38, column * 28 : column * 28 + 28] = answers.digits.images[mistake.example]
        text = f"{mistake.label}→{mistake.answer}"
        axes.text(column * 28 + 14, row * 38 + 6, text, ha="center", va="center", fontsize=6, color="white")
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255)
    axes.set(title=f"{name}: the most confident mistakes (label→answer)")
    axes.axis("off")


def draw_bars(axes: Axes, title: str, values: dict[str, float]) -> None:
    """Draw shares in percent, as bars with their figures."""
    bars = axes.barh(list(values), [100 * value for value in values.values()], color="tab:blue")
    axes.bar_label(bars, [f"{value:.2%}" for value in values.values()], padding=2)
    axes.set(title=title, xlabel="%", xlim=(min(90.0, 100 * min(values.values()) - 1), 101.5))
    axes.invert_yaxis()
