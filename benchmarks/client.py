"""A small HTTP/1.1 client that tells a request that was lost from one that was never accepted.

What counts as what:

- An answer is complete when its last byte has arrived; its status may be any.
- `REFUSED`: the handshake did not complete (refused, or no answer to it), so no server can have seen the request.
- `DROPPED`: anything that goes wrong after the handshake (reset, end of stream, a cut answer), even where not a byte
  had been sent yet, and even where the protocol lets a client send the request again: an ordinary client would
  see an error.
- `LATE`: no complete answer within the client's patience.
- A kept connection that the server has closed is noticed before it is used again, by asking the kernel, as every
  pooling client does (urllib3, aiohttp, geventhttpclient); using another one then is no error.
"""

from __future__ import annotations

import asyncio
import select
import time
from enum import Enum
from typing import NamedTuple, cast

import httptools

HOST = "127.0.0.1"
PATIENCE_S = 30.0


class Fault(Enum):
    """Why there is no answer."""

    REFUSED = "refused"
    DROPPED = "dropped"
    LATE = "late"


class Outcome(NamedTuple):
    """What became of one request."""

    status: int
    """0 where there was no complete answer."""
    latency_s: float
    ended: float
    """On the clock of `time.perf_counter`."""
    fault: Fault | None = None
    body: bytes = b""


class Dropped(Exception):
    """The connection ended before the answer did."""


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.is_open = False
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._poll = select.poll()
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Parse; a server that does not speak HTTP has dropped the request."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def eof_received(self) -> bool:
        """Note that the server will answer no more."""
        self.is_open = False
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits for an answer."""
        self.is_open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Dropped(str(exc or "end of stream")))

    def on_body(self, body: bytes) -> None:
        """Collect the answer."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the answer over; a server that wants to close the connection gets its way."""
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((self._parser.get_status_code(), b"".join(self._body)))

    def is_reusable(self) -> bool:
        """Ask the kernel: what can be read on an idle connection is its end."""
        return self.is_open and not self._poll.poll(0)

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and wait for status and body. Raises `Dropped`."""
        self._answer = asyncio.get_running_loop().create_future()
        self._body = []
        self._parser = httptools.HttpResponseParser(self)
        if not self.is_open:
            raise Dropped("ended before the request was sent")
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Let go."""
        self.is_open = False
        self._transport.close()


class Client:
    """A user of the server: one request at a time, over one kept connection or over a new one each time."""

    def __init__(self, port: int, keep_alive: bool = True, patience_s: float = PATIENCE_S) -> None:
        self._port = port
        self._keep_alive = keep_alive
        self._patience_s = patience_s
        self._connection: Connection | None = None

    async def send(self, request: bytes) -> Outcome:
        """Send a request; never raises for what the server does."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._patience_s):
                connection = await self._connected()
                status, body = await connection.exchange(request)
        except Dropped:
            return self._failed(started, Fault.DROPPED)
        except TimeoutError:
            is_connected = self._connection is not None
            return self._failed(started, Fault.LATE if is_connected else Fault.REFUSED)
        except OSError:
            return self._failed(started, Fault.REFUSED)
        if not self._keep_alive:
            self.close()
        ended = time.perf_counter()
        return Outcome(status, ended - started, ended, body=body)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connected(self) -> Connection:
        if self._connection is not None and not self._connection.is_reusable():
            self.close()
        if self._connection is None:
            loop = asyncio.get_running_loop()
            _, self._connection = await loop.create_connection(Connection, HOST, self._port)
        return self._connection

    def _failed(self, started: float, fault: Fault) -> Outcome:
        self.close()
        ended = time.perf_counter()
        return Outcome(0, ended - started, ended, fault)


def post(path: str, content_type: str, body: bytes, *headers: str) -> bytes:
    """Write a POST request."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def get(path: str) -> bytes:
    """Write a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
