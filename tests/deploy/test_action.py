"""The GitHub Action without GitHub: its own steps, run by bash with the variables that a runner sets."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXPRESSION = re.compile(r"\$\{\{ *inputs\.([a-z-]+) *\}\}")
MODEL = "artifacts/saved_models/digits/1"
ONNX = "artifacts/models/digits/1/model.onnx"


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return document


def run_step(action: dict[str, Any], name: str, inputs: dict[str, str], runner: Path) -> tuple[int, str]:
    """Run one step as a runner would; give its exit status and the job's summary."""
    (step,) = [step for step in action["runs"]["steps"] if step.get("name") == name]
    given = {key: str(value.get("default", "")) for key, value in action["inputs"].items()} | inputs
    summary = runner / "summary.md"
    environment = {key: EXPRESSION.sub(lambda found: given[found[1]], text) for key, text in step["env"].items()}
    assert not [text for text in environment.values() if "${{" in text]
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={**os.environ, "RUNNER_TEMP": str(runner), "GITHUB_STEP_SUMMARY": str(summary), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, summary.read_text(encoding="utf-8") if summary.exists() else done.stderr


@pytest.fixture
def runner(tmp_path: Path) -> Path:
    """A runner's temporary folder, in which the Install step's work is done already."""
    (tmp_path / "livedigit").symlink_to(sys.prefix, target_is_directory=True)
    return tmp_path


def test_the_callers_python_stays_on_the_path(action: dict[str, Any]) -> None:
    """setup-python puts its own first unless it is told not to, and the caller's next steps would run another."""
    python = next(step for step in action["runs"]["steps"] if step.get("uses", "").startswith("actions/setup-python@"))
    install = next(step for step in action["runs"]["steps"] if step.get("name") == "Install")
    assert python["with"]["update-environment"] is False
    assert install["env"]["PYTHON"] == f"${{{{ steps.{python['id']}.outputs.python-path }}}}"
    assert install["run"].startswith('"$PYTHON" -m venv ')


@pytest.mark.tensorflow
def test_the_verify_step_reports_agreement(action: dict[str, Any], runner: Path) -> None:
    report = runner / "report"
    status, summary = run_step(action, "Verify", {"model": MODEL, "onnx": ONNX, "report": str(report)}, runner)
    assert status == 0, summary
    assert "They agree" in summary
    assert json.loads((report / "parity.json").read_bytes())["verdict"] == "agree"
    assert (report / "junit.xml").is_file()


@pytest.mark.tensorflow
def test_the_verify_step_fails_where_the_models_differ(action: dict[str, Any], runner: Path) -> None:
    other = "artifacts/models/digits/2/model.onnx"
    inputs = {"model": MODEL, "onnx": other, "batch": "1", "report": str(runner / "report")}
    status, summary = run_step(action, "Verify", inputs, runner)
    assert status == 1
    assert "Yes, a bug" in summary


def test_the_golden_step_replays_a_published_version(action: dict[str, Any], runner: Path) -> None:
    status, summary = run_step(action, "Replay golden examples", {"golden": "artifacts/models/digits/1"}, runner)
    assert status == 0, summary
    assert "golden examples answered as TensorFlow did" in summary


def test_the_golden_step_fails_on_a_spoilt_version(action: dict[str, Any], runner: Path) -> None:
    """The command's status must not be lost in the pipe to the summary."""
    (runner / "digits/1").mkdir(parents=True)
    status, _ = run_step(action, "Replay golden examples", {"golden": str(runner / "digits/1")}, runner)
    assert status != 0
