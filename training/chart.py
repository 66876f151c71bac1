"""Draws how often networks misread pen strokes, per condition: `python -m training.chart OUT.svg NAME=report.json ...`.

The reports are those that `livedigit evaluate --out` writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from service.contract import UNREADABLE_JSON
from training.assessment import Assessment
from training.errors import DataError, told_by_click, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from training.assessment import StrokeFigures

COLOURS = ("#b8bcc8", "#3566d8", "#1b9e77")


@click.command()
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("reports", nargs=-1, required=True, metavar="NAME=REPORT...")
@told_by_click()
def main(out: Path, reports: tuple[str, ...]) -> None:
    """Draw the reports' errors per condition side by side into OUT."""
    import matplotlib as mpl
    from matplotlib.backend_bases import FigureCanvasBase
    from matplotlib.figure import Figure

    named = [each.partition("=")[::2] for each in reports]
    if bare := [report for report, each in zip(reports, named, strict=True) if not all(each)]:
        raise click.UsageError(f"{bare[0]}: expected NAME=REPORT")
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise click.UsageError(f"{', '.join(names)}: expected a different NAME for each report")
    formats = FigureCanvasBase.get_supported_filetypes()
    if out.suffix and out.suffix[1:].lower() not in formats:
        raise click.UsageError(f"{out}: cannot be drawn as {out.suffix[1:]}: expected one of {', '.join(formats)}")
    figures = {name: read_strokes(Path(path)) for name, path in named}
    # The salt makes the same figures the same file.
    with mpl.rc_context(
        {"svg.hashsalt": "livedigit", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        draw_errors(figure.add_subplot(), figures)
        figure.legend(frameon=False, loc="outside upper left", ncols=len(figures))
        with writing(out, "choose another OUT"):
            figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)


def read_strokes(path: Path) -> StrokeFigures:
    """Read the figures on pen strokes. Raises `DataError`."""
    try:
        figures = msgspec.json.decode(path.read_bytes(), type=Assessment).strokes
    except (OSError, *UNREADABLE_JSON) as error:
        raise DataError(f"{path}: not a report of `livedigit evaluate` ({error})") from error
    if figures is None:
        raise DataError(f"{path}: has no figures on pen strokes: evaluate with a data folder that holds them")
    return figures


def draw_errors(axes: Axes, figures: dict[str, StrokeFigures]) -> None:
    """Draw a group of bars for each condition."""
    height = 0.8 / len(figures)
    for index, (name, strokes) in enumerate(figures.items()):
        errors = [100 * (1 - scores.accuracy) for scores in strokes.by_condition.values()]
        places = [row + height * (index - (len(figures) - 1) / 2) for row in range(len(errors))]
        bars = axes.barh(places, errors, height, label=name, color=COLOURS[index % len(COLOURS)])
        axes.bar_label(bars, [f"{error:.1f}" for error in errors], padding=2)
    conditions = list(next(iter(figures.values())).by_condition)
    axes.set(yticks=range(len(conditions)), yticklabels=conditions, xlabel="digits misread, %")
    axes.margins(x=0.07)
    axes.invert_yaxis()


if __name__ == "__main__":
    main()
