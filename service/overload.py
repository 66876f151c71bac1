"""Turning away what there is no room for: work, before it is routed and its body is read, and large bodies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from litestar import Litestar
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send
from litestar.utils.path import normalize_path

from service.errors import Overloaded
from service.workroom import Workroom

WORK = {"work": True}
"""The `opt` of a handler whose requests wait for the workroom."""

SMALL_BYTES = 64 * 1024
"""What is held of any body. uvicorn holds as much of each connection anyway, and drawings have a few kilobytes."""


class ErrorAnswer(NamedTuple):
    """How an error is told."""

    status: int
    media_type: str
    content: dict[str, Any]
    headers: dict[str, str]


class TurnAway:
    """An ASGI application around another.

    Without it a server that refuses ten times as much as it answers is busy with reading what it refuses (measured by
    `python -m benchmarks resilience overload`). What it lets pass is still refused by the workroom where that has
    filled up meanwhile, and in the same words.
    """

    def __init__(self, app: Litestar, workroom: Workroom, describe: Callable[[str, Exception], ErrorAnswer]) -> None:
        """To be made when `app` has all its handlers; `describe` tells an error on a path."""
        self._app: ASGIApp = app.asgi_handler
        self._router = app.asgi_router
        self._workroom = workroom
        self._describe = describe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503 to work while there is no room, and pass everything else on."""
        if scope["type"] != ScopeType.HTTP or not self._workroom.is_full or not self._is_work(scope):
            await self._app(scope, receive, send)
            return
        try:
            self._workroom.refuse_when_full()
        except Overloaded as error:
            await send_answer(send, self._describe(scope["path"], error))

    def _is_work(self, scope: Any) -> bool:
        """Ask the router, and note as it does what the request is for."""
        path = normalize_path(scope["path"])
        try:
            _, handler, _, _, template = self._router.handle_routing(path=path, method=scope["method"])
        except HTTPException:
            return False
        if not handler.opt.get("work"):
            return False
        scope["route_handler"], scope["path_template"] = handler, template
        return True


class BoundedBodies:
    """An ASGI application around another, of whose requests' bodies no more than `most` of the largest are in memory.

    The first `SMALL_BYTES` of a body are free, so that a few clients who send large ones slowly keep nobody from
    sending a drawing.
    """

    def __init__(self, app: ASGIApp, most: int, largest: int) -> None:
        """`largest` is the size in bytes beyond which `app` refuses a body."""
        self._app = app
        self._largest = largest
        self._left = most * largest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; reading its body raises `Overloaded` where there is no room for more of it."""
        size = charged = 0

        async def receive_bounded() -> ReceiveMessage:
            nonlocal size, charged
            message = await receive()
            if message["type"] == "http.request":
                size += len(message.get("body", b""))
            # What is larger than any body may be is not kept, and refused for its size, not for want of room.
            more = max(0, min(size, self._largest) - SMALL_BYTES) - charged
            if more > self._left:
                raise Overloaded("too many large bodies are being worked on: try again shortly")
            self._left -= more
            charged += more
            return message

        try:
            await self._app(scope, receive_bounded, send)
        finally:
            self._left += charged


async def send_answer(send: Send, answer: ErrorAnswer) -> None:
    """Send an answer whole."""
    body = msgspec.json.encode(answer.content)
    headers = {**answer.headers, "content-type": answer.media_type, "content-length": str(len(body))}
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": False})
