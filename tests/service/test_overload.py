"""Work that comes while the room is full is turned away at the door."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import uvicorn
from litestar import Litestar
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.protocol import ServiceConfig
from service.server import bind, uvicorn_options
from service.settings import Settings, models_folder

TIMEOUT_S = 30
VARYING = {"x-request-id", "server-timing"}
SERVED = max(int(folder.name) for folder in (models_folder(Settings()) / "digits").glob("[0-9]*"))
WORK = [
    ("/predict", "/predict"),
    ("/predict/", "/predict"),
    ("/read", "/read"),
    ("/v2/models/digits/infer", "/v2/models/{name}/infer"),
    (f"/v2/models/digits/versions/{SERVED}/infer", "/v2/models/{name}/versions/{version}/infer"),
]


def full_app(**settings: object) -> Litestar:
    """An application whose room stays full."""
    app = create_app(Settings(**settings))
    app.state.service.workroom.pending = 1000
    return app


@pytest.fixture(scope="module")
def full() -> Iterator[TestClient[Litestar]]:
    with TestClient(full_app()) as client:
        yield client


@pytest.fixture(scope="module")
def full_inside() -> Iterator[TestClient[Litestar]]:
    """Refuses the same by the workroom alone."""
    with TestClient(full_app(cors_origins=("https://example.org",))) as client:
        yield client


@pytest.mark.parametrize("path", [path for path, _ in WORK if path != "/read"])
def test_a_refusal_at_the_door_is_that_of_the_workroom(full, full_inside, path, seven, encode):
    image = encode(seven)
    answers = [
        client.post(path, content=image, headers={"Content-Type": "image/png"}) for client in (full, full_inside)
    ]
    described = [
        (answer.status_code, answer.content, {k: v for k, v in answer.headers.items() if k not in VARYING})
        for answer in answers
    ]
    assert described[0] == described[1]
    assert described[0][0] == 503
    assert described[0][2]["retry-after"] == "1"


def test_nothing_is_read_of_what_is_turned_away(full, full_inside):
    assert full.post("/predict", content=b"no image", headers={"Content-Type": "text/plain"}).status_code == 503
    assert full_inside.post("/predict", content=b"no image", headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/v2/health/ready", 200),
        ("GET", "/", 200),
        ("GET", "/metrics", 200),
        ("POST", "/v2/repository/index", 200),
        ("GET", "/predict", 405),
        ("POST", "/nowhere", 404),
    ],
)
def test_what_is_no_work_is_answered_by_a_full_house(full, method, path, status):
    assert full.request(method, path).status_code == status


@pytest.mark.parametrize(("path", "route"), WORK)
def test_what_is_turned_away_is_counted_and_logged_by_route(path, route, caplog):
    caplog.set_level(logging.INFO, "service.access")
    with TestClient(full_app(access_log=True)) as client:
        client.post(path)
        families = text_string_to_metric_families(client.get("/metrics").text)
    counted = {
        (sample.labels["handler"], sample.labels["status"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "livedigit_requests_total"
    }
    assert counted == {(route, "503"): 1}
    assert f"POST {route} 503 in " in caplog.text


@contextmanager
def serving(app: Litestar) -> Iterator[int]:
    """The port of an application behind the real web server."""
    settings = Settings(port=0)
    with bind(settings.host, settings.port) as listener:
        options = {**uvicorn_options(settings), "log_config": None}
        server = uvicorn.Server(ServiceConfig(app, **options))
        running = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        running.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        running.join(TIMEOUT_S)
        assert not running.is_alive()


def test_a_body_that_comes_after_its_refusal_does_not_disturb_the_next_request():
    with serving(full_app()) as port, socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
        answers = connection.makefile("rb")
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        assert answers.readline() == b"HTTP/1.1 503 Service Unavailable\r\n"
        connection.sendall(bytes(100_000) + b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        rest = answers.read()
    assert rest.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert rest.endswith(b'{"live":true}')


def request_with(body: bytes) -> bytes:
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_large_bodies_beyond_what_may_be_in_memory_are_refused_and_drawings_are_not(seven, encode):
    """Of two that do not fit together, the one that finds no more room gives way to the other."""
    app = create_app(Settings(max_body_bytes=1_000_000, max_large_bodies=1))
    large = request_with(bytes(750_000))
    with ExitStack() as stack:
        port = stack.enter_context(serving(app))
        first, second, third = (
            stack.enter_context(socket.create_connection(("127.0.0.1", port), TIMEOUT_S)) for _ in range(3)
        )
        for connection in (first, second):
            connection.sendall(large[:-1])
        (refused, *others), _, _ = select.select([first, second], [], [], TIMEOUT_S)
        assert not others
        head, _, problem = refused.recv(10_000).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in head
        assert b"too many large bodies" in problem

        third.sendall(request_with(encode(seven)))
        assert b'"digit":7' in third.recv(10_000)

        (held,) = {first, second} - {refused}
        held.sendall(large[-1:])
        assert held.recv(10_000).startswith(b"HTTP/1.1 400 ")
        third.sendall(large)
        assert third.recv(10_000).startswith(b"HTTP/1.1 400 "), "there is room again"


def test_a_body_that_is_too_large_is_refused_for_its_size_where_there_is_room_for_one():
    """Without a Content-Length; with one it is not even read."""
    with TestClient(create_app(Settings(max_body_bytes=1_000_000, max_large_bodies=1))) as client:
        answer = client.post("/predict", content=iter([bytes(1_200_000)]), headers={"Content-Type": "image/png"})
    assert answer.status_code == 413
