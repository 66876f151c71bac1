"""uvicorn's HTTP protocol, less patient: a client that does not finish its headers is let go.

uvicorn limits how long an idle connection is kept after an answer, but not how long a client may take to send its
first headers (seen with 0.54), so that a few hundred silent connections could hold every file descriptor.
"""

from __future__ import annotations

import asyncio

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class ServiceConfig(uvicorn.Config):
    """uvicorn's configuration and our deadline for headers."""

    def __init__(self, *args: object, header_timeout_s: float, **kwargs: object) -> None:
        self.header_timeout_s = header_timeout_s
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


class ImpatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request head is late."""

    config: ServiceConfig
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._expect_headers()

    def on_message_begin(self) -> None:
        """Start waiting for the rest of a further request's head."""
        super().on_message_begin()
        self._expect_headers()

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        self._stop_expecting()
        super().on_headers_complete()

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
