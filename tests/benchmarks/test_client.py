"""The client tells answers, refusals and losses apart: every verdict of the resilience scenarios rests on it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from benchmarks.client import Client, Fault, Outcome, get, post

Conversation = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST_ANSWER = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@contextlib.asynccontextmanager
async def listening(conversation: Conversation) -> AsyncIterator[int]:
    """A server that says what it is told to."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await conversation(reader, writer)

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def send_to(conversation: Conversation, times: int = 1, patience_s: float = 30.0) -> list[Outcome]:
    async def main() -> list[Outcome]:
        async with listening(conversation) as port:
            client = Client(port, patience_s=patience_s)
            outcomes = [await client.send(get("/")) for _ in range(times)]
            client.close()
            return outcomes

    return asyncio.run(main())


async def answer_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER)


async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(LAST_ANSWER)


async def answer_half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER[:-1])


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"what?\r\n\r\n")


async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


def test_a_kept_connection_serves_many_requests():
    outcomes = send_to(answer_all, times=3)
    assert [(outcome.status, outcome.body, outcome.fault) for outcome in outcomes] == [(200, b"ok", None)] * 3


def test_a_closed_connection_is_replaced_and_is_no_loss():
    outcomes = send_to(answer_once, times=3)
    assert [(outcome.status, outcome.fault) for outcome in outcomes] == [(503, None)] * 3


@pytest.mark.parametrize("conversation", [answer_half, hang_up, reset, babble])
def test_whatever_goes_wrong_after_the_handshake_is_a_loss(conversation):
    (outcome,) = send_to(conversation)
    assert (outcome.status, outcome.fault) == (0, Fault.DROPPED)


def test_an_answer_that_does_not_come_is_late():
    (outcome,) = send_to(stay_silent, patience_s=0.05)
    assert outcome.fault is Fault.LATE


def test_a_closed_port_refuses():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        outcome = asyncio.run(Client(holder.getsockname()[1]).send(get("/")))
    assert outcome.fault is Fault.REFUSED


def test_a_post_says_how_long_it_is():
    head, _, body = post("/predict", "image/png", b"12345", "X-Test: 1").partition(b"\r\n\r\n")
    assert b"Content-Length: 5" in head.splitlines()
    assert b"X-Test: 1" in head.splitlines()
    assert body == b"12345"
