"""The README's plot: every contender's rate, start and memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.speed.contenders import OURS
from benchmarks.speed.figures import Row, SpeedReport, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OWN_COLOR, OTHER_COLOR, TEXT_COLOR = "#0969da", "#8c959f", "#6e7781"
"""Readable on GitHub's light and on its dark ground alike."""
PANELS: tuple[tuple[str, str, Callable[[Row], Spread]], ...] = (
    ("Requests per second, more is better", "{:,.0f}", lambda row: row.images_per_s),
    ("Start to first answer, seconds", "{:.2f}", lambda row: row.start_s),
    ("Memory, MB", "{:,.0f}", lambda row: row.rss_mb),
)


def draw_plot(report: SpeedReport, file: Path) -> None:
    """Write an SVG, the same bytes for the same report."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    mpl.rcParams.update({"svg.hashsalt": "livedigit", "svg.fonttype": "none", "font.size": 10})
    figure, panels = plt.subplots(1, len(PANELS), figsize=(12, 2.8), sharey=True, layout="constrained")
    for axes, (title, form, read) in zip(panels, PANELS, strict=True):
        draw_panel(axes, report.contenders, title, form, read)
    figure.savefig(file, transparent=True, metadata={"Date": None})
    plt.close(figure)


def draw_panel(axes: Axes, rows: tuple[Row, ...], title: str, form: str, read: Callable[[Row], Spread]) -> None:
    """Draw one bar per contender with its range, best-known first."""
    ordered = rows[::-1]
    medians = [read(row)[0] for row in ordered]
    errors = [[read(row)[0] - read(row)[1] for row in ordered], [read(row)[2] - read(row)[0] for row in ordered]]
    colors = [OWN_COLOR if row.name == OURS else OTHER_COLOR for row in ordered]
    style: dict[str, Any] = {"ecolor": TEXT_COLOR, "capsize": 2}
    bars = axes.barh([row.title for row in ordered], medians, xerr=errors, color=colors, error_kw=style)
    axes.bar_label(bars, labels=[form.format(value) for value in medians], padding=4, color=TEXT_COLOR)
    axes.set_title(title, color=TEXT_COLOR, fontsize=10)
    axes.margins(x=0.2)
    axes.tick_params(colors=TEXT_COLOR, length=0)
    axes.xaxis.set_visible(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
