"""A worker killed with SIGKILL under load: only what it held is lost, and the others answer on."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time

from benchmarks.client import Fault
from benchmarks.load import OK, SERVICE_UNAVAILABLE, Load, Tally
from benchmarks.payloads import mixed_requests
from benchmarks.report import Figure, at_most, exactly
from benchmarks.servers import POLL_S, ServerProcess, connections_of, run_server

WORKERS = 2
CLIENTS = 16
FRESH_EVERY = 4
BACK_S = 2.0
LOAD_S = 2.0
PATIENCE_S = 30.0


async def kill(rounds: int) -> list[Figure]:
    """Kill a worker, wait for its replacement, and do it again."""
    with run_server("--workers", str(WORKERS)) as server:
        results = [await kill_under_load(server) for _ in range(rounds)]
    tallies, allowed, gaps_s, replaced_s = zip(*results, strict=True)
    beyond = sum(max(0, tally.lost - held) for tally, held in zip(tallies, allowed, strict=True))
    return [
        Figure("workers killed", rounds),
        Figure("requests", sum(tally.sent for tally in tallies)),
        Figure("connections of the killed", sum(allowed)),
        Figure("lost requests", sum(tally.lost for tally in tallies)),
        exactly("lost beyond the killed worker's connections", beyond, 0),
        exactly("refused connections", sum(tally.faults[Fault.REFUSED] for tally in tallies), 0),
        exactly("answers other than 200 and 503", sum(map(other_answers, tallies)), 0),
        at_most("longest time without an answer", max(gaps_s), BACK_S, "s"),
        exactly("replacements missing", sum(map(math.isinf, replaced_s)), 0),
        Figure("until the replacement answers, slowest", max(replaced_s), "s"),
    ]


async def kill_under_load(server: ServerProcess) -> tuple[Tally, int, float, float]:
    """Kill one worker; the tally, the connections that it held, the longest gap, the time until its replacement."""
    load = Load(server.port, mixed_requests(), CLIENTS, FRESH_EVERY)
    hammering = asyncio.create_task(load.hammer())
    await asyncio.sleep(LOAD_S)
    workers = server.worker_pids()
    victim = max(workers, key=lambda pid: connections_of(pid, server.port))
    # Clients that come and go may still open a connection to it between the count and its end.
    held = connections_of(victim, server.port) + CLIENTS // FRESH_EVERY
    killed = time.perf_counter()
    os.kill(victim, signal.SIGKILL)
    replaced_s = await wait_for_replacement(server, set(workers), killed)
    await asyncio.sleep(LOAD_S)
    load.stop()
    tally = await hammering
    return tally, held, tally.longest_gap_s(killed, time.perf_counter()), replaced_s


async def wait_for_replacement(server: ServerProcess, before: set[int], killed: float) -> float:
    """Wait until a new worker has accepted a connection; infinity where none does."""
    while time.perf_counter() - killed < PATIENCE_S:
        if any(connections_of(pid, server.port) for pid in set(server.worker_pids()) - before):
            return time.perf_counter() - killed
        await asyncio.sleep(POLL_S)
    return math.inf


def other_answers(tally: Tally) -> int:
    """Count the answers that no client should see while a worker is replaced."""
    return tally.statuses.total() - tally.statuses[OK] - tally.statuses[SERVICE_UNAVAILABLE]
