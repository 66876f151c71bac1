"""uvicorn's HTTP protocol, less patient: a client that does not finish its headers is let go.

uvicorn limits how long an idle connection is kept after an answer, but not how long a client may take to send its
first headers (seen with 0.54), so that a few hundred silent connections could hold every file descriptor. An idle
connection on which anything comes, a line break or more of a body that is not wanted, it keeps for ever; it
collects headers and trailers without end; and it waits for ever for a client that reads nothing of its answers.

It is more patient in two things. uvicorn stops by closing every connection that waits for no answer, which resets one
whose next request has arrived but was not read yet, or was read in part (seen with 0.54). Those are answered first.
And it closes a connection right after its last answer, which resets it where the client is still sending: one whose
large body was refused never learnt why (seen with 0.54). Such a client is told the end and may finish.

And it ignores an offer to change protocols, as RFC 9110 7.8 has it. llhttp takes what follows the head of such a
request for the other protocol, and uvicorn, which stays with HTTP/1.1, for the next request (seen with 0.54): the body
of every POST of Java's HTTP client, which offers HTTP/2, was lost, and a body could hold a request.
"""

from __future__ import annotations

import asyncio
import fcntl
import select
import struct
import termios

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Of a request's head, of its trailers, or of whatever else comes of which nothing follows.

Browsers and proxies send a few kilobytes, cookies and tokens included, and most servers take 8 to 64 KiB.
"""
C_INT = struct.Struct("i")
INVALID = 400, "Invalid HTTP request received."
TOO_LARGE = 431, f"Request headers or trailers larger than {MAX_HEAD_BYTES} bytes received."


class HeadTooLarge(Exception):
    """A head has come whole and is larger than `MAX_HEAD_BYTES`."""


class ServiceConfig(uvicorn.Config):
    """uvicorn's configuration and our deadline for headers, and for a client that reads nothing."""

    def __init__(self, *args: object, header_timeout_s: float, **kwargs: object) -> None:
        self.header_timeout_s = header_timeout_s
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]


class AnswersEnd:
    """What a request sees of its connection, which it closes after the last answer, perhaps amid its own body."""

    def __init__(self, protocol: ImpatientProtocol) -> None:
        self.write = protocol.transport.write
        self.is_closing = protocol.transport.is_closing
        self.close = protocol.close_after_answer


class ImpatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request head is late or whose client reads nothing, and no other with a request."""

    config: ServiceConfig
    _deadline: asyncio.TimerHandle | None = None
    _unread_deadline: asyncio.TimerHandle | None = None
    _is_reading_head = False
    _is_last = False
    _has_ended = False
    """Whether the client has been told that nothing more will come; nor is anything read any more."""
    _fruitless_bytes = 0
    """The length of the latest segments in which no head began or ended and nothing of a body came."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        """Read, and start waiting for the rest of a head that has not come whole, as nearly all do."""
        if self._has_ended:
            return
        self._fruitless_bytes += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            self._refuse(*(TOO_LARGE if isinstance(error.__context__, HeadTooLarge) else INVALID))
            return
        if self._fruitless_bytes > MAX_HEAD_BYTES:
            self._refuse(*TOO_LARGE)
        elif self._is_reading_head:
            self._unset_keepalive_if_required()
            self._set_deadline()

    def _parse(self, data: bytes) -> None:
        """Parse what has come. Raises `HttpParserError`."""
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                (end_of_head,) = offer.args
                rest = rest[end_of_head:]
                self._parse_head_without_offer()
            else:
                return

    def _parse_head_without_offer(self) -> None:
        """Parse the head that has just been read once more, without the offer to change protocols.

        Raises `HttpParserError`, also for CONNECT, which asks for a tunnel and has no body.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError("there is no tunnel")
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn has it: a request whose connection is to be closed is answered also where something follows it.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))

    def _refuse(self, status: int, words: str) -> None:
        """Close, and say why where the next answer that the client waits for is that to what is refused."""
        self.logger.warning(words)
        is_due = (
            self.is_between_answers()
            if self._is_reading_head
            else self.cycle is not None and not self.pipeline and not self.cycle.response_started
        )
        if is_due:
            headers = f"content-type: text/plain; charset=utf-8\r\ncontent-length: {len(words)}\r\nconnection: close"
            self.transport.write(STATUS_LINE[status] + f"{headers}\r\n\r\n{words}".encode())
            self._end()
        else:
            self.transport.close()

    def close_after_answer(self) -> None:
        """Close, or tell the end to a client that is still sending what was answered."""
        if self.cycle.response_complete and self.cycle.more_body:
            self._end()
        else:
            self.transport.close()

    def _end(self) -> None:
        """Send nothing more, and close when the client does, or at a deadline."""
        self._has_ended = True
        if not self.is_between_answers():
            self._give_up_request()
        self.transport.write_eof()
        self.flow.resume_reading()
        self._set_deadline()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one that has ended has a deadline of its own."""
        if not self._has_ended:
            super().timeout_keep_alive_handler()

    def _give_up_request(self) -> None:
        """Have the application told that its client is gone: it would wait for the body, and write after the end."""
        self.cycle.disconnected = True
        self.cycle.waiting_for_100_continue = False
        self.cycle.message_event.set()

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        super().on_message_begin()
        self._is_reading_head = True
        self._fruitless_bytes = 0

    def on_headers_complete(self) -> None:
        """Stop waiting, and have the request answered unless its head is to be parsed once more.

        Raises `HeadTooLarge`.
        """
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            raise HeadTooLarge
        if self.parser.should_upgrade():
            return
        self._fruitless_bytes = 0
        self._unset_keepalive_if_required()
        self._clear_deadline()
        super().on_headers_complete()
        self._is_reading_head = False
        self.cycle.transport = AnswersEnd(self)  # type: ignore[assignment]
        if self._is_last:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take some of a body."""
        self._fruitless_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of the request, which is not that of a head to be parsed once more."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def shutdown(self) -> None:
        """Close, or answer the request that has arrived and close then."""
        self._is_last = True
        has_arrived = self._is_reading_head or (self.is_silent() and self._has_unread())
        if not has_arrived and not self._has_ended:
            super().shutdown()

    def is_silent(self) -> bool:
        """Tell whether the connection is between requests, as far as it has been read."""
        return not self._is_reading_head and not self._has_ended and self.is_between_answers()

    def is_between_answers(self) -> bool:
        """Tell whether nobody whose head has been read waits for an answer."""
        return self.cycle is None or self.cycle.response_complete

    def _has_unread(self) -> bool:
        return is_readable(self.transport.get_extra_info("socket").fileno())

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._clear_deadline()
        self._stop_watching()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start watching whether the client reads what it has asked for."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """Stop watching."""
        self._stop_watching()
        super().resume_writing()

    def _watch_reader(self) -> None:
        self._unread_deadline = self.loop.call_later(
            self.config.header_timeout_s, self._let_go_unless_read, self._unread_bytes()
        )

    def _let_go_unless_read(self, unread_before: int) -> None:
        """Give a slow client more time, and one that has read nothing none: to close would wait for it as well."""
        if self._unread_bytes() < unread_before:
            self._watch_reader()
        else:
            self.transport.abort()

    def _unread_bytes(self) -> int:
        """Count what the client's kernel has not acknowledged.

        A slow client may be at it for long before ours, which holds megabytes, takes more of what is unsent.
        """
        descriptor = self.transport.get_extra_info("socket").fileno()
        (unacknowledged,) = C_INT.unpack(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(C_INT.size)))
        return self.transport.get_write_buffer_size() + int(unacknowledged)

    def _stop_watching(self) -> None:
        if self._unread_deadline is not None:
            self._unread_deadline.cancel()
            self._unread_deadline = None

    def _set_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.config.header_timeout_s, self.transport.close)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def is_readable(descriptor: int) -> bool:
    """Ask the kernel, without waiting, whether there is something to read, or to accept."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
