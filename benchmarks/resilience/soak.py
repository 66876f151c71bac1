"""A long run at 80% of what the server can do: no error, and memory stays flat."""

from __future__ import annotations

from benchmarks.load import OK, Load, hammer_for, measure_capacity
from benchmarks.payloads import mixed_requests
from benchmarks.report import Figure, at_least, exactly
from benchmarks.resilience.memory import watch_memory
from benchmarks.servers import run_server

LOAD = 0.8
CLIENTS = 32
CAPACITY_CLIENTS = 8
CAPACITY_S = 10.0
WARM_UP_S = 20.0
"""Python's heap and ONNX Runtime's buffers reach their size in the first thousands of requests."""


async def soak(duration_s: float, workers: int) -> list[Figure]:
    """Measure the capacity, then send 80% of it for a while."""
    requests = mixed_requests()
    with run_server("--workers", str(workers)) as server:
        await hammer_for(Load(server.port, requests, CAPACITY_CLIENTS), min(WARM_UP_S, duration_s))
        capacity = await measure_capacity(server.port, requests, CAPACITY_CLIENTS, min(CAPACITY_S, duration_s))
        with watch_memory(server, duration_s) as memory:
            tally = await Load(server.port, requests, CLIENTS).pace(LOAD * capacity, duration_s)
        figures = memory.figures()
    return [
        Figure("capacity", capacity, "requests/s"),
        Figure("requests", tally.sent),
        at_least("of which answered 200", tally.statuses[OK], tally.sent),
        exactly("errors", tally.unlike(OK), 0),
        Figure("latency, median", tally.latency_ms(0.5), "ms"),
        Figure("latency, 99%", tally.latency_ms(0.99), "ms"),
        Figure("latency, 99.9%", tally.latency_ms(0.999), "ms"),
        *figures,
    ]
