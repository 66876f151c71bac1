"""`python -m benchmarks speed`: contenders and targets as tables, JSON, and on demand the README's table and plot."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.drawings import cached_drawings, read_drawings
from benchmarks.options import json_option
from benchmarks.report import make_report, publish_report
from benchmarks.speed.contenders import CONTENDERS
from benchmarks.speed.cores import running_on, two_cores
from benchmarks.speed.environments import CACHE, ROOT, size_mb
from benchmarks.speed.figures import Gauge, SpeedReport, make_figures, make_rows, processor
from benchmarks.speed.plot import draw_plot
from benchmarks.speed.readme import cells, rewrite_readme, split_readme
from benchmarks.speed.rounds import FULL, QUICK, Bench
from benchmarks.speed.workloads import make_workloads

README = ROOT / "README.md"
PLOT = ROOT / ".github/benchmarks.svg"


@click.command()
@click.option("--quick", is_flag=True, help="Short loads and few rounds: to try it out.")
@click.option("--by-cpu", is_flag=True, help="Count CPU time instead of time, for a machine that others use too.")
@json_option
@click.option("--publish", is_flag=True, help="Also write the README's tables and plot.")
def speed(quick: bool, by_cpu: bool, json_file: Path | None, publish: bool) -> None:
    """Compare the server with others that serve the same model."""
    if publish:
        # Before minutes of measuring, not after them.
        split_readme(README)
    report = run_speed(quick, by_cpu)
    Console().print(contenders_table(report))
    if publish:
        rewrite_readme(README, report)
        draw_plot(report, PLOT)
    publish_report(report, json_file)


def run_speed(quick: bool, by_cpu: bool) -> SpeedReport:
    """Set everything up, measure, and judge."""
    plan = QUICK if quick else FULL
    cores, file = two_cores(), cached_drawings(CACHE)
    drawings = read_drawings(file)
    folders = {contender.name: contender.prepare() for contender in CONTENDERS}
    sizes_mb = {name: size_mb(folder) for name, folder in folders.items()}
    bench = Bench(plan, cores, folders, make_workloads(drawings.drawings), file)
    with running_on({cores.client}):
        rounds = tuple(bench.run_round(number, tell(number)) for number in range(plan.rounds))
        memory = bench.measure_memory()
    gauge = Gauge(by_cpu)
    figures = make_figures(rounds, memory, sizes_mb, gauge)
    report = make_report("speed, by CPU time" if by_cpu else "speed", figures)
    return SpeedReport(
        **msgspec.structs.asdict(msgspec.structs.replace(report, machine={"cpu": processor(), **report.machine})),
        measured=dt.datetime.now(dt.UTC).date().isoformat(),
        by_cpu=by_cpu,
        drawings=drawings.encoder,
        plan=plan,
        contenders=make_rows(rounds, sizes_mb, gauge),
        rounds=rounds,
    )


def tell(number: int) -> Callable[[str], None]:
    """Say on stderr what is being measured."""
    return lambda what: click.echo(f"round {number + 1}: {what}", err=True)


def contenders_table(report: SpeedReport) -> Table:
    """Lay the contenders out for people."""
    table = Table(title="POST /predict, 64 canvases of 280 x 280, one core")
    for column in ("server", "requests/s", "p50 ms, 1 connection", "start s", "memory MB", "PSS MB", "install MB"):
        table.add_column(column, justify="left" if column == "server" else "right")
    for row in report.contenders:
        table.add_row(*cells(row))
    return table
