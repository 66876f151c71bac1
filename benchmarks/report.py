"""Figures, targets and verdicts."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import msgspec
from rich.console import Console
from rich.table import Table

from service.files import write_whole

PACKAGES = ("livedigit", "litestar", "uvicorn", "uvloop", "onnxruntime", "numpy", "pillow")


class Figure(msgspec.Struct, frozen=True):
    """Something measured."""

    name: str
    value: float
    unit: str = ""
    target: str = ""
    """In words; empty where the figure is for information."""
    passed: bool = True
    spread: tuple[float, float] | None = None
    """The lowest and the highest of several measurements, whose median is `value`."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run, and on what they were measured."""

    scenario: str
    passed: bool
    figures: tuple[Figure, ...]
    machine: dict[str, str]
    packages: dict[str, str]


def exactly(name: str, value: int, wanted: int) -> Figure:
    """Make a figure that has one right value."""
    return Figure(name, value, target=f"{wanted:,}", passed=value == wanted)


def at_least(name: str, value: float, least: float, unit: str = "") -> Figure:
    """Make a figure that must not fall below its target."""
    return Figure(name, value, unit, f">= {least:,g}", value >= least)


def at_most(name: str, value: float, most: float, unit: str = "") -> Figure:
    """Make a figure that must not exceed its target. NaN is no success."""
    return Figure(name, value, unit, f"<= {most:,g}", value <= most)


def spread_over(
    judge: Callable[[str, float, float, str], Figure], name: str, values: Sequence[float], bound: float, unit: str = ""
) -> Figure:
    """Judge the median of several measurements by `at_least` or `at_most`."""
    figure = judge(name, statistics.median(values), bound, unit)
    return msgspec.structs.replace(figure, spread=(min(values), max(values)))


def make_report(scenario: str, figures: list[Figure]) -> Report:
    """Add the verdict and the surroundings."""
    return Report(
        scenario=scenario,
        passed=all(figure.passed for figure in figures),
        figures=tuple(figures),
        machine={
            "cpus": str(len(os.sched_getaffinity(0))),
            "load": f"{os.getloadavg()[0]:.1f}",
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        packages={name: version(name) for name in PACKAGES},
    )


def publish(scenario: str, figures: list[Figure], json_file: Path | None) -> NoReturn:
    """Print the table, write the JSON, and exit: 0 where every target is met, else 1."""
    publish_report(make_report(scenario, figures), json_file)


def publish_report(report: Report, json_file: Path | None) -> NoReturn:
    """Do as `publish` does, with a report that says more than figures."""
    Console().print(as_table(report))
    if json_file is not None:
        write_report(report, json_file)
    sys.exit(0 if report.passed else 1)


def write_report(report: Report, json_file: Path) -> None:
    """Write it in one step for programs, and for those who want to judge it anew."""
    write_whole(json_file, msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def as_table(report: Report) -> Table:
    """Lay the figures out for people."""
    machine = ", ".join(f"{name} {value}" for name, value in report.machine.items())
    table = Table(title=report.scenario, caption=machine)
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("target", justify="right")
    table.add_column("verdict")
    for figure in report.figures:
        table.add_row(figure.name, as_text(figure), figure.target, verdict(figure))
    return table


def as_text(figure: Figure) -> str:
    """Write value, spread and unit."""
    if figure.spread is None:
        return f"{figure.value:,.6g} {figure.unit}".strip()
    low, high = figure.spread
    return f"{figure.value:,.3g} ({low:,.3g} to {high:,.3g}) {figure.unit}".strip()


def verdict(figure: Figure) -> str:
    """Say in a word whether the target is met."""
    if not figure.target:
        return ""
    return "met" if figure.passed else "MISSED"
