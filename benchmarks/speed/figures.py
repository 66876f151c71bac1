"""From rounds to figures: ratios are taken within a round, then the median over the rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.report import Figure, Report, at_least, at_most, spread_over
from benchmarks.speed.contenders import CONTENDERS, DEMONSTRATION, OURS, Contender
from benchmarks.speed.rounds import MEMORY_REQUESTS, Limit, Plan, Round, ServerMemory, ServerRound
from benchmarks.speed.samples import Sample

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


def make_figures(
    rounds: Sequence[Round], memory: ServerMemory, sizes_mb: dict[str, float], gauge: Gauge
) -> list[Figure]:
    """Hold everything that has a target against it."""
    ours, demonstration = ([each.servers[name] for each in rounds] for name in (OURS, DEMONSTRATION))
    loads, rate, limit = [each.ours for each in rounds], gauge.rate, gauge.limit
    base = [rate(each.full) for each in demonstration]
    full = [rate(each.full) for each in ours]
    starts = [gauge.start(each) for each in ours]
    size, their_size = sizes_mb[OURS], sizes_mb[DEMONSTRATION]
    return [
        spread_over(at_least, "/predict, whole canvas, against the demonstration", ratios(full, base), 3.0, "x"),
        spread_over(
            at_least, "/predict, as the page sends it, against the demonstration",
            ratios([rate(each.page) for each in loads], base), 5.0, "x",
        ),
        spread_over(
            at_least, "/v2, one binary tensor, against the demonstration",
            ratios([rate(each.tensor) for each in loads], base), 10.0, "x",
        ),
        spread_over(
            at_least, "/v2, batches of 64, against ONNX Runtime in a loop",
            [rate(each.batch) / limit(each.batch_limit) for each in loads], 0.85, "x",
        ),
        spread_over(
            at_least, "/predict, whole canvas, against its stages in a loop",
            ratios(full, [limit(each.stages_limit) for each in loads]), 0.75, "x",
        ),
        spread_over(
            at_most, "p99 / p50 at half of the maximum load",
            [each.half.p99_ms / each.half.p50_ms for each in loads], 3.0,
        ),
        spread_over(
            at_least, "2 workers against 1, by the CPU time of the busier",
            [busiest(each.one_worker) / busiest(each.two_workers) for each in loads], 1.8, "x",
        ),
        spread_over(at_most, "start to first right answer", starts, 0.6, "s"),
        spread_over(
            at_most, "start, against the demonstration",
            ratios(starts, [gauge.start(each) for each in demonstration]), 0.2, "x",
        ),
        at_most(f"resident memory after {MEMORY_REQUESTS:,} requests", round(memory.rss_mb, 1), 90, "MB"),
        Figure("of it, with what it shares counted in part (PSS)", round(memory.pss_mb, 1), "MB"),
        at_most("slim install, pip left out", round(size), 380, "MB"),
        at_most("slim install, against the demonstration's", round(size / their_size, 3), 0.25, "x"),
    ]  # fmt: skip


def ratios(values: Sequence[float], bases: Sequence[float]) -> list[float]:
    """Divide round by round: the machine's speed drifts, and drifts for both."""
    return [value / base for value, base in zip(values, bases, strict=True)]


def busiest(sample: Sample) -> float:
    """CPU seconds per image of the process that has most to do: what bounds the rate once each has a core."""
    return max(sample.worker_cpu_s.values())


def median_and_range(values: Sequence[float]) -> Spread:
    """Give the median, the lowest and the highest."""
    return statistics.median(values), min(values), max(values)


def processor() -> str:
    """Name the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
