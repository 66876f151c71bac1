"""`python -m benchmarks scaling`: what more connections, more workers and larger batches bring."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.drawings import Drawing, cached_drawings, read_drawings
from benchmarks.options import Duration, file_option, json_option
from benchmarks.report import Report, make_report, write_report
from benchmarks.speed.contenders import OURS, contender_named
from benchmarks.speed.cores import Cores, running_on, two_cores
from benchmarks.speed.environments import CACHE
from benchmarks.speed.processes import Process, run_contender
from benchmarks.speed.rounds import BATCH_CONNECTIONS
from benchmarks.speed.samples import Sample, saturate
from benchmarks.speed.workloads import make_batches, make_workloads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

POWERS = (1, 2, 4, 8, 16, 32, 64)
WORKERS = (1, 2)


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One load."""

    load: str
    workers: int
    connections: int
    batch: int
    sample: Sample


class ScalingReport(Report, frozen=True, kw_only=True):
    """All loads."""

    points: tuple[Point, ...]


@click.command()
@click.option("--seconds", type=Duration(), default=2.0, show_default=True, help="How long each load lasts.")
@json_option
@file_option("--plot", "plot_file", "Also draw the curves here, SVG or PNG.")
def scaling(seconds: float, json_file: Path | None, plot_file: Path | None) -> None:
    """Load the server with 1 to 64 connections, 1 and 2 workers, and batches of 1 to 64."""
    cores, drawings = two_cores(), read_drawings(cached_drawings(CACHE)).drawings
    folder = contender_named(OURS).prepare()
    points = tuple(measure_points(folder, cores, drawings, seconds))
    report = ScalingReport(**msgspec.structs.asdict(make_report("scaling", [])), points=points)
    Console().print(points_table(report))
    if json_file is not None:
        write_report(report, json_file)
    if plot_file is not None:
        draw_scaling(report).savefig(plot_file)


def measure_points(folder: Path, cores: Cores, drawings: tuple[Drawing, ...], seconds: float) -> Iterator[Point]:
    """Measure connections for each number of workers, then batches. Two workers share their cores with the client."""
    canvas, ours = make_workloads(drawings).canvas, contender_named(OURS)
    for workers in WORKERS:
        server, client = ({cores.server}, {cores.client}) if workers == 1 else (cores.both, cores.both)
        flags = ["--workers", str(workers)]
        with running_on(client), run_contender(ours, folder, server, canvas, flags) as process:
            process.wait_for_workers(workers)
            saturate(process, canvas, max(POWERS), seconds / 4)
            for connections in POWERS:
                sample = saturate(process, canvas, connections, seconds)
                yield Point(load="/predict", workers=workers, connections=connections, batch=1, sample=sample)
            if workers == 1:
                yield from measure_batches(process, drawings, seconds)


def measure_batches(process: Process, drawings: tuple[Drawing, ...], seconds: float) -> Iterator[Point]:
    """Measure every size of batch."""
    for size in POWERS:
        sample = saturate(process, make_batches(drawings, size), BATCH_CONNECTIONS, seconds)
        yield Point(load="/v2", workers=1, connections=BATCH_CONNECTIONS, batch=size, sample=sample)


def points_table(report: ScalingReport) -> Table:
    """Lay the loads out for people."""
    table = Table(title=report.scenario)
    for column in ("load", "workers", "connections", "batch", "images/s", "images/CPU s", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column == "load" else "right")
    for point in report.points:
        sample = point.sample
        counts = (point.workers, point.connections, point.batch)
        rates = (f"{sample.images_per_s:,.0f}", f"{sample.images_per_cpu_s:,.0f}")
        table.add_row(point.load, *map(str, counts), *rates, f"{sample.p50_ms:.2f}", f"{sample.p99_ms:.2f}")
    return table


def draw_scaling(report: ScalingReport) -> MatplotlibFigure:
    """Draw rates over connections and over batches."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (connections, batches) = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
    for workers in WORKERS:
        points = [point for point in report.points if (point.load, point.workers) == ("/predict", workers)]
        title = f"{workers} worker{'s' if workers > 1 else ''}"
        draw_curve(connections, points, [point.connections for point in points], title)
    points = [point for point in report.points if point.load == "/v2"]
    draw_curve(batches, points, [point.batch for point in points], "1 worker")
    connections.set(title="POST /predict, whole canvas", xlabel="connections", ylabel="requests/s")
    batches.set(title="/v2 infer, binary tensors", xlabel="images in a batch", ylabel="images/s")
    for axes in (connections, batches):
        # Only now: a limit keeps later curves from widening the scale.
        axes.set_ylim(bottom=0)
    plt.close(figure)
    return figure


def draw_curve(axes: Axes, points: list[Point], places: list[int], title: str) -> None:
    """Draw one curve on a scale of powers of two."""
    axes.plot(places, [point.sample.images_per_s for point in points], marker="o", label=title)
    axes.set_xscale("log", base=2)
    axes.set_xticks(POWERS, [str(power) for power in POWERS])
    axes.legend()
