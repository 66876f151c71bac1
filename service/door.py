"""Letting connections in, and stopping without losing a request that has already reached this machine.

Two things lose requests when uvicorn stops. Closing a listening socket resets every connection that the kernel has
completed and nobody has accepted yet; closing a kept connection resets the request that is just arriving on it. So a
server that leaves bars its door first, lets in who stands before it, gives everybody inside a moment for a last
request, and closes then (measured by `python -m benchmarks resilience sigterm`).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import struct
from contextlib import suppress

import uvicorn

from service.protocol import ImpatientProtocol, is_readable

ACCEPTS_PER_TURN = 32
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


def widen(listener: socket.socket) -> list[socket.socket]:
    """Give the listener many times over, so that many newcomers come in at each turn of the event loop.

    libuv accepts one connection per descriptor and turn (seen with uvloop 0.23, libuv 1.52). When hundreds of kept
    connections have something to say a turn is long, and newcomers waited for seconds.
    """
    return [listener, *(listener.dup() for _ in range(ACCEPTS_PER_TURN - 1))]


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
