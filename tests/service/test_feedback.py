"""Corrections that users send: kept whole, bounded, in quarantine, and only where they are wanted."""

from __future__ import annotations

import errno
import json
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from service.app import create_app
from service.contract import StoredCorrection
from service.corrections import open_corrections
from service.errors import UsageError
from service.openapi import FEEDBACK_SCHEMA
from service.settings import Settings

SEVEN = {
    "name": "mifz4q-3x8k2a",
    "label": "7",
    "strokes": [[[80, 64.5], [198, 60], [128, 228]], [[104, 146]]],
    "answered": {"digit": 1, "confidence": 0.71},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "feedback" / "quarantine"


@pytest.fixture
def wanting(folder: Path):
    """A server that takes three corrections."""
    with TestClient(create_app(Settings(feedback_dir=str(folder.parent), feedback_max_files=3))) as client:
        yield client


def stored(folder: Path) -> list[Any]:
    return [row for path in sorted(folder.iterdir()) for row in json.loads(path.read_text())]


def test_a_correction_is_kept_with_all_that_explains_it(wanting, folder):
    answer = wanting.post("/feedback", json=SEVEN)
    assert answer.status_code == 201
    (path,) = folder.iterdir()
    assert path.name == f"{answer.json()['receipt']}.json"
    (row,) = msgspec.json.decode(path.read_bytes(), type=list[StoredCorrection])
    assert msgspec.to_builtins(row.strokes) == tuple(tuple(map(tuple, stroke)) for stroke in SEVEN["strokes"])
    assert (row.name, row.label, row.answered.digit) == ("mifz4q-3x8k2a", "7", 1)
    served = wanting.get("/health").json()
    assert (row.model, row.version) == (served["model"], served["version"])
    assert datetime.fromisoformat(row.received).utcoffset().total_seconds() == 0


def test_nothing_is_kept_about_the_drawer(wanting, folder):
    headers = {"User-Agent": "tell-tale", "X-Forwarded-For": "192.0.2.7", "Cookie": "tell=tale"}
    wanting.post("/feedback", json=SEVEN, headers=headers)
    (path,) = folder.iterdir()
    (row,) = json.loads(path.read_text())
    assert set(row) == {"name", "label", "strokes", "answered", "model", "version", "received"}
    assert "tale" not in path.read_text()
    assert "192.0.2.7" not in path.read_text()


def test_a_correction_before_any_answer_and_without_a_model_is_kept_too(tmp_path):
    settings = Settings(models_dir=str(tmp_path), feedback_dir=str(tmp_path / "feedback"))
    with TestClient(create_app(settings)) as client:
        assert client.post("/feedback", json=SEVEN | {"answered": None}).status_code == 201
    (row,) = stored(tmp_path / "feedback/quarantine")
    assert (row["answered"], row["model"], row["version"]) == (None, None, None)


def test_the_page_can_ask_whether_corrections_are_wanted(client, wanting):
    assert client.get("/feedback").json() == {"wanted": False}
    assert wanting.get("/feedback").json() == {"wanted": True}


def test_a_server_that_was_not_told_to_takes_none(client):
    answer = client.post("/feedback", json=SEVEN)
    assert answer.status_code == 404
    assert "--feedback-dir" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": "10"}, "label"),
        ({"label": "-1"}, "label"),
        ({"label": "x"}, "label"),
        ({"label": 7}, "label"),
        ({"name": "../../etc/passwd"}, "name"),
        ({"name": ""}, "name"),
        ({"strokes": []}, "strokes"),
        ({"strokes": [[]]}, "strokes"),
        ({"strokes": [[[1]]]}, "strokes"),
        ({"strokes": [[[1, 281]]]}, "strokes"),
        ({"strokes": [[[-0.5, 2]]]}, "strokes"),
        ({"strokes": [[["1", None]]]}, "strokes"),
        ({"strokes": [[[1, 2]]] * 501}, "strokes"),
        ({"answered": {"digit": 11, "confidence": 0.5}}, "answered"),
        ({"answered": {"digit": 1, "confidence": 1.5}}, "answered"),
        ({"email": "somebody@example.org"}, "email"),
    ],
)
def test_what_is_no_correction_gets_422_and_leaves_no_trace(wanting, folder, change, words):
    answer = wanting.post("/feedback", json=SEVEN | change)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("body", ["", "{", '{"strokes": [[[NaN, 1]]]}', '{"strokes": [[[Infinity, 1]]]}'])
def test_what_is_not_json_gets_400(wanting, folder, body):
    answer = wanting.post("/feedback", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert list(folder.iterdir()) == []


def test_a_number_too_large_for_a_float_is_refused(wanting, folder):
    body = json.dumps(SEVEN).replace("64.5", "1e999")
    answer = wanting.post("/feedback", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}
    assert list(folder.iterdir()) == []


def test_a_million_points_get_413(wanting, folder):
    assert wanting.post("/feedback", json=SEVEN | {"strokes": [[[1, 2]] * 1_000_000]}).status_code == 413
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_page_of_another_origin_cannot_slip_one_in(wanting, folder, content_type):
    """Browsers let any page send these types; JSON only where the server allows its origin."""
    answer = wanting.post("/feedback", content=json.dumps(SEVEN), headers={"Content-Type": content_type})
    assert answer.status_code == 415
    assert list(folder.iterdir()) == []


def test_the_folder_does_not_grow_without_end(wanting, folder):
    answers = [wanting.post("/feedback", json=SEVEN) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201, 201, 201, 507, 507]
    assert "3 are waiting" in answers[-1].json()["detail"]
    assert len(list(folder.iterdir())) == 3


def test_on_a_full_disk_no_half_file_is_left(wanting, folder, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    answer = wanting.post("/feedback", json=SEVEN)
    assert answer.status_code == 507
    assert "No space left" in answer.json()["detail"]
    assert list(folder.iterdir()) == []
    assert str(folder) not in answer.text


def test_a_folder_that_is_gone_is_said_to_be_and_the_rest_goes_on(wanting, folder):
    shutil.rmtree(folder)
    assert wanting.post("/feedback", json=SEVEN).status_code == 507
    assert wanting.get("/health").status_code == 200


def test_a_folder_that_cannot_be_made_ends_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="--feedback-dir"):
        open_corrections(Settings(feedback_dir=str(tmp_path / "file")))


def test_corrections_are_counted(wanting):
    for _ in range(5):
        wanting.post("/feedback", json=SEVEN)
    figures = wanting.get("/metrics").text
    assert 'livedigit_corrections_total{outcome="kept"} 3.0' in figures
    assert 'livedigit_corrections_total{outcome="refused"} 2.0' in figures


def test_where_keys_are_needed_they_are_needed_here(tmp_path):
    with TestClient(create_app(Settings(feedback_dir=str(tmp_path), api_keys=("key",)))) as client:
        assert client.post("/feedback", json=SEVEN).status_code == 401
        assert client.post("/feedback", json=SEVEN, headers={"Authorization": "Bearer key"}).status_code == 201


def test_the_documentation_names_every_field(client):
    operation = client.get("/schema/openapi.json").json()["paths"]["/feedback"]["post"]
    assert {"201", "400", "404", "413", "415", "422", "507"} <= operation["responses"].keys()
    assert set(FEEDBACK_SCHEMA.properties) == set(SEVEN)
