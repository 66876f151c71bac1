"""The documentation says what the API does."""

from __future__ import annotations

import base64
import re

import pytest
from litestar.testing import TestClient

from service.app import create_app
from service.openapi import DOCS_PAGE, SEVEN
from service.settings import Settings


@pytest.fixture(scope="module")
def document(client):
    return client.get("/schema/openapi.json").json()


def test_every_route_for_programs_is_described(document):
    assert {
        "/predict",
        "/health",
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{name}",
        "/v2/models/{name}/infer",
        "/v2/models/{name}/versions/{version}/infer",
        "/v2/repository/index",
    } <= document["paths"].keys()


def test_predict_describes_its_three_bodies_and_every_refusal(document):
    operation = document["paths"]["/predict"]["post"]
    assert {"application/json", "multipart/form-data", "image/png"} <= operation["requestBody"]["content"].keys()
    assert {"200", "400", "408", "413", "415", "422", "429", "500", "503", "504"} <= operation["responses"].keys()


def test_other_routes_describe_their_refusals(document):
    assert "503" in document["paths"]["/health"]["get"]["responses"]
    assert {"400", "408", "413", "503"} <= document["paths"]["/v2/repository/index"]["post"]["responses"].keys()


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        (Settings(allowed_hosts=("example.com",)), 400),
        (Settings(api_keys=("key",)), 401),
        (Settings(rate_limit_per_minute=1), 429),
    ],
)
def test_who_may_not_ask_is_refused_as_every_route_describes(document, settings, status):
    refused = set()
    with TestClient(create_app(settings)) as asking:
        asking.get("/v2")
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                answer = asking.request(method, path.format(name="digits", version=4))
                content = operation["responses"][str(answer.status_code)]["content"]
                schema = content[answer.headers["content-type"].partition(";")[0]]["schema"]
                if answer.status_code == status:
                    kind = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
                    assert answer.json().keys() == kind["properties"].keys()
                    refused.add(path)
    assert refused == document["paths"].keys() - {"/health", "/v2/health/live", "/v2/health/ready"}


def test_an_inference_is_answered_in_json_or_with_raw_tensors(client, document, encode, seven):
    answer = client.post(
        "/v2/models/digits_image/infer", content=encode(seven), headers={"Inference-Header-Content-Length": "0"}
    )
    content = document["paths"]["/v2/models/{name}/infer"]["post"]["responses"]["200"]["content"]
    assert content.keys() == {"application/json", answer.headers["content-type"]}


def test_the_example_is_a_seven(client):
    answer = client.post("/predict", json={"image": SEVEN})
    assert answer.json()["digit"] == 7
    assert base64.b64decode(SEVEN.partition(",")[2]).startswith(b"\x89PNG")


def test_the_interactive_documentation_needs_no_internet(client):
    assert not re.search("https?://", DOCS_PAGE)
    page = client.get("/schema")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    script = client.get("/schema/rapidoc.js")
    assert script.status_code == 200
    assert b"RapiDoc" in script.content
