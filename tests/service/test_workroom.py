from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from service.errors import DeadlineExceeded, Overloaded
from service.workroom import Workroom

WAIT_S = 30


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Jobs wait here; opened at the latest when the test ends."""
    event = threading.Event()
    yield event
    event.set()


def test_a_job_runs_in_a_thread_and_its_result_comes_back():
    async def scenario():
        return await Workroom(1, 0, WAIT_S).run(lambda x, y: (x + y, threading.current_thread().name), 1, y=2)

    total, thread = asyncio.run(scenario())
    assert total == 3
    assert thread.startswith("inference")


def test_an_error_in_a_job_comes_back_as_it_is():
    async def scenario():
        await Workroom(1, 0, WAIT_S).run(lambda: {}["missing"])

    with pytest.raises(KeyError):
        asyncio.run(scenario())


def test_what_does_not_fit_into_threads_and_queue_is_refused_at_once(gate):
    async def scenario():
        workroom = Workroom(1, 2, WAIT_S)
        waiting = [asyncio.create_task(workroom.run(gate.wait, WAIT_S)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await workroom.run(gate.wait, WAIT_S)
        gate.set()
        assert await asyncio.gather(*waiting) == [True] * 3
        assert await workroom.run(lambda: "room again") == "room again"

    asyncio.run(scenario())


def test_a_job_past_its_deadline_is_given_up_but_counts_until_it_ends(gate):
    """Threads cannot be interrupted: to forget a running job would let the queue grow without bound."""

    async def scenario():
        workroom = Workroom(1, 0, 0.01)
        with pytest.raises(DeadlineExceeded):
            await workroom.run(gate.wait, WAIT_S)
        with pytest.raises(Overloaded):
            await workroom.run(gate.wait, WAIT_S)
        gate.set()
        while workroom.pending:
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


def test_a_job_that_never_started_is_cancelled_with_its_request(gate):
    async def scenario():
        ran = []
        workroom = Workroom(1, 1, WAIT_S)
        first = asyncio.create_task(workroom.run(gate.wait, WAIT_S))
        second = asyncio.create_task(workroom.run(ran.append, "second"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait([second])
        gate.set()
        await first
        while workroom.pending:
            await asyncio.sleep(0)
        return ran

    assert asyncio.run(asyncio.wait_for(scenario(), WAIT_S)) == []
