"""Ten times as many requests at once as the server takes in: every one is answered, soon, with 200 or 503."""

from __future__ import annotations

from benchmarks.load import OK, SERVICE_UNAVAILABLE, Load, hammer_for, measure_capacity, quantile_ms
from benchmarks.payloads import mixed_requests
from benchmarks.report import Figure, at_least, at_most, exactly
from benchmarks.resilience.memory import watch_memory
from benchmarks.servers import run_server
from service.settings import load_settings

TIMES = 10
SLOWEST_MS = 2000.0
REFUSAL_MS = 50.0
TOO_MANY = 32
"""Clients more than the server takes in, to see how long a refusal takes. With hundreds more the answer is mostly the
time that a request waits for its turn in the client and in the kernel: clients divided by answers per second."""
CAPACITY_CLIENTS = 8
CAPACITY_S = 5.0
FRESH_EVERY = 4
"""A quarter of the clients open a connection for each request."""


async def overload(duration_s: float, workers: int) -> list[Figure]:
    """Hammer with ten times as many clients as requests fit into the workers and their queues."""
    settings = load_settings()
    room = workers * (settings.max_inflight + settings.max_queue)
    clients = TIMES * room
    requests = mixed_requests()
    with run_server("--workers", str(workers)) as server:
        capacity = await measure_capacity(server.port, requests, CAPACITY_CLIENTS, min(CAPACITY_S, duration_s))
        few = await hammer_for(Load(server.port, requests, room + TOO_MANY), duration_s / 5)
        await hammer_for(Load(server.port, requests, clients, FRESH_EVERY), duration_s / 5)
        with watch_memory(server, duration_s) as memory:
            tally = await hammer_for(Load(server.port, requests, clients, FRESH_EVERY), duration_s)
        figures = memory.figures()
        alive = server.process.poll() is None
    answered, refused = tally.statuses[OK], tally.statuses[SERVICE_UNAVAILABLE]
    return [
        Figure("capacity", capacity, "requests/s"),
        Figure("clients at once", clients),
        Figure("offered", tally.sent / duration_s, "requests/s"),
        Figure("answered 200", answered),
        at_least("answered 503", refused, 1),
        exactly("anything else", tally.unlike(OK, SERVICE_UNAVAILABLE), 0),
        Figure("answered 200, of the capacity", 100 * answered / duration_s / capacity, "%"),
        at_most(f"refusal, {TOO_MANY} clients too many, median", quantile_ms(few.refusals_s, 0.5), REFUSAL_MS, "ms"),
        Figure(f"refusal, {TOO_MANY} clients too many, 99%", quantile_ms(few.refusals_s, 0.99), "ms"),
        Figure("latency, median", tally.latency_ms(0.5), "ms"),
        Figure("latency, 99%", tally.latency_ms(0.99), "ms"),
        at_most("latency, slowest", tally.latency_ms(1.0), SLOWEST_MS, "ms"),
        exactly("server still running", int(alive), 1),
        *figures,
    ]
