"""The wheel brings the server, the page and the model to any folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    """A wheel of this checkout, built without isolation and unpacked as pip would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def livedigit(unpacked: Path, *arguments: str) -> str:
    """Run the unpacked package in an empty folder."""
    empty = unpacked.parent / "empty"
    empty.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=empty,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def test_the_page_and_the_committed_models_travel_with_the_server(unpacked):
    for folder, original in (("web", "web"), ("models", "artifacts/models")):
        inside = unpacked / "service/bundled" / folder
        names = {path.relative_to(inside) for path in inside.rglob("*") if path.is_file()}
        assert names == {path.relative_to(ROOT / original) for path in (ROOT / original).rglob("*") if path.is_file()}


def test_the_model_that_travels_answers(unpacked):
    rows = json.loads(livedigit(unpacked, "models", "list", "--json"))
    assert [row["name"] for row in rows if row["served"]] == ["digits"]
    assert ": 7 (" in livedigit(unpacked, "predict", str(ROOT / "export/drawings/7-canvas.png"))


def test_the_server_needs_neither_tensorflow_nor_its_converters(unpacked):
    metadata = next(unpacked.glob("*.dist-info/METADATA")).read_text(encoding="utf-8")
    needed = {
        re.match(r"[\w-]+", line.removeprefix("Requires-Dist: ")).group().lower()
        for line in metadata.splitlines()
        if line.startswith("Requires-Dist: ") and "extra ==" not in line
    }
    assert needed & {"tensorflow", "keras", "tf2onnx", "onnx", "scipy", "matplotlib"} == set()
    assert {"onnxruntime", "litestar", "uvicorn"} <= needed


def test_tests_and_data_stay_at_home(unpacked):
    tops = {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"}
    assert tops == {"service", "training", "export"}
