from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from service.classifier import MOST_AT_ONCE, Answer
from service.errors import DeadlineExceeded, InferenceFailure, Overloaded
from service.questions import Question
from service.workroom import TURN_S, Workroom

WAIT_S = 30


def doing(job, *args, **kwargs):
    """Work that asks the model nothing."""
    yield from ()
    return job(*args, **kwargs)


class Model:
    """Answers with what it is asked, and remembers how many images came at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def run(self, images):
        self.batches.append(len(images))
        return Answer(images, images)


def asking(model, *values):
    """Work that asks about some numbers."""
    answer = yield Question(model, np.array(values, np.float32))
    return answer.logits.tolist()


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


class Clock:
    """Stands still unless something takes its time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def test_a_brief_job_runs_on_the_event_loop_and_its_result_comes_back():
    async def scenario():
        here = threading.current_thread()
        return await Workroom(1, 0, WAIT_S).run_briefly(
            doing(lambda x, y: (x + y, threading.current_thread() is here), 1, y=2)
        )

    assert asyncio.run(scenario()) == (3, True)


def test_an_error_in_a_brief_job_comes_back_as_it_is_and_the_next_job_runs():
    async def scenario():
        workroom = Workroom(1, 1, WAIT_S)
        failing = asyncio.create_task(workroom.run_briefly(doing(lambda: {}["missing"])))
        working = asyncio.create_task(workroom.run_briefly(doing(lambda: "done")))
        await asyncio.wait([failing, working])
        return type(failing.exception()), working.result(), workroom.pending

    assert asyncio.run(scenario()) == (KeyError, "done", 0)


def work_and_other_work(other_s: float) -> list[str]:
    """Six brief jobs of 3 ms beside a coroutine that wants the loop, and takes `other_s` of it, at every turn."""
    clock, events = Clock(), []

    def job() -> None:
        clock.spend(0.003)
        events.append("job")

    async def others() -> None:
        while events.count("job") < 6:
            clock.spend(other_s)
            events.append("other")
            await asyncio.sleep(0)

    async def scenario() -> None:
        workroom = Workroom(1, 5, WAIT_S, clock=clock)
        jobs = [asyncio.create_task(workroom.run_briefly(doing(job))) for _ in range(6)]
        await asyncio.gather(*jobs, others())

    asyncio.run(asyncio.wait_for(scenario(), WAIT_S))
    return events


def test_brief_jobs_leave_the_loop_to_others_every_few_milliseconds():
    events = work_and_other_work(other_s=0.0)
    assert events.count("job") == 6
    assert "job job job" not in " ".join(events)


def test_brief_jobs_get_as_much_time_as_everything_else():
    """However much there is to refuse, half of the time goes into answers."""
    events = work_and_other_work(other_s=0.012)
    assert "job job job job" in " ".join(events)
    assert events.count("other") <= 3


def test_brief_and_long_jobs_share_one_room(gate):
    async def scenario():
        workroom = Workroom(1, 1, WAIT_S)
        long = asyncio.create_task(workroom.run(gate.wait, WAIT_S))
        brief = asyncio.create_task(workroom.run_briefly(doing(lambda: "brief")))
        await asyncio.sleep(0)
        for refused in (workroom.run_briefly, workroom.run):
            with pytest.raises(Overloaded):
                await refused(doing(lambda: None))
        assert await brief == "brief"
        gate.set()
        assert await long

    asyncio.run(scenario())


def test_a_brief_job_whose_turn_comes_too_late_is_given_up_without_being_done():
    async def scenario():
        clock, ran = Clock(), []
        workroom = Workroom(1, 5, 1.0, clock=clock)
        slow = asyncio.create_task(workroom.run_briefly(doing(clock.spend, 1.5)))
        late = asyncio.create_task(workroom.run_briefly(doing(ran.append, "late")))
        with pytest.raises(DeadlineExceeded):
            await late
        await slow
        return ran, workroom.pending

    assert asyncio.run(scenario()) == ([], 0)


def test_a_brief_job_is_cancelled_with_its_request():
    async def scenario():
        ran = []
        workroom = Workroom(1, 5, WAIT_S)
        task = asyncio.create_task(workroom.run_briefly(doing(ran.append, "done")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await workroom.run_briefly(doing(lambda: None))
        return ran, workroom.pending

    assert asyncio.run(scenario()) == ([], 0)


def answers_of(jobs, workroom=None):
    """Give what brief jobs that arrive together come back with, errors as they are."""

    async def scenario():
        room = workroom or Workroom(1, len(jobs), WAIT_S)
        tasks = [asyncio.create_task(room.run_briefly(job)) for job in jobs]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert room.pending == 0
        return results

    return asyncio.run(asyncio.wait_for(scenario(), WAIT_S))


def test_brief_jobs_that_wait_together_ask_the_model_together():
    model = Model()
    assert answers_of([asking(model, 1), asking(model, 2, 3), asking(model, 4)]) == [[1], [2, 3], [4]]
    assert model.batches == [4]


def test_a_lone_job_waits_for_nobody():
    model = Model()
    assert answers_of([asking(model, 7)]) == [[7]]
    assert model.batches == [1]


def test_a_batch_is_full_at_some_size():
    model, clock = Model(), Clock()
    jobs = [asking(model, number) for number in range(MOST_AT_ONCE + 3)]
    assert answers_of(jobs, Workroom(1, len(jobs), WAIT_S, clock=clock)) == [[number] for number in range(len(jobs))]
    assert model.batches == [MOST_AT_ONCE, 3]


def test_no_job_is_begun_for_a_batch_when_the_turn_is_over():
    model, clock = Model(), Clock()

    def slow(number):
        clock.spend(0.7 * TURN_S)
        return (yield from asking(model, number))

    assert answers_of([slow(number) for number in range(5)], Workroom(1, 5, WAIT_S, clock=clock)) == [
        [number] for number in range(5)
    ]
    assert model.batches == [2, 2, 1]


def test_one_that_fails_before_it_asks_does_not_keep_the_others_from_asking():
    def failing():
        raise KeyError("missing")
        yield

    model = Model()
    first, failed, last = answers_of([asking(model, 1), failing(), asking(model, 2)])
    assert (first, type(failed), last) == ([1], KeyError, [2])
    assert model.batches == [2]


def test_a_failure_of_the_model_reaches_those_who_asked_it():
    class Broken:
        def run(self, images):
            raise InferenceFailure("broken")

    model = Model()
    failed, other = answers_of([asking(Broken(), 1), asking(model, 2)])
    assert (type(failed), other) == (InferenceFailure, [2])


def test_work_may_ask_again():
    def twice(model):
        first = yield Question(model, np.zeros(1, np.float32))
        second = yield Question(model, first.logits + 1)
        return second.logits.tolist()

    model = Model()
    assert answers_of([twice(model), twice(model)]) == [[1], [1]]
    assert model.batches == [2, 2]
