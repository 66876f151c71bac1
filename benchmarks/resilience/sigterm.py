"""Fifty times SIGTERM under load: what the server has accepted it answers, and it ends with 0."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from typing import NamedTuple

from benchmarks.client import Fault
from benchmarks.load import OK, SERVICE_UNAVAILABLE, Load, Tally
from benchmarks.payloads import mixed_requests
from benchmarks.report import Figure, exactly
from benchmarks.servers import run_server

CLIENTS = 16
FRESH_EVERY = 2
"""Half of the clients open a connection per request, because the door is where requests get lost."""
LOAD_BEFORE_S = (0.3, 0.8)


class Round(NamedTuple):
    """One server's end."""

    tally: Tally
    exit_status: int
    stop_s: float


async def sigterm(rounds: int, workers: int, seed: int) -> list[Figure]:
    """Start, load, stop; again and again."""
    chance = random.Random(seed)
    results = [await stop_under_load(chance.uniform(*LOAD_BEFORE_S), workers) for _ in range(rounds)]
    tallies = [result.tally for result in results]
    return [
        Figure("rounds", rounds),
        Figure("workers", workers),
        Figure("requests", sum(tally.sent for tally in tallies)),
        Figure("of which never accepted", sum(tally.faults[Fault.REFUSED] for tally in tallies)),
        exactly("dropped requests", sum(tally.lost for tally in tallies), 0),
        exactly("rounds with a dropped request", sum(tally.lost > 0 for tally in tallies), 0),
        exactly("answers other than 200 and 503", sum(other_answers(tally) for tally in tallies), 0),
        exactly("exit statuses other than 0", sum(result.exit_status != 0 for result in results), 0),
        Figure("from SIGTERM to the end, slowest", max(result.stop_s for result in results), "s"),
    ]


async def stop_under_load(load_s: float, workers: int) -> Round:
    """Stop a server while clients go on until they are refused."""
    with run_server("--workers", str(workers)) as server:
        load = Load(server.port, mixed_requests(), CLIENTS, FRESH_EVERY)
        hammering = asyncio.create_task(load.hammer(until_refused=True))
        await asyncio.sleep(load_s)
        started = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        exit_status = await asyncio.to_thread(server.wait)
        stopped = time.perf_counter() - started
        # Whoever has not met the closed door yet meets it now.
        return Round(await hammering, exit_status, stopped)


def other_answers(tally: Tally) -> int:
    """Count the answers that no client should see while a server stops."""
    return tally.statuses.total() - tally.statuses[OK] - tally.statuses[SERVICE_UNAVAILABLE]
