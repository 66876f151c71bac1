from __future__ import annotations

import pytest
from litestar.testing import TestClient

from service.access import is_allowed_host, is_key
from service.app import create_app
from service.settings import Settings, load_settings, without_secrets


@pytest.fixture(scope="module")
def guarded():
    settings = load_settings({"LIVEDIGIT_API_KEYS": "first-key, second-key"})
    with TestClient(create_app(settings)) as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("key", ["first-key", "second-key"])
def test_each_key_opens_the_door(guarded, key):
    assert guarded.get("/v2/models/digits", headers=bearer(key)).status_code == 200
    assert guarded.post("/predict", json={"image": ""}, headers=bearer(key)).status_code == 400


@pytest.mark.parametrize(
    "headers", [{}, bearer(""), bearer("first"), bearer("first-key,second-key"), {"Authorization": "Basic first-key"}]
)
@pytest.mark.parametrize("path", ["/v2/models/digits", "/v2", "/metrics"])
def test_without_a_key_nothing_is_answered(guarded, headers, path):
    answer = guarded.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_refusal_has_the_shape_of_its_surface(guarded):
    assert guarded.get("/v2").json() == {"error": "an API key is needed: send `Authorization: Bearer KEY`"}
    assert guarded.post("/predict", json={}).json()["status"] == 401


@pytest.mark.parametrize(
    "path", ["/", "/health", "/v2/health/live", "/v2/health/ready", "/schema", "/schema/openapi.json"]
)
def test_health_the_page_and_the_documentation_are_public(guarded, path):
    assert guarded.get(path).status_code == 200


def test_keys_are_compared_whole():
    assert is_key("b", ("a", "b"))
    assert not is_key("", ("a", "b"))
    assert not is_key("ab", ("a", "b"))
    assert not is_key("a", ())


def test_keys_are_never_printed():
    assert without_secrets(Settings(api_keys=("one", "two"))).api_keys == ("***", "***")


def test_other_host_names_are_refused_but_health_checks_come_by_address():
    with TestClient(create_app(Settings(allowed_hosts=("digits.example",)))) as client:
        assert client.get("/v2", headers={"Host": "digits.example:8000"}).status_code == 200
        refused = client.get("/v2", headers={"Host": "evil.example"})
        assert refused.status_code == 400
        assert "'evil.example'" in refused.json()["error"]
        problem = client.get("/", headers={"Host": "evil.example"})
        assert problem.headers["content-type"] == "application/problem+json"
        assert problem.json()["status"] == 400
        for path in ("/health", "/v2/health/live", "/v2/health/ready"):
            assert client.get(path, headers={"Host": "10.0.0.7"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "pattern", "allowed"),
    [
        ("example.com", "example.com", True),
        ("EXAMPLE.com:8000", "Example.com", True),
        ("example.com.evil.net", "example.com", False),
        ("evil-example.com", "example.com", False),
        ("example.com:8823", "example.com:8823", True),
        ("example.com:8824", "example.com:8823", False),
        ("example.com", "example.com:8823", False),
        ("a.b.example.com:8823", "*.example.com", True),
        ("example.com", "*.example.com", False),
        ("evilexample.com", "*.example.com", False),
        ("a.example.com:8823", "*.example.com:8823", True),
        ("[::1]", "[::1]", True),
        ("[::1]:8000", "[::1]", True),
        ("[::2]:8000", "[::1]", False),
        ("127.0.0.1:8000", "127.0.0.1", True),
        ("anything", "*", True),
        ("", "example.com", False),
    ],
)
def test_a_host_is_compared_without_its_port_and_whatever_its_case(host, pattern, allowed):
    assert load_settings({"LIVEDIGIT_ALLOWED_HOSTS": pattern}).allowed_hosts == (pattern,)
    assert is_allowed_host(host, ("other.example", pattern)) is allowed


@pytest.mark.parametrize(("origin", "allowed"), [("https://a.example", True), ("https://b.example", False)])
def test_pages_of_allowed_origins_may_call(origin, allowed):
    with TestClient(create_app(Settings(cors_origins=("https://a.example",)))) as client:
        answer = client.get("/health", headers={"Origin": origin})
        assert (answer.headers.get("access-control-allow-origin") == origin) is allowed


def test_pages_of_allowed_origins_may_read_what_headers_say_of_an_answer():
    with TestClient(create_app(Settings(cors_origins=("https://a.example",)))) as client:
        answer = client.get("/health", headers={"Origin": "https://a.example"})
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"Inference-Header-Content-Length", "Retry-After", "X-Request-ID", "Server-Timing"} == set(exposed)
