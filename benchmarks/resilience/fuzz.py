"""A hundred thousand spoilt requests: every one is answered, none with a fault of the server's, no worker dies."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.client import Client, Outcome
from benchmarks.load import OK, SERVICE_UNAVAILABLE, Tally
from benchmarks.payloads import predict_requests
from benchmarks.report import Figure, at_least, exactly
from benchmarks.resilience.mutations import Case, make_case
from benchmarks.servers import run_server

CLIENTS = 8
WORKERS = 2
SERVER_FAULTS = range(500, 600)
SHOWN = 20
ERROR_LINE = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Warning)\b.*", re.MULTILINE)
"""How a traceback ends."""


class Failure(NamedTuple):
    """A case that went wrong."""

    case: Case
    outcome: Outcome


async def fuzz(cases: int, first: int, seed: int) -> list[Figure]:
    """Send the cases and see whether the server stands."""
    numbers = iter(range(first, first + cases))
    tally, failures = Tally(), list[Failure]()
    with run_server("--workers", str(WORKERS)) as server:
        workers = server.worker_pids()
        await asyncio.gather(*(send_cases(server.port, seed, numbers, tally, failures) for _ in range(CLIENTS)))
        deaths = len(set(workers) - set(server.worker_pids()))
        last = await Client(server.port).send(predict_requests()[0])
        log = server.log
    show(seed, failures, log)
    return [
        Figure("cases", tally.sent),
        at_least("answered 200", tally.statuses[OK], cases / 100),
        Figure("answered 4xx", sum(count for status, count in tally.statuses.items() if 400 <= status < 500)),
        Figure("answered 503", tally.statuses[SERVICE_UNAVAILABLE]),
        exactly("other 5xx", sum(is_server_fault(status) * count for status, count in tally.statuses.items()), 0),
        exactly("unanswered", tally.faults.total(), 0),
        exactly("dead workers", deaths, 0),
        exactly("tracebacks in the log", log.count("Traceback"), 0),
        exactly("status of a good request afterwards", last.status, OK),
    ]


async def send_cases(port: int, seed: int, numbers: Iterator[int], tally: Tally, failures: list[Failure]) -> None:
    """Send one case after another."""
    client = Client(port)
    for number in numbers:
        case = make_case(seed, number)
        outcome = await client.send(case.request)
        tally.add(outcome)
        if outcome.fault is not None or is_server_fault(outcome.status):
            failures.append(Failure(case, outcome))
    client.close()


def is_server_fault(status: int) -> bool:
    """Tell a fault from a refusal."""
    return status in SERVER_FAULTS and status != SERVICE_UNAVAILABLE


def show(seed: int, failures: list[Failure], log: str) -> None:
    """Say how to repeat what went wrong, and what the server said."""
    for case, outcome in failures[:SHOWN]:
        answer = outcome.fault.value if outcome.fault else f"{outcome.status} {outcome.body[:100]!r}"
        print(f"--seed {seed} --first {case.number} --cases 1 ({case.kind}): {answer}", file=sys.stderr)
    for line in sorted({found[0][:200] for found in ERROR_LINE.finditer(log)})[:SHOWN]:
        print(f"log: {line}", file=sys.stderr)
