"""Work that comes while the room is full is turned away at the door."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator

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


@pytest.fixture
def full_server() -> Iterator[int]:
    """The port of a full application behind the real web server."""
    settings = Settings(port=0)
    with bind(settings.host, settings.port) as listener:
        options = {**uvicorn_options(settings), "log_config": None}
        server = uvicorn.Server(ServiceConfig(full_app(), **options))
        running = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        running.start()
        yield listener.getsockname()[1]
        server.should_exit = True
        running.join(TIMEOUT_S)
        assert not running.is_alive()


def test_a_body_that_comes_after_its_refusal_does_not_disturb_the_next_request(full_server):
    with socket.create_connection(("127.0.0.1", full_server), TIMEOUT_S) as connection:
        answers = connection.makefile("rb")
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        assert answers.readline() == b"HTTP/1.1 503 Service Unavailable\r\n"
        connection.sendall(bytes(100_000) + b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        rest = answers.read()
    assert rest.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert rest.endswith(b'{"live":true}')
