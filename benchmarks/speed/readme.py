"""The README's tables of speed, between two markers."""

from __future__ import annotations

from pathlib import Path

import click

from benchmarks.report import as_text, verdict
from benchmarks.speed.figures import Row, SpeedReport, Spread

START, END = "<!-- speed -->", "<!-- /speed -->"


def rewrite_readme(readme: Path, report: SpeedReport) -> None:
    """Put the tables of a run in the place of those before. Raises as `split_readme`."""
    before, after = split_readme(readme)
    readme.write_text(f"{before}{START}\n{as_markdown(report)}{END}{after}", encoding="utf-8")


def split_readme(readme: Path) -> tuple[str, str]:
    """Give what is before and after the tables. Raises `click.ClickException` where a marker is missing."""
    before, start, rest = readme.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise click.ClickException(f"{readme} has no {START} ... {END} to write between")
    return before, after


def as_markdown(report: SpeedReport) -> str:
    """Write both tables and what they were measured on."""
    contenders = [
        "| Server | Requests/s | p50, 1 connection | Start to first answer | Memory | Install |",
        "|---|---|---|---|---|---|",
        *(f"| {' | '.join(markdown_cells(row))} |" for row in report.contenders),
    ]
    targets = [
        "| Figure | Measured | Target | |",
        "|---|---|---|---|",
        *(f"| {each.name} | {as_text(each)} | {each.target} | {verdict(each)} |" for each in report.figures),
    ]
    return "\n".join([*contenders, "", *targets, "", surroundings(report), ""])


def surroundings(report: SpeedReport) -> str:
    """Say when, on what and how often."""
    busy = " Latencies are by the clock of a machine that others used too." if report.by_cpu else ""
    return (
        f"{report.scenario[0].upper()}{report.scenario[1:]}, {report.measured}, {report.machine['cpu']}, Python"
        f" {report.machine['python']}; {report.plan.rounds} rounds of {report.plan.load_s:g} s each,"
        f" median (lowest to highest); canvases by {report.drawings}.{busy}"
    )


def markdown_cells(row: Row) -> list[str]:
    """Write a contender with units."""
    title, rate, p50, start, memory, _, size = cells(row)
    return [title, rate, f"{p50} ms", f"{start} s", f"{memory} MB", f"{size} MB"]


def cells(row: Row) -> list[str]:
    """Write a contender: title, requests/s, p50, start, resident memory, proportional memory, size."""
    return [
        row.title,
        as_range(row.images_per_s, 0),
        as_range(row.p50_ms, 2),
        as_range(row.start_s, 2),
        f"{row.rss_mb[0]:.0f}",
        f"{row.pss_mb[0]:.0f}",
        f"{row.size_mb:,.0f}",
    ]


def as_range(spread: Spread, places: int) -> str:
    """Write a median and its range."""
    median, low, high = spread
    return f"{median:,.{places}f} ({low:,.{places}f} to {high:,.{places}f})"
