"""`python -m benchmarks profile`: where the CPU time of one request goes."""

from __future__ import annotations

import re
import statistics
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path

import click
import msgspec

from benchmarks.client import HOST, get
from benchmarks.drawings import cached_drawings, read_drawings
from benchmarks.report import Figure, publish
from benchmarks.speed.contenders import OURS, contender_named
from benchmarks.speed.cores import Cores, running_on, two_cores
from benchmarks.speed.environments import CACHE, ROOT
from benchmarks.speed.processes import Process, run_contender
from benchmarks.speed.rounds import CONNECTIONS
from benchmarks.speed.samples import saturate
from benchmarks.speed.workloads import Workload, Workloads, make_workloads

LIVE = "/v2/health/live"
LONE_REQUESTS = 256
TIMING = re.compile(r"([a-z]+);dur=([0-9.]+)")
EMPTY = "network, HTTP and framework, as for an empty request"


@click.command()
@click.option("--seconds", default=3.0, show_default=True, help="How long each load lasts.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the report here.")
def profile(seconds: float, json_file: Path | None) -> None:
    """Show where the CPU time of one request goes, stage by stage.

    The stages are timed in a loop; what a request takes above them is split by the time of an empty request.
    """
    cores, file = two_cores(), cached_drawings(CACHE)
    workloads, ours = make_workloads(read_drawings(file).drawings), contender_named(OURS)
    folder = ours.prepare()
    with running_on({cores.client}):
        stages = time_stages(folder, file, cores, seconds)
        with run_contender(ours, folder, {cores.server}, workloads.canvas) as process:
            figures = profile_server(process, workloads, stages, seconds)
    publish("profile", figures, json_file)


def time_stages(folder: Path, drawings: Path, cores: Cores, seconds: float) -> dict[str, dict[str, float]]:
    """Time the stages in the server's environment, on its core: CPU microseconds by form of the drawing."""
    command = [str(folder / "bin/python"), "-m", "benchmarks.speed.stages", str(seconds), str(drawings)]
    with running_on({cores.server}):
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return msgspec.json.decode(done.stdout, type=dict[str, dict[str, float]])


def profile_server(
    process: Process, workloads: Workloads, stages: Mapping[str, Mapping[str, float]], seconds: float
) -> list[Figure]:
    """Take every kind of request apart."""
    empty_us = cpu_us(process, Workload([get(LIVE)], lambda *_: True), seconds)
    infer = {"infer": stages["canvas"]["infer"]}
    kinds: tuple[tuple[str, Workload, Mapping[str, float]], ...] = (
        ("/predict, whole canvas", workloads.canvas, stages["canvas"]),
        ("/predict, as the page sends it", workloads.page, stages["page"]),
        ("/v2, one binary tensor", workloads.tensor, infer),
    )
    return [
        figure
        for name, workload, parts in kinds
        for figure in [
            *split(name, cpu_us(process, workload, seconds), parts, empty_us),
            *server_timing(name, process, workload),
        ]
    ]


def cpu_us(process: Process, workload: Workload, seconds: float) -> float:
    """Give the server's CPU microseconds per request."""
    saturate(process, workload, CONNECTIONS, seconds / 5)
    return 1e6 / saturate(process, workload, CONNECTIONS, seconds).images_per_cpu_s


def split(name: str, whole_us: float, parts: Mapping[str, float], empty_us: float) -> list[Figure]:
    """Say what a request's time consists of."""
    known = {**parts, EMPTY: empty_us}
    rest = whole_us - sum(known.values())
    return [
        Figure(f"{name}: CPU", round(whole_us, 1), "µs"),
        *(Figure(f"  {part}", round(us, 1), "µs") for part, us in known.items()),
        Figure("  the rest: body, thread hop, metrics, colder caches", round(rest, 1), "µs"),
    ]


def server_timing(name: str, process: Process, workload: Workload) -> list[Figure]:
    """Give what the server itself says, one request at a time: the median of each stage, by the clock."""
    stages: dict[str, list[float]] = defaultdict(list)
    connection = HTTPConnection(HOST, process.port)
    for index in range(LONE_REQUESTS):
        connection.send(workload.requests[index % len(workload.requests)])
        for stage, duration_ms in ask_timing(connection).items():
            stages[stage].append(1000 * duration_ms)
    connection.close()
    return [Figure(f"{name}: Server-Timing {stage}", statistics.median(us), "µs") for stage, us in stages.items()]


def ask_timing(connection: HTTPConnection) -> dict[str, float]:
    """Read an answer, and the milliseconds of its stages."""
    response = connection.response_class(connection.sock)
    response.begin()
    response.read()
    return parse_timing(response.getheader("Server-Timing", ""))


def parse_timing(header: str) -> dict[str, float]:
    """Read a Server-Timing header: milliseconds by stage."""
    return {stage: float(duration_ms) for stage, duration_ms in TIMING.findall(header)}
