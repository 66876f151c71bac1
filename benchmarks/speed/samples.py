"""Loads on a running server, and what they show. A wrong or a lost answer ends the whole run."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import click
import msgspec
import uvloop

from benchmarks.load import OK, Load, Tally, hammer_for
from benchmarks.speed.processes import TICKS_PER_S, Process
from benchmarks.speed.workloads import Workload

AWAKE_S = 0.002
"""uvloop's timers count whole milliseconds."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One load on one server."""

    images_per_s: float
    images_per_cpu_s: float
    """By the CPU time of all its processes: what a whole core of its own would give, on a busy machine too."""
    p50_ms: float
    p99_ms: float
    client_share: float
    """Of the elapsed time, how much the client computed: near 1, it would be the client that is measured."""


class WorkersSample(msgspec.Struct, frozen=True):
    """One load on several workers."""

    sample: Sample
    busier_share: float
    """Of the connections, those of the worker that has most: it is full first, once each worker has a core."""


def saturate(process: Process, workload: Workload, connections: int, duration_s: float) -> Sample:
    """Send as fast as answers come."""
    load = Load(process.port, workload.requests, connections, check=workload.check)
    return observe(process, workload, hammer_for(load, duration_s))


def saturate_workers(process: Process, workload: Workload, connections: int, duration_s: float) -> WorkersSample:
    """Do as `saturate`, and look in the middle of it who has the connections."""
    load = Load(process.port, workload.requests, connections, check=workload.check)
    shares: list[float] = []

    async def hammer_and_look() -> Tally:
        hammering = asyncio.create_task(hammer_for(load, duration_s))
        await asyncio.sleep(duration_s / 2)
        shares.append(process.busier_share())
        return await hammering

    sample = observe(process, workload, hammer_and_look())
    return WorkersSample(sample, *shares)


def pace(process: Process, workload: Workload, connections: int, rate: float, duration_s: float) -> Sample:
    """Send at a steady rate; latencies count from when a request was due, so that none is left out while one waits."""
    load = Load(process.port, workload.requests, connections, check=workload.check)
    return observe(process, workload, load.pace(rate, duration_s, AWAKE_S))


def send_many(process: Process, workload: Workload, connections: int, count: int) -> None:
    """Send a number of requests, more or less: until that many have been answered."""
    load = Load(process.port, workload.requests, connections, check=workload.check)

    async def send() -> Tally:
        hammering = asyncio.create_task(load.hammer())
        while load.tally.sent < count and not hammering.done():
            await asyncio.sleep(0.05)
        load.stop()
        return await hammering

    refuse_failures(uvloop.run(send()))


def observe(process: Process, workload: Workload, load: Coroutine[Any, Any, Tally]) -> Sample:
    """Let a load run, and add up what its server used meanwhile."""
    with no_collections():
        cpu_before, client_before, started = process.cpu_s(), time.process_time(), time.perf_counter()
        tally = uvloop.run(load)
        elapsed, client_used = time.perf_counter() - started, time.process_time() - client_before
        cpu_used = process.cpu_s() - cpu_before
    refuse_failures(tally)
    images = tally.sent * workload.images
    return Sample(
        images_per_s=images / elapsed,
        # What took less than a tick of the kernel's clock counts as one.
        images_per_cpu_s=images / max(cpu_used, 1 / TICKS_PER_S),
        p50_ms=tally.latency_ms(0.5),
        p99_ms=tally.latency_ms(0.99),
        client_share=client_used / elapsed,
    )


@contextlib.contextmanager
def no_collections() -> Iterator[None]:
    """Keep Python's collector out: its pauses would be counted as the server's."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def refuse_failures(tally: Tally) -> None:
    """Raise `click.ClickException` unless every request was answered, and rightly."""
    if tally.wrong or tally.unlike(OK) or not tally.sent:
        raise click.ClickException(
            f"the run does not count: of {tally.sent:,} answers {tally.wrong:,} are wrong, {tally.unlike(OK):,} failed"
            f" (statuses {dict(tally.statuses)}, lost {tally.lost:,})"
        )
