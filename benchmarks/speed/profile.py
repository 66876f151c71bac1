"""`python -m benchmarks profile`: where the CPU time of one request goes."""

from __future__ import annotations

import contextlib
import re
import statistics
from collections import defaultdict
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.client import HOST, get
from benchmarks.drawings import cached_drawings, read_drawings
from benchmarks.options import Duration, json_option
from benchmarks.report import Report, make_report, write_report
from benchmarks.speed.contenders import OURS, contender_named
from benchmarks.speed.cores import Cores, running_on, two_cores
from benchmarks.speed.environments import CACHE, run
from benchmarks.speed.processes import Process, run_contender
from benchmarks.speed.rounds import CONNECTIONS
from benchmarks.speed.samples import saturate
from benchmarks.speed.workloads import Workload, Workloads, make_workloads

LIVE = "/v2/health/live"
LONE_REQUESTS = 256
TIMING = re.compile(r"([a-z]+);dur=([0-9.]+)")
EMPTY = "network, HTTP, framework: an empty request"
REST = "rest: body, thread hop, metrics, colder caches"


class RequestProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Where the time of one kind of request goes."""

    name: str
    cpu_us: float
    """Of all the server's processes, per request, under full load."""
    parts_us: dict[str, float]
    """They add up to the whole."""
    server_timing_us: dict[str, float]
    """What the server says about lone requests, by the clock: the median of each stage."""


class ProfileReport(Report, frozen=True, kw_only=True):
    """All kinds of requests."""

    requests: tuple[RequestProfile, ...]


@click.command()
@click.option("--seconds", type=Duration(), default=3.0, show_default=True, help="How long each load lasts.")
@json_option
def profile(seconds: float, json_file: Path | None) -> None:
    """Show where the CPU time of one request goes, stage by stage.

    The stages are timed in a loop of their own; what a request takes above them is split by the time of an empty one.
    """
    cores, file = two_cores(), cached_drawings(CACHE)
    workloads, ours = make_workloads(read_drawings(file).drawings), contender_named(OURS)
    folder = ours.prepare()
    with running_on({cores.client}):
        stages = time_stages(folder, file, cores, seconds)
        with run_contender(ours, folder, {cores.server}, workloads.canvas) as process:
            requests = profile_server(process, workloads, stages, seconds)
    report = ProfileReport(**msgspec.structs.asdict(make_report("profile", [])), requests=requests)
    for request in requests:
        Console().print(request_table(request))
    if json_file is not None:
        write_report(report, json_file)


def time_stages(folder: Path, drawings: Path, cores: Cores, seconds: float) -> dict[str, dict[str, float]]:
    """Time the stages in the server's environment, on its core: CPU microseconds by form of the drawing."""
    with running_on({cores.server}):
        printed = run(str(folder / "bin/python"), "-m", "benchmarks.speed.stages", str(seconds), str(drawings))
    return msgspec.json.decode(printed, type=dict[str, dict[str, float]])


def profile_server(
    process: Process, workloads: Workloads, stages: Mapping[str, Mapping[str, float]], seconds: float
) -> tuple[RequestProfile, ...]:
    """Take every kind of request apart."""
    empty_us = cpu_us(process, Workload([get(LIVE)], lambda *_: True), seconds)
    kinds: tuple[tuple[str, Workload, Mapping[str, float]], ...] = (
        ("POST /predict, whole canvas", workloads.canvas, stages["canvas"]),
        ("POST /predict, as the page sends it", workloads.page, stages["page"]),
        ("/v2 infer, one binary tensor", workloads.tensor, {"infer": stages["canvas"]["infer"]}),
    )
    return tuple(
        split(name, cpu_us(process, workload, seconds), parts, empty_us, server_timing(process, workload))
        for name, workload, parts in kinds
    )


def cpu_us(process: Process, workload: Workload, seconds: float) -> float:
    """Give the server's CPU microseconds per request."""
    saturate(process, workload, CONNECTIONS, seconds / 5)
    return 1e6 / saturate(process, workload, CONNECTIONS, seconds).images_per_cpu_s


def split(
    name: str, whole_us: float, parts_us: Mapping[str, float], empty_us: float, timing_us: dict[str, float]
) -> RequestProfile:
    """Say what a request's time consists of."""
    known = {EMPTY: empty_us, **parts_us}
    return RequestProfile(
        name=name,
        cpu_us=whole_us,
        parts_us={**known, REST: whole_us - sum(known.values())},
        server_timing_us=timing_us,
    )


def server_timing(process: Process, workload: Workload) -> dict[str, float]:
    """Ask one request at a time for the server's own figures: the median of each stage, by the clock."""
    stages: dict[str, list[float]] = defaultdict(list)
    with contextlib.closing(HTTPConnection(HOST, process.port)) as connection:
        for index in range(LONE_REQUESTS):
            connection.send(workload.requests[index % len(workload.requests)])
            for stage, duration_ms in ask_timing(connection).items():
                stages[stage].append(1000 * duration_ms)
    return {stage: statistics.median(times) for stage, times in stages.items()}


def request_table(request: RequestProfile) -> Table:
    """Lay one kind of request out for people."""
    timing = ", ".join(f"{stage} {us:,.0f}" for stage, us in request.server_timing_us.items())
    table = Table(title=request.name, caption=f"Server-Timing of a lone request, µs: {timing}")
    table.add_column("part")
    for column in ("CPU µs", "share"):
        table.add_column(column, justify="right")
    for part, us in request.parts_us.items():
        table.add_row(part, f"{us:,.0f}", f"{us / request.cpu_us:.0%}")
    table.add_row("whole request", f"{request.cpu_us:,.0f}", "100%")
    return table


def ask_timing(connection: HTTPConnection) -> dict[str, float]:
    """Read an answer, and the milliseconds of its stages."""
    response = connection.response_class(connection.sock)
    response.begin()
    response.read()
    return parse_timing(response.getheader("Server-Timing", ""))


def parse_timing(header: str) -> dict[str, float]:
    """Read a Server-Timing header: milliseconds by stage."""
    return {stage: float(duration_ms) for stage, duration_ms in TIMING.findall(header)}
