"""uvicorn's HTTP protocol, less patient: a client that does not finish its headers is let go.

uvicorn limits how long an idle connection is kept after an answer, but not how long a client may take to send its
first headers (seen with 0.54), so that a few hundred silent connections could hold every file descriptor.

It is more patient in one thing: uvicorn stops by closing every connection that waits for no answer, which resets one
whose next request has arrived but was not read yet, or was read in part (seen with 0.54). Those are answered first.
"""

from __future__ import annotations

import asyncio
import select

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class ServiceConfig(uvicorn.Config):
    """uvicorn's configuration and our deadline for headers."""

    def __init__(self, *args: object, header_timeout_s: float, **kwargs: object) -> None:
        self.header_timeout_s = header_timeout_s
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


class ImpatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request head is late, and none whose request has arrived."""

    config: ServiceConfig
    _deadline: asyncio.TimerHandle | None = None
    _is_reading_head = False
    _is_last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Read, and start waiting for the rest of a head that has not come whole, as nearly all do."""
        super().data_received(data)
        if self._is_reading_head:
            self._expect_headers()

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        super().on_message_begin()
        self._is_reading_head = True

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        self._stop_expecting()
        self._is_reading_head = False
        super().on_headers_complete()
        if self._is_last:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close, or answer the request that has arrived and close then."""
        self._is_last = True
        has_arrived = self._is_reading_head or (self.is_silent() and self._has_unread())
        if not has_arrived:
            super().shutdown()

    def is_silent(self) -> bool:
        """Tell whether the connection is between requests, as far as it has been read."""
        return not self._is_reading_head and (self.cycle is None or self.cycle.response_complete)

    def _has_unread(self) -> bool:
        return is_readable(self.transport.get_extra_info("socket").fileno())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_expecting()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.config.header_timeout_s, self.transport.close)

    def _stop_expecting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def is_readable(descriptor: int) -> bool:
    """Ask the kernel, without waiting, whether there is something to read, or to accept."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
