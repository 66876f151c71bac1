"""Where inference happens: brief jobs between the turns of the event loop, long ones in threads, all before one door.

A brief job takes about a millisecond. To hand it to a thread and back costs a tenth of that, and on one core the two
threads take the interpreter and the caches from each other. So the event loop does them itself, but for a few
milliseconds at a time: in between it accepts, refuses and answers. Those that are waiting when their turn comes ask the
model together; nobody waits for others to come. What takes longer goes to a thread as one job, and the loop goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, ParamSpec, TypeVar

from service.classifier import MOST_AT_ONCE, Answer
from service.errors import DeadlineExceeded, Overloaded
from service.questions import Question, Steps, ask_together, work_alone

P = ParamSpec("P")
T = TypeVar("T")

TURN_S = 0.005
"""How long brief jobs are begun while the event loop's other work waits, where that took no longer itself.

Where it did, as when most requests are refused, they get as much time as it: half of all.
"""


class BriefJob(NamedTuple):
    """A job that waits for its turn."""

    steps: Steps[Any]
    answer: asyncio.Future[Any]
    deadline: float


class Workroom:
    """Runs jobs; refuses at once what it could not finish soon."""

    def __init__(
        self,
        threads: int,
        max_queue: int,
        timeout_s: float,
        watch: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`watch` is told the number of pending jobs whenever it changes."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._capacity = threads + max_queue
        self._timeout_s = timeout_s
        self._watch = watch
        self._clock = clock
        self._brief: deque[BriefJob] = deque()
        self._others_since = 0.0
        """Since when the event loop has not done brief jobs although there were some."""
        self.pending = 0
        """Jobs at work or waiting."""

    @property
    def is_full(self) -> bool:
        """Whether the next job would be refused."""
        return self.pending >= self._capacity

    def work(self, steps: Steps[T], is_brief: bool) -> Awaitable[T]:
        """Do a piece of work, between two turns of the event loop or in a thread. Raises as these do."""
        return self.run_briefly(steps) if is_brief else self.run(work_alone, steps)

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in a thread. Raises `Overloaded` at once, or `DeadlineExceeded`."""
        self.refuse_when_full()
        loop = asyncio.get_running_loop()
        self._change_pending(1)
        future = self._threads.submit(job, *args, **kwargs)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._change_pending, -1))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise self._too_late() from error

    async def run_briefly(self, steps: Steps[T]) -> T:
        """Do work of about a millisecond between two turns of the event loop, and ask the model with others who wait.

        Raises `Overloaded` at once, or `DeadlineExceeded` when its turn comes too late.
        """
        self.refuse_when_full()
        loop = asyncio.get_running_loop()
        self._change_pending(1)
        answer: asyncio.Future[T] = loop.create_future()
        now = self._clock()
        if not self._brief:
            self._others_since = now
            loop.call_soon(self._take_turn, loop)
        self._brief.append(BriefJob(steps, answer, now + self._timeout_s))
        return await answer

    def refuse_when_full(self) -> None:
        """Raise `Overloaded` where the next job would be refused."""
        if self.is_full:
            raise Overloaded(f"{self.pending} requests are being worked on: try again shortly")

    def _take_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        started = self._clock()
        end = started + max(TURN_S, started - self._others_since)
        while self._brief and self._clock() < end:
            self._work_together(end)
        self._others_since = self._clock()
        if self._brief:
            loop.call_soon(self._take_turn, loop)

    def _work_together(self, end: float) -> None:
        """Begin jobs until there is a batch, or no more jobs or time; answer it; go on until each job is done."""
        asking: list[tuple[BriefJob, Question]] = []
        images = 0
        while self._brief and images < MOST_AT_ONCE and (now := self._clock()) < end:
            job = self._brief.popleft()
            question = self._begin(job, now)
            if question is not None:
                asking.append((job, question))
                images += len(question.images)
        while asking:
            answers = ask_together([question for _, question in asking])
            going_on = [(job, self._go_on(job, answer)) for (job, _), answer in zip(asking, answers, strict=True)]
            asking = [(job, question) for job, question in going_on if question is not None]

    def _begin(self, job: BriefJob, now: float) -> Question | None:
        """Take a job to its first question; None where it is done or given up."""
        if not job.answer.done():
            if now <= job.deadline:
                return self._go_on(job, None)
            job.answer.set_exception(self._too_late())
        job.steps.close()
        self._change_pending(-1)
        return None

    def _go_on(self, job: BriefJob, answer: Answer | Exception | None) -> Question | None:
        """Take a job from an answer to its next question; None where it is done."""
        try:
            if isinstance(answer, Exception):
                return job.steps.throw(answer)
            # The first `send` begins a generator, and wants None.
            return job.steps.send(answer)  # type: ignore[arg-type]
        except StopIteration as end:
            job.answer.set_result(end.value)
        except Exception as error:  # noqa: BLE001 - it belongs to the request, which is waiting for it
            job.answer.set_exception(error)
        self._change_pending(-1)
        return None

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(f"no answer within {self._timeout_s:g} s")

    def _change_pending(self, difference: int) -> None:
        self.pending += difference
        self._watch(self.pending)

    def close(self) -> None:
        """Finish what is at work and end the threads."""
        self._threads.shutdown(wait=True)
