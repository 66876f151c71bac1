"""What reaches the application of what a client sends, however it is cut into segments."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from uvicorn.server import ServerState

from service.protocol import MAX_HEAD_BYTES, ImpatientProtocol, ServiceConfig

TIMEOUT_S = 30
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
"""As Java's HTTP client and `curl --http2` send it."""
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


class Wire(asyncio.Transport):
    """A connection that keeps what is sent on it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.is_closed = False
        self.has_ended = False

    def write(self, data: Any) -> None:
        if self.has_ended:
            raise RuntimeError("Cannot call write() after write_eof()")
        self.sent += data

    def close(self) -> None:
        self.is_closed = True

    def write_eof(self) -> None:
        self.has_ended = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def tell_what_was_asked(scope: Any, receive: Any, send: Any) -> None:
    body, more = b"", scope["path"] != "/unread"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    told = b"<%s %s %s>" % (scope["method"].encode(), scope["path"].encode(), body)
    headers = [(b"content-length", b"%d" % len(told))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told})


def exchange(segments: Sequence[bytes], **options: Any) -> Wire:
    """Let a connection receive segments, until it is closed."""

    async def main() -> Wire:
        options.update(log_config=None, lifespan="off")
        config = ServiceConfig(tell_what_was_asked, header_timeout_s=TIMEOUT_S, **options)
        connection, wire = ImpatientProtocol(config, ServerState(), {}), Wire()
        connection.connection_made(wire)
        for segment in segments:
            if not wire.is_closed:
                connection.data_received(segment)
            # Let the application run until it waits for more.
            for _ in range(10):
                await asyncio.sleep(0)
        connection.connection_lost(ConnectionResetError())
        return wire

    return asyncio.run(main())


def answers(wire: Wire) -> list[bytes]:
    """What the application was asked; each answer is one of its own."""
    told = re.findall(rb"<(.*?)>", wire.sent, re.DOTALL)
    assert wire.sent.count(b"HTTP/1.1 ") == len(told), wire.sent
    return told


def cut(whole: bytes, size: int) -> list[bytes]:
    return [whole[start : start + size] for start in range(0, len(whole), size)]


BODIES = {
    "counted": b"Content-Length: 5\r\n\r\n7 8 9",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n2\r\n7 \r\n3\r\n8 9\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("size", [10_000, 100, 1])
@pytest.mark.parametrize("framed", BODIES.values(), ids=BODIES)
def test_an_offer_to_change_protocols_is_ignored_and_the_body_read(framed, size, caplog):
    first = b"POST /first HTTP/1.1\r\nHost: a\r\n" + OFFER + framed
    assert answers(exchange(cut(first + NEXT, size))) == [b"POST /first 7 8 9", b"GET /next "]
    assert answers(exchange([*cut(first, size), *cut(first, size)])) == [b"POST /first 7 8 9"] * 2
    assert not caplog.messages


def test_a_body_that_comes_after_its_head_is_read():
    head, body = b"POST /first HTTP/1.1\r\nHost: a\r\n" + OFFER + b"Content-Length: 5\r\n\r\n", b"7 8 9"
    assert answers(exchange([head, body, NEXT])) == [b"POST /first 7 8 9", b"GET /next "]


@pytest.mark.parametrize("size", [10_000, 1])
def test_a_request_inside_the_body_of_an_offer_is_not_answered(size):
    head = b"POST /first HTTP/1.1\r\nHost: a\r\n" + OFFER + b"Content-Length: %d\r\n\r\n" % len(NEXT)
    assert answers(exchange(cut(head + NEXT, size))) == [b"POST /first " + NEXT]


def test_what_an_offer_asks_of_its_connection_holds(caplog):
    request = b"GET /first HTTP/1.%d\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade, %s\r\n\r\n"
    for last in (request % (1, b"close"), request % (0, b"te")):
        wire = exchange([last + NEXT])
        assert answers(wire) == [b"GET /first "]
        assert wire.is_closed
    assert not caplog.messages


def test_there_is_no_tunnel():
    wire = exchange([b"CONNECT /first HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(NEXT) + NEXT])
    assert wire.sent.startswith(b"HTTP/1.1 400 ")
    assert wire.sent.count(b"HTTP/1.1 ") == 1
    assert wire.has_ended


GET, CHUNKED = b"GET /first HTTP/1.1\r\nHost: a\r\n", b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "path": (b"GET /", b"a"),
    "header's name": (GET, b"a"),
    "header's value": (GET + b"A: ", b"a"),
    "blanks before a header's value": (GET + b"A: ", b" "),
    "headers": (GET, b"A: a\r\n"),
    "trailers": (GET + CHUNKED + b"0\r\n", b"A: a\r\n"),
    "trailer's name": (GET + CHUNKED + b"0\r\n", b"a"),
    "chunk's extension": (GET + CHUNKED + b"1;", b"a"),
}


@pytest.mark.parametrize(("begun", "endless"), ENDLESS.values(), ids=ENDLESS)
def test_what_does_not_end_is_refused(begun, endless):
    segment = endless * 6000
    before = [begun, *[segment] * (MAX_HEAD_BYTES // len(segment))]
    assert not exchange(before).sent
    wire = exchange([*before, segment])
    assert wire.sent.startswith(b"HTTP/1.1 431 ")
    assert wire.has_ended


UNREAD = b"GET /unread HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"0\r\n"


@pytest.mark.parametrize(("begun", "endless"), [(b"", b"\r\n"), (NEXT, b"\r\n"), (UNREAD, b"A: a\r\n")])
def test_what_nobody_waits_for_is_refused_without_an_answer(begun, endless):
    wire = exchange([begun, *[endless * 6000] * 6])
    assert len(answers(wire)) == (begun != b"")
    assert wire.is_closed


HEADS = [b"GET /%s HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nA: %s\r\n", b"GET / HTTP/1.1\r\n%s: a\r\n"]


@pytest.mark.parametrize("size", [1_000_000, 1000])
@pytest.mark.parametrize("offer", [b"", OFFER], ids=["plain", "offer"])
@pytest.mark.parametrize("head", HEADS, ids=["path", "value", "name"])
def test_a_head_that_is_too_large_is_refused_whole_and_in_pieces(head, offer, size):
    wire = exchange(cut(head % (b"a" * MAX_HEAD_BYTES) + offer + b"\r\n", size))
    assert wire.sent.count(b"HTTP/1.1 ") == 1
    assert wire.sent.startswith(b"HTTP/1.1 431 ")
    assert wire.has_ended
    assert len(answers(exchange(cut(head % (b"a" * (MAX_HEAD_BYTES - 1000)) + offer + b"\r\n", size)))) == 1


@pytest.mark.parametrize("size", [1_000_000, 10_000])
def test_a_body_may_be_larger_than_a_head(size):
    body = b"7" * (3 * MAX_HEAD_BYTES)
    counted = GET + b"Content-Length: %d\r\n\r\n" % len(body) + body
    chunked = GET + CHUNKED + b"".join(b"8\r\n%s\r\n" % body[:8] for _ in range(len(body) // 8)) + b"0\r\n\r\n"
    for request in (counted, chunked):
        assert answers(exchange(cut(request + NEXT, size))) == [b"GET /first " + body, b"GET /next "]


@pytest.mark.parametrize("invalid", [b"\x16\x03\x01", b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_what_is_invalid_gets_400_unless_another_answer_is_due(invalid):
    for begun in (b"", NEXT):
        wire = exchange([begun, invalid])
        assert wire.sent.count(b"HTTP/1.1 400 ") == 1
        assert wire.has_ended
    wire = exchange([NEXT + invalid])
    assert b"HTTP/1.1 400 " not in wire.sent
    assert wire.is_closed


@pytest.mark.parametrize("path", [b"/first", b"/unread"])
@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_what_waits_for_a_body_that_is_invalid_is_told_that_its_client_is_gone(path, expect, caplog):
    head = b"POST %s HTTP/1.1\r\nHost: a\r\n%s" % (path, expect)
    wire = exchange([head + CHUNKED + b"zz\r\n"])
    assert wire.sent.startswith(b"HTTP/1.1 400 ")
    assert wire.sent.count(b"HTTP/1.1 ") == 1
    assert caplog.messages == ["Invalid HTTP request received."]


def test_an_invalid_body_is_not_refused_in_the_place_of_an_earlier_answer():
    wire = exchange([NEXT + b"POST /first HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"zz\r\n"])
    assert b"HTTP/1.1 400 " not in wire.sent
    assert wire.is_closed


@pytest.mark.parametrize("last", [b"HTTP/1.0", b"HTTP/1.1\r\nConnection: close"])
def test_a_client_that_is_answered_amid_its_body_may_finish_it(last):
    begun = [b"POST /unread %s\r\nContent-Length: 20\r\n\r\n" % last, b"7 8 9"]
    wire = exchange(begun)
    assert wire.has_ended
    assert not wire.is_closed
    assert answers(exchange([*begun, b"7" * 15 + NEXT])) == answers(wire) == [b"POST /unread "]


def test_a_client_that_finishes_its_body_is_not_taken_for_an_idle_one():
    request = b"POST /unread HTTP/1.%d\r\nHost: a\r\nContent-Length: 20\r\n\r\n7 8 9"
    assert exchange([request % 1], timeout_keep_alive=0).is_closed
    wire = exchange([request % 0], timeout_keep_alive=0)
    assert wire.has_ended
    assert not wire.is_closed


def test_a_client_that_has_sent_all_is_let_go_after_its_last_answer():
    wire = exchange([b"POST /first HTTP/1.0\r\nContent-Length: 5\r\n\r\n7 8 9"])
    assert answers(wire) == [b"POST /first 7 8 9"]
    assert wire.is_closed


class FullWire(Wire):
    """A connection that holds what its client has not read."""

    def __init__(self) -> None:
        super().__init__()
        self.unsent = 100_000
        self.end, self.far_end = socket.socketpair()
        self.aborted = asyncio.Event()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.end if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted.set()


def test_a_client_that_reads_nothing_is_let_go_and_one_that_reads_slowly_is_not():
    async def main() -> None:
        config = ServiceConfig(tell_what_was_asked, header_timeout_s=0.01, log_config=None, lifespan="off")
        connection, wire = ImpatientProtocol(config, ServerState(), {}), FullWire()
        with wire.end, wire.far_end:
            connection.connection_made(wire)
            wire.end.sendall(bytes(1000))
            connection.pause_writing()
            waiting = connection._unread_deadline
            for _ in range(3):
                wire.unsent -= 1
                while connection._unread_deadline is waiting:
                    await asyncio.sleep(0)
                waiting = connection._unread_deadline
            assert not wire.aborted.is_set()
            await wire.aborted.wait()
            connection.resume_writing()
            connection.connection_lost(None)

    asyncio.run(asyncio.wait_for(main(), TIMEOUT_S))


@pytest.mark.parametrize(("path", "status"), [("/health", b"200"), ("/predict", b"405"), ("/nowhere", b"404")])
def test_a_request_for_a_websocket_gets_an_ordinary_answer(server, path, status):
    request = (
        f"GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT_S) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert "WebSocket" not in server.output
