"""Answers that are encoded already."""

from __future__ import annotations

from collections.abc import Iterable

from litestar.types import Receive, Scope, Send

JSON = b"application/json"
BINARY = b"application/octet-stream"


class EncodedAnswer:
    """Sends a body as it is, with status 200: an ASGI application.

    Litestar's own would spend as long on its headers as reading the request's JSON and writing the response's take.
    """

    def __init__(self, body: bytes, content_type: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self._body = body
        self._headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send headers and body."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body, "more_body": False})
