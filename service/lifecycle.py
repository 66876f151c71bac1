"""What an application does besides answering: watch for new models, and leave without dropping anything."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import FrameType

import uvicorn
from litestar import Litestar
from litestar.stores.memory import MemoryStore

from service.door import see_everybody_out
from service.process import SWITCH_INTERVAL_S, end_start, give_memory_back
from service.state import Service

logger = logging.getLogger(__name__)

FORGET_S = 60.0
"""For which the rate limit counts."""


@asynccontextmanager
async def run_service(app: Litestar) -> AsyncIterator[None]:
    """Run the background work of an application for as long as it lives."""
    service: Service = app.state.service
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Pillow warns of what is odd in an image; what users send is not for the log.
    warnings.filterwarnings("ignore", module="PIL")
    refresher = Refresher(service)
    loop = asyncio.get_running_loop()
    if threading.current_thread() is threading.main_thread():
        drain_before_exit(service, loop)
        loop.add_signal_handler(signal.SIGHUP, refresher.start)
    end_start()
    tasks = [asyncio.create_task(refresher.poll(service.settings.model_poll_s))]
    if service.settings.rate_limit_per_minute:
        tasks.append(asyncio.create_task(forget_addresses(app)))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.to_thread(service.workroom.close)
        if service.corrections:
            await asyncio.to_thread(service.corrections.close)


async def forget_addresses(app: Litestar) -> None:
    """Forget the clients that the rate limit counted long ago.

    Litestar's store forgets an address only when it is asked for it again (seen with 2.24).
    """
    addresses = app.stores.get("rate_limit")
    while isinstance(addresses, MemoryStore):
        await asyncio.sleep(FORGET_S)
        await addresses.delete_expired()


class Refresher:
    """Looks for new models, one look at a time."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Look at once, as SIGHUP asks."""
        task = asyncio.get_running_loop().create_task(self.look())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def poll(self, interval_s: float) -> None:
        """Look again and again; an interval of 0 never."""
        while interval_s > 0:
            await asyncio.sleep(interval_s)
            await self.look()

    async def look(self) -> None:
        """Load and swap in a thread, so that requests go on meanwhile."""
        async with self._lock:
            before = self._service.models.current
            try:
                await asyncio.to_thread(self._service.models.refresh)
                if self._service.models.current is not before:
                    await asyncio.to_thread(give_memory_back)
            except Exception:
                logger.exception("looking for a new version failed; the old one goes on serving")


def drain_before_exit(service: Service, loop: asyncio.AbstractEventLoop) -> None:
    """On SIGTERM first say 'not ready' for `drain_s`, then see everybody out, then let the web server stop.

    uvicorn closes its listener the moment it is told to stop, so that a load balancer would learn of it from refused
    connections (seen with 0.51). While draining, every answer closes its connection, so that clients move on.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop):
        return
    leaving: set[asyncio.Task[None]] = set()

    async def leave(number: int, frame: FrameType | None) -> None:
        await asyncio.sleep(service.settings.drain_s)
        server = getattr(stop, "__self__", None)
        try:
            if isinstance(server, uvicorn.Server):
                await see_everybody_out(server)
        finally:
            stop(number, frame)

    def drain(number: int, frame: FrameType | None) -> None:
        if service.is_draining:
            return
        service.is_draining = True
        logger.info("stopping: not ready from now on, no new connections in %g s", service.settings.drain_s)
        loop.call_soon_threadsafe(lambda: leaving.add(loop.create_task(leave(number, frame))))

    signal.signal(signal.SIGTERM, drain)
