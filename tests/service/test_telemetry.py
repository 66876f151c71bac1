from __future__ import annotations

import base64
import json
import logging
import re

import httpx
import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from service.app import create_app
from service.metrics import Metrics
from service.models import ModelStore
from service.settings import Settings


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(text: str, name: str, **labels: str) -> float:
    return sum(
        value
        for (found, pairs), value in samples(text).items()
        if found == name and labels.items() <= dict(pairs).items()
    )


@pytest.fixture
def body(seven, encode) -> dict[str, str]:
    return {"image": base64.b64encode(encode(seven)).decode()}


def test_every_answer_carries_an_id_timings_and_safe_headers(client, body):
    answer = client.post("/predict", json=body)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    stages = re.findall(r"(\w+);dur=([\d.]+)", answer.headers["server-timing"])
    assert [name for name, _ in stages] == ["read", "queue", "decode", "preprocess", "gather", "infer", "total"]
    times = dict(stages)
    assert float(times.pop("total")) >= sum(map(float, times.values())) * 0.99


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_3", True), ("x" * 65, False), ("a b", False), ("a\tb", False)])
def test_a_harmless_request_id_is_kept(client, given, kept):
    answer = client.get("/nowhere", headers={"X-Request-ID": given})
    assert (answer.headers["x-request-id"] == given) is kept


def test_requests_are_counted_by_route_and_status_never_by_path(client):
    before = client.get("/metrics").text
    for path in ("/nowhere/1", "/nowhere/2", "/v2/models/digits", "/v2/models/letters"):
        client.get(path)
    after = client.get("/metrics").text
    assert "nowhere" not in after
    assert "letters" not in after

    def grown(**labels: str) -> float:
        name = "livedigit_requests_total"
        return total(after, name, **labels) - total(before, name, **labels)

    assert grown(handler="none", status="404") == 2
    assert grown(handler="/v2/models/{name}", status="200") == 1
    assert grown(handler="/v2/models/{name}", status="404") == 1


def test_the_figures_say_once_in_which_characters_they_are_written(client):
    """A parameter given twice makes a media type invalid, by which Prometheus chooses how to read."""
    assert client.get("/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_predictions_are_counted_by_digit_with_confidence_and_stages(client, body):
    before = client.get("/metrics").text
    client.post("/predict", json=body)
    after = client.get("/metrics").text
    for name, labels in (
        ("livedigit_predictions_total", {"digit": "7"}),
        ("livedigit_images_total", {"model": "digits"}),
        ("livedigit_confidence_count", {}),
        ("livedigit_stage_duration_seconds_count", {"stage": "infer"}),
    ):
        assert total(after, name, **labels) - total(before, name, **labels) == 1, name
    assert total(after, "livedigit_model_info") == 1
    assert 'le="0.0001"' in after


OUTCOMES = {
    "livedigit_model_loads_total": {"loaded": 0.0, "refused": 0.0},
    "livedigit_corrections_total": {"kept": 0.0, "refused": 0.0},
}


def counted_outcomes(text: str) -> dict[str, dict[str, float]]:
    """Every sample of the counters of outcomes."""
    found = samples(text)
    return {
        name: {dict(labels)["outcome"]: value for (sample, labels), value in found.items() if sample == name}
        for name in OUTCOMES
    }


def test_outcomes_are_counted_from_nought_so_that_an_alert_sees_the_first(models_dir, publish, spoil):
    """`increase()` of a series that is born with 1 is 0."""
    figures = Metrics()
    assert counted_outcomes(figures.exposition().decode()) == OUTCOMES
    models = ModelStore(Settings(models_dir=str(models_dir)))
    models.load()
    models.report_to(figures)
    spoil(publish(2))
    models.refresh()
    assert counted_outcomes(figures.exposition().decode())["livedigit_model_loads_total"] == {"loaded": 0, "refused": 1}


def test_the_access_log_names_the_route_and_nothing_that_a_user_sent(body, caplog):
    caplog.set_level(logging.INFO, "service.access")
    with TestClient(create_app(Settings(access_log=True))) as client:
        client.post("/predict?debug=secret", json=body, headers={"X-Request-ID": "r1"})
        client.get("/secret")
    lines = [record.getMessage() for record in caplog.records if record.name == "service.access"]
    assert len(lines) == 2
    assert lines[0].startswith("POST /predict 200 in ")
    assert "secret" not in "".join(lines)
    assert caplog.records[0].fields["request_id"] == "r1"


def test_the_figures_of_several_workers_are_added_up(start_server, body):
    server = start_server("--workers", "2", "--log-format", "json", "--access-log")
    for _ in range(30):
        with httpx.Client() as fresh:
            assert fresh.post(f"{server.url}/predict", json=body).status_code == 200
    texts = []
    for _ in range(6):
        with httpx.Client() as fresh:
            texts.append(fresh.get(f"{server.url}/metrics").text)
    assert {total(text, "livedigit_predictions_total", digit="7") for text in texts} == {30}
    assert {total(text, "livedigit_confidence_count") for text in texts} == {30}
    assert counted_outcomes(texts[0]) == OUTCOMES
    server.stop()
    logged = [json.loads(line) for line in server.lines]
    assert sum(line.get("handler") == "/predict" for line in logged) == 30
