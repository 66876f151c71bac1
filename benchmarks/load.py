"""Load: a bounded number of clients, as fast as they are answered or at a given rate; and what became of it."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from benchmarks.client import Client, Fault, Outcome

OK = 200
SERVICE_UNAVAILABLE = 503
TIMER_S = 0.002
"""What an event loop's timers may be late by: uvloop counts whole milliseconds."""

Check = Callable[[int, bytes], bool]
"""Whether a body is the right answer to the request with this index."""


class Tally:
    """Adds up outcomes."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.faults: Counter[Fault] = Counter()
        self.wrong = 0
        """How many answers with status 200 said something wrong; only counted where a load is given a check."""
        self.latencies_s: list[float] = []
        """Of every complete answer."""
        self.refusals_s: list[float] = []
        """Latencies of the answers with status 503."""
        self.successes: list[float] = []
        """When each answer with status 200 was complete, on the clock of `time.perf_counter`."""

    def add(self, outcome: Outcome) -> None:
        """Count an outcome."""
        if outcome.fault is not None:
            self.faults[outcome.fault] += 1
            return
        self.statuses[outcome.status] += 1
        self.latencies_s.append(outcome.latency_s)
        if outcome.status == SERVICE_UNAVAILABLE:
            self.refusals_s.append(outcome.latency_s)
        if outcome.status == OK:
            self.successes.append(outcome.ended)

    @property
    def sent(self) -> int:
        """How many requests have an outcome."""
        return self.statuses.total() + self.faults.total()

    @property
    def lost(self) -> int:
        """How many requests went unanswered although a server had been connected to."""
        return self.faults[Fault.DROPPED] + self.faults[Fault.LATE]

    def unlike(self, *statuses: int) -> int:
        """Count the requests whose outcome is none of these statuses."""
        return self.sent - sum(self.statuses[status] for status in statuses)

    def latency_ms(self, quantile: float) -> float:
        """Give a quantile of all latencies; NaN where there is none."""
        return quantile_ms(self.latencies_s, quantile)

    def longest_gap_s(self, since: float, until: float) -> float:
        """Give the longest time without a success."""
        times = [since, *(moment for moment in sorted(self.successes) if since < moment < until), until]
        return max(later - earlier for earlier, later in itertools.pairwise(times))


def quantile_ms(latencies_s: Sequence[float], quantile: float) -> float:
    """Give a quantile in milliseconds; NaN where there is none."""
    ordered = sorted(latencies_s)
    return 1000 * ordered[min(int(quantile * len(ordered)), len(ordered) - 1)] if ordered else math.nan


class Load:
    """Clients that send until they are told to stop."""

    def __init__(
        self, port: int, requests: Sequence[bytes], clients: int, fresh_every: int = 0, check: Check | None = None
    ) -> None:
        """Every `fresh_every`-th client opens a connection per request; 0: none does."""
        self.tally = Tally()
        self._requests: Iterator[tuple[int, bytes]] = itertools.cycle(enumerate(requests))
        self._check = check
        self._clients = [
            Client(port, keep_alive=not (fresh_every and index % fresh_every == 0)) for index in range(clients)
        ]
        self._stopped = False

    def stop(self) -> None:
        """Send nothing more; what is under way is waited for by `hammer` and `pace`."""
        self._stopped = True

    async def hammer(self, until_refused: bool = False) -> Tally:
        """Send as fast as answers come, until `stop`, or until the server accepts no more."""
        await asyncio.gather(*(self._repeat(client, until_refused) for client in self._clients))
        return self._finished()

    async def pace(self, rate: float, duration_s: float, awake_s: float = 0.0) -> Tally:
        """Send at a rate, whatever the answers take; a latency counts from when its request was due.

        Before each request a client stays awake for `awake_s`, where a timer would be too late and the core is its own.
        """
        started = time.perf_counter()
        due = (started + index / rate for index in range(int(rate * duration_s)))
        await asyncio.gather(*(self._follow(client, due, awake_s) for client in self._clients))
        return self._finished()

    async def _repeat(self, client: Client, until_refused: bool) -> None:
        while not self._stopped:
            outcome = await self._send(client)
            self.tally.add(outcome)
            if until_refused and outcome.fault is not None:
                return

    async def _follow(self, client: Client, due: Iterator[float], awake_s: float) -> None:
        for moment in due:
            if self._stopped:
                return
            await wait_until(moment, awake_s)
            outcome = await self._send(client)
            self.tally.add(outcome._replace(latency_s=outcome.ended - moment))

    async def _send(self, client: Client) -> Outcome:
        index, request = next(self._requests)
        outcome = await client.send(request)
        if self._check is not None and outcome.status == OK:
            self.tally.wrong += not self._check(index, outcome.body)
        return outcome

    def _finished(self) -> Tally:
        for client in self._clients:
            client.close()
        return self.tally


async def wait_until(moment: float, awake_s: float) -> None:
    """Wait for a moment on the clock of `time.perf_counter`, the last `awake_s` of it without sleeping."""
    await asyncio.sleep(max(0.0, moment - time.perf_counter() - awake_s))
    while time.perf_counter() < moment:
        await asyncio.sleep(0)


async def hammer_for(load: Load, duration_s: float) -> Tally:
    """Hammer for a while."""
    asyncio.get_running_loop().call_later(duration_s, load.stop)
    return await load.hammer()


async def measure_capacity(port: int, requests: Sequence[bytes], clients: int, duration_s: float) -> float:
    """Measure how many requests a second the server answers with 200 when it is never idle."""
    started = time.perf_counter()
    tally = await hammer_for(Load(port, requests, clients), duration_s)
    return tally.statuses[OK] / (time.perf_counter() - started)
