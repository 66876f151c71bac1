"""The documentation says what the API does."""

from __future__ import annotations

import base64
import re

import pytest

from service.openapi import DOCS_PAGE, SEVEN


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
