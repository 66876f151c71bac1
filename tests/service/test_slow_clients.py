"""Clients that dawdle are let go; the others do not notice."""

from __future__ import annotations

import socket
import time

import httpx
import pytest

TIMEOUT_S = 30


@pytest.fixture
def impatient(start_server):
    return start_server("--body-timeout-s", "0.3")


def open_connection(port: int, sent: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
    connection.sendall(sent)
    return connection


def send_blanks(connection: socket.socket) -> None:
    while True:
        connection.sendall(b" ")
        time.sleep(0.01)


def read_to_the_end(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("sent", [b"", b"GET /health HTT", b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: "])
def test_headers_that_do_not_come_end_the_connection(impatient, sent):
    assert read_to_the_end(open_connection(impatient.port, sent)) == b""
    assert httpx.get(f"{impatient.url}/health").status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/v2/models/digits/infer", "/v2/repository/index"])
def test_a_body_that_does_not_come_gets_408_and_ends_the_connection(impatient, path):
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
    answer = read_to_the_end(open_connection(impatient.port, head.encode()))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive within 0.3 s" in answer


def test_a_second_request_on_a_connection_has_the_same_deadline(impatient):
    whole = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = read_to_the_end(open_connection(impatient.port, whole + whole[:-2]))
    assert answer.count(b"HTTP/1.1 200") == 1


AFTER = {
    "a line break": (b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n"),
    "some of a body": (b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n", b"{"),
    "a trailer": (b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: a\r\n"),
}


@pytest.mark.parametrize(("begun", "later"), AFTER.values(), ids=AFTER)
def test_what_comes_after_an_answer_does_not_keep_its_connection(start_server, begun, later):
    server = start_server("--keep-alive-s", "1")
    connection = open_connection(server.port, begun)
    assert connection.recv(1) == b"H"
    connection.sendall(later)
    assert b"HTTP/1.1 " not in read_to_the_end(connection)


TOO_LARGE = 8_000_000
REFUSED = b"POST /predict HTTP/1.0\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % TOO_LARGE


def test_a_client_that_sends_all_of_a_refused_body_learns_why(server):
    connection = open_connection(server.port, REFUSED)
    for _ in range(8):
        connection.sendall(bytes(TOO_LARGE // 8))
    assert read_to_the_end(connection).startswith(b"HTTP/1.1 413 ")


def test_a_refused_body_without_end_is_not_taken_for_ever(impatient):
    with open_connection(impatient.port, REFUSED) as connection:
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
        with pytest.raises(OSError, match=r"Broken pipe|Connection reset"):
            send_blanks(connection)


def test_many_silent_connections_do_not_hold_the_server(impatient):
    silent = [open_connection(impatient.port, b"POST /predict HTTP/1.1\r\n") for _ in range(200)]
    assert httpx.get(f"{impatient.url}/health").status_code == 200
    assert {read_to_the_end(connection) for connection in silent} == {b""}


def test_a_client_that_hangs_up_in_the_middle_is_not_an_error_of_the_server(impatient):
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
    for _ in range(5):
        open_connection(impatient.port, head).close()
    assert httpx.get(f"{impatient.url}/health").status_code == 200
    assert impatient.stop() == 0
    assert "ERROR" not in impatient.output
    assert "Traceback" not in impatient.output
