"""From rounds to figures: ratios are taken within a round, then the median over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.report import Figure, Report, at_least, at_most, spread_over
from benchmarks.speed.contenders import CONTENDERS, DEMONSTRATION, OURS, Contender
from benchmarks.speed.rounds import MEMORY_REQUESTS, Limit, Plan, Round, ServerMemory, ServerRound
from benchmarks.speed.samples import Sample, WorkersSample

Spread = tuple[float, float, float]
"""Median, lowest and highest."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One contender over all rounds; each figure as (median, lowest, highest)."""

    name: str
    title: str
    images_per_s: Spread
    p50_ms: Spread
    start_s: Spread
    rss_mb: Spread
    pss_mb: Spread
    size_mb: float


class SpeedReport(Report, frozen=True, kw_only=True):
    """A run with all that was measured, so that it can be judged anew."""

    measured: str
    """The day, as the clock of the machine has it."""
    by_cpu: bool
    """Whether rates and starts count CPU time; latencies never do."""
    drawings: str
    """Who encoded the canvases."""
    plan: Plan
    contenders: tuple[Row, ...]
    rounds: tuple[Round, ...]


class Gauge:
    """Reads rates off samples: by the clock, or by the CPU time that the server used, on a machine that is not idle."""

    def __init__(self, by_cpu: bool) -> None:
        self._by_cpu = by_cpu

    def rate(self, sample: Sample) -> float:
        """Images a second."""
        return sample.images_per_cpu_s if self._by_cpu else sample.images_per_s

    def limit(self, limit: Limit) -> float:
        """Images a second."""
        return limit.per_cpu_s if self._by_cpu else limit.per_s

    def start(self, server: ServerRound) -> float:
        """Seconds to the first right answer."""
        return server.start_cpu_s if self._by_cpu else server.start_s


def make_rows(rounds: Sequence[Round], sizes_mb: dict[str, float], gauge: Gauge) -> tuple[Row, ...]:
    """Sum every contender up."""
    return tuple(
        make_row(contender, [each.servers[contender.name] for each in rounds], sizes_mb[contender.name], gauge)
        for contender in CONTENDERS
    )


def make_row(contender: Contender, rounds: Sequence[ServerRound], size_mb: float, gauge: Gauge) -> Row:
    """Sum one contender up."""
    return Row(
        name=contender.name,
        title=contender.title,
        images_per_s=median_and_range([gauge.rate(each.full) for each in rounds]),
        p50_ms=median_and_range([each.lone.p50_ms for each in rounds]),
        start_s=median_and_range([gauge.start(each) for each in rounds]),
        rss_mb=median_and_range([each.rss_mb for each in rounds]),
        pss_mb=median_and_range([each.pss_mb for each in rounds]),
        size_mb=size_mb,
    )


class Target(NamedTuple):
    """What is read off a round, and what it should be."""

    name: str
    read: Callable[[Round, Gauge], float]
    judge: Callable[[str, float, float, str], Figure]
    bound: float
    unit: str = "x"


TARGETS = (
    Target(
        "/predict, whole canvas, against the demonstration",
        lambda each, gauge: gauge.rate(each.servers[OURS].full) / demonstration_rate(each, gauge),
        at_least, 3.0,
    ),
    Target(
        "/predict, as the page sends it, against the demonstration",
        lambda each, gauge: gauge.rate(each.ours.page) / demonstration_rate(each, gauge),
        at_least, 5.0,
    ),
    Target(
        "/v2, one binary tensor, against the demonstration",
        lambda each, gauge: gauge.rate(each.ours.tensor) / demonstration_rate(each, gauge),
        at_least, 10.0,
    ),
    Target(
        "/v2, batches of 64, against ONNX Runtime in a loop",
        lambda each, gauge: gauge.rate(each.ours.batch) / gauge.limit(each.ours.batch_limit),
        at_least, 0.85,
    ),
    Target(
        "/predict, whole canvas, against its stages in a loop",
        lambda each, gauge: gauge.rate(each.servers[OURS].full) / gauge.limit(each.ours.stages_limit),
        at_least, 0.75,
    ),
    Target(
        "p99 / p50 at half of the maximum load",
        lambda each, _: each.ours.half.p99_ms / each.ours.half.p50_ms,
        at_most, 3.0, "",
    ),
    Target(
        "2 workers against 1, by CPU time and by the connections of the busier",
        lambda each, _: capacity(each.ours.two_workers) / capacity(each.ours.one_worker),
        at_least, 1.8,
    ),
    Target("start to first right answer", lambda each, gauge: gauge.start(each.servers[OURS]), at_most, 0.6, "s"),
    Target(
        "start, against the demonstration",
        lambda each, gauge: gauge.start(each.servers[OURS]) / gauge.start(each.servers[DEMONSTRATION]),
        at_most, 0.2,
    ),
)  # fmt: skip
"""Ratios within a round: the machine's speed drifts, and drifts for both."""
MEMORY_TARGET_MB = 90
SIZE_TARGET_MB = 380
SIZE_TARGET_SHARE = 0.25


def make_figures(
    rounds: Sequence[Round], memory: ServerMemory, sizes_mb: dict[str, float], gauge: Gauge
) -> list[Figure]:
    """Hold everything that has a target against it."""
    size, share = sizes_mb[OURS], sizes_mb[OURS] / sizes_mb[DEMONSTRATION]
    memory_name = f"resident memory after {MEMORY_REQUESTS:,} requests"
    return [
        *(judge(target, rounds, gauge) for target in TARGETS),
        at_most(memory_name, round(memory.rss_mb, 1), MEMORY_TARGET_MB, "MB"),
        Figure("of it, with what it shares counted in part (PSS)", round(memory.pss_mb, 1), "MB"),
        at_most("slim install, pip left out", round(size), SIZE_TARGET_MB, "MB"),
        at_most("slim install, against the demonstration's", round(share, 3), SIZE_TARGET_SHARE, "x"),
        Figure("the client's part of its core, at most", round(max(map(client_share, rounds)), 2)),
    ]


def judge(target: Target, rounds: Sequence[Round], gauge: Gauge) -> Figure:
    """Hold the median over the rounds against a target."""
    return spread_over(
        target.judge, target.name, [target.read(each, gauge) for each in rounds], target.bound, target.unit
    )


def demonstration_rate(each: Round, gauge: Gauge) -> float:
    """Give what all rates are compared with."""
    return gauge.rate(each.servers[DEMONSTRATION].full)


def client_share(each: Round) -> float:
    """Give the client's part of its core where it had most to do."""
    return max(sample.client_share for sample in (each.ours.page, each.ours.tensor, each.ours.batch))


def capacity(workers: WorkersSample) -> float:
    """Images a second once each worker has a core of its own, until the first is full."""
    return workers.sample.images_per_cpu_s / workers.busier_share


def median_and_range(values: Sequence[float]) -> Spread:
    """Give the median, the lowest and the highest."""
    return statistics.median(values), min(values), max(values)


def processor() -> str:
    """Name the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
