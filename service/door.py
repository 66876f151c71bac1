"""Letting connections in, and stopping without losing a request that has already reached this machine.

Two things lose requests when uvicorn stops. Closing a listening socket resets every connection that the kernel has
completed and nobody has accepted yet; closing a kept connection resets the request that is just arriving on it. So a
server that leaves bars its door first, lets in who stands before it, gives everybody inside a moment for a last
request, and closes then (measured by `python -m benchmarks resilience sigterm`).
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import uvicorn
import uvloop

from service.protocol import ImpatientProtocol, is_readable

logger = logging.getLogger(__name__)

ACCEPTED_ALONE, ACCEPTED_BY_EACH = 256, 2
"""Connections that a process accepts at a turn: alone as many as come, but a worker leaves some to the others."""
ASIDE_S = 0.001
"""How long a worker that has accepted steps aside. The first to wake is the first to wake again: of 16 connections that
came within a millisecond one of two workers held 15. The shortest time that libuv's timers know."""
PAUSE_S = 1.0
FAREWELL_S = 1.0
"""How long a kept connection that is silent may still bring a request, as nginx's `keepalive_min_timeout` has it."""
LOOK_S = 0.01

SO_ATTACH_FILTER = 26
SYN_OFFSET, SYN_AND_ACK, SYN = 13, 0x12, 0x02
NO_NEWCOMERS = (
    (0x30, 0, 0, SYN_OFFSET),  # load the byte of the TCP header that holds the flags
    (0x54, 0, 0, SYN_AND_ACK),  # keep two of them
    (0x15, 0, 1, SYN),  # only SYN: next; anything else: skip one
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # let it pass
)
"""A socket filter in Linux's instructions: code, jump if true, jump if false, operand."""
INSTRUCTION = struct.Struct("HBBI")
PROGRAM = struct.Struct("HP")


class AcceptingLoop(uvloop.Loop):
    """uvloop's loop with a door of our own.

    libuv accepts one connection per turn of its loop (seen with uvloop 0.23, libuv 1.52). When hundreds of kept
    connections have something to say a turn is long, and newcomers waited for many seconds.
    """

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], *, sock: socket.socket, backlog: int, **_: object
    ) -> Door:
        """Accept on a socket that listens already, as asyncio does up to `backlog` connections a turn."""
        return Door(self, protocol_factory, sock, backlog)


class Door:
    """Lets in up to `at_once` of those who wait at a turn of the loop; what uvicorn needs of an `asyncio.Server`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.Protocol],
        listener: socket.socket,
        at_once: int,
    ) -> None:
        listener.setblocking(False)
        self.sockets = [listener]
        self._loop = loop
        self._factory = factory
        self._listener = listener
        self._at_once = at_once
        self._entering: set[asyncio.Task[Any]] = set()
        self._watching: asyncio.Handle = loop.call_soon(self._watch)

    def close(self) -> None:
        """Let nobody in any more."""
        self._watching.cancel()
        self._loop.remove_reader(self._listener)

    async def wait_closed(self) -> None:
        """Wait for those on the threshold."""
        await asyncio.gather(*self._entering, return_exceptions=True)

    def _watch(self) -> None:
        self._loop.add_reader(self._listener, self._let_in)

    def _let_in(self) -> None:
        if self._at_once < ACCEPTED_ALONE:
            self._look_away(ASIDE_S)
        for _ in range(self._at_once):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory: the queue stays readable, so wait a moment, as asyncio does.
                logger.error("cannot accept connections: %s", error.strerror)
                self._look_away(PAUSE_S)
                return
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, connection))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    def _look_away(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._watching.cancel()
        self._watching = self._loop.call_later(seconds, self._watch)


async def see_everybody_out(server: uvicorn.Server) -> None:
    """Bar the door, take in who waits before it, and wait for the last requests of those inside.

    It takes no longer than `FAREWELL_S`. A worker leaves the barring to its supervisor: the socket is shared, and the
    others may go on.
    """
    descriptors = [listener.fileno() for accepting in server.servers for listener in accepting.sockets]
    if server.config.workers == 1:
        for descriptor in descriptors:
            bar(descriptor)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + FAREWELL_S
    while loop.time() < deadline and not is_empty(server, descriptors):
        await asyncio.sleep(LOOK_S)


def is_empty(server: uvicorn.Server, descriptors: list[int]) -> bool:
    """Tell whether nobody can come in any more, nobody waits, and nobody inside is silent."""
    return all(is_barred(descriptor) and not is_readable(descriptor) for descriptor in descriptors) and not any(
        isinstance(connection, ImpatientProtocol) and connection.is_silent()
        for connection in server.server_state.connections
    )


def bar(descriptor: int) -> None:
    """Let no new connection in, for every process that shares the socket; who waits in its queue is not touched.

    A newcomer's SYN is dropped, not refused: its kernel tries again a second later and then meets the closed port, or
    the next server. Where the kernel cannot do this (not Linux, or a sandbox), the queue is emptied and then closed.
    """
    instructions = ctypes.create_string_buffer(b"".join(INSTRUCTION.pack(*line) for line in NO_NEWCOMERS))
    program = PROGRAM.pack(len(NO_NEWCOMERS), ctypes.addressof(instructions))
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def is_barred(descriptor: int) -> bool:
    """Ask the kernel whether any process has barred the socket."""
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        try:
            program = listener.getsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, INSTRUCTION.size * len(NO_NEWCOMERS))
        except OSError:
            return True
    return bool(program)
