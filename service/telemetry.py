"""What happens around every request, whatever becomes of it: an id, timings, headers, a count, a log line.

It wraps the whole application, because Litestar's middleware does not see what the router refuses (404, 405).
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics

logger = logging.getLogger("service.access")

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
REQUEST_ID_BYTES = 16
HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
UNROUTED = "none"


class Telemetry:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, metrics: Metrics, access_log: bool, is_draining: Callable[[], bool]) -> None:
        self._app = app
        self._metrics = metrics
        self._access_log = access_log
        self._is_draining = is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and note how it went."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = choose_request_id(scope)
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", []), *HEADERS, (b"x-request-id", request_id)]
                headers.append((b"server-timing", server_timing(scope, time.perf_counter() - started)))
                if self._is_draining():
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            self._note(scope, status, time.perf_counter() - started, request_id)

    def _note(self, scope: Scope, status: int, duration_s: float, request_id: bytes) -> None:
        handler = handler_name(scope)
        self._metrics.count_request(handler, status, duration_s)
        if self._access_log:
            fields = {
                "request_id": request_id.decode(),
                "method": scope.get("method"),
                "handler": handler,
                "status": status,
                "duration_ms": round(duration_s * 1000, 3),
            }
            logger.info("%(method)s %(handler)s %(status)d in %(duration_ms)s ms", fields, extra={"fields": fields})


def choose_request_id(scope: Scope) -> bytes:
    """Keep the caller's id where it is harmless in a log, else make one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given if REQUEST_ID.fullmatch(given) else secrets.token_hex(REQUEST_ID_BYTES).encode()


def server_timing(scope: Scope, total_s: float) -> bytes:
    """Write the Server-Timing header, in milliseconds."""
    stages: dict[str, float] = {**scope["state"].get("stages", {}), "total": total_s}
    return ", ".join(f"{name};dur={duration_s * 1000:.3f}" for name, duration_s in stages.items()).encode()


def handler_name(scope: Any) -> str:
    """Name the route and not the path, which a client could choose freely and fill the memory with."""
    template = scope.get("path_template")
    return str(template) if template and scope.get("route_handler") else UNROUTED
