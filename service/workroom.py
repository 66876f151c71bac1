"""Where inference happens: a few threads, a bounded queue before them, and a deadline.

One thread is enough for one core, and keeps the event loop free to accept, refuse and time out. Decoding,
preprocessing and the model run as one job: each hop between threads costs about half an inference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from service.errors import DeadlineExceeded, Overloaded

P = ParamSpec("P")
T = TypeVar("T")


class Workroom:
    """Runs jobs in threads; refuses at once what it could not finish soon."""

    def __init__(
        self, threads: int, max_queue: int, timeout_s: float, watch: Callable[[int], None] = lambda _: None
    ) -> None:
        """`watch` is told the number of pending jobs whenever it changes."""
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._capacity = threads + max_queue
        self._timeout_s = timeout_s
        self._watch = watch
        self.pending = 0
        """Jobs at work or waiting."""

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a job in a thread. Raises `Overloaded` at once, or `DeadlineExceeded`."""
        if self.pending >= self._capacity:
            raise Overloaded(f"{self.pending} requests are being worked on: try again shortly")
        loop = asyncio.get_running_loop()
        self._change_pending(1)
        future = self._threads.submit(job, *args, **kwargs)
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._change_pending, -1))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise DeadlineExceeded(f"no answer within {self._timeout_s:g} s") from error

    def _change_pending(self, difference: int) -> None:
        self.pending += difference
        self._watch(self.pending)

    def close(self) -> None:
        """Finish what is at work and end the threads."""
        self._threads.shutdown(wait=True)
