"""What the measurements say and leave behind when they are asked for nonsense, or ended early."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import benchmarks
from benchmarks.report import Figure, make_report, write_report
from benchmarks.servers import all_pids, command_line, parent_of


def invoke(*arguments: str):
    return CliRunner().invoke(benchmarks, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["footprint", "--starts", "0"],
        ["reading", "--rounds", "-1"],
        ["variants", ".", ".", "--rounds", "0"],
        ["profile", "--seconds", "0"],
        ["scaling", "--seconds", "inf"],
        *(["resilience", "soak", "--minutes", minutes] for minutes in ("0", "-1", "nan", "inf")),
        ["resilience", "overload", "--workers", "0"],
        ["resilience", "swaps", "--count", "0"],
        ["resilience", "sigterm", "--rounds", "0"],
        ["resilience", "kill", "--rounds", "0"],
        ["resilience", "fuzz", "--cases", "0"],
        ["resilience", "fuzz", "--first", "-1"],
    ],
    ids=" ".join,
)
def test_a_measurement_of_nothing_is_a_usage_error(arguments):
    answer = invoke(*arguments)
    assert answer.exit_code == 2
    assert "Invalid value" in answer.output


@pytest.mark.parametrize("place", [".", "file/report.json"])
def test_a_report_that_cannot_be_written_is_refused_before_the_work(tmp_path, place):
    (tmp_path / "file").touch()
    answer = invoke("variants", ".", ".", "--json", str(tmp_path / place))
    assert answer.exit_code == 2
    assert "--json" in answer.output


def test_a_report_without_a_name_is_refused():
    """As of a variable that is not set."""
    answer = invoke("variants", ".", ".", "--json", "")
    assert answer.exit_code == 2
    assert "--json" in answer.output


def test_a_report_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "report.json"
    file.write_text("the last one")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: pytest.fail("power cut"))
    with contextlib.suppress(pytest.fail.Exception):
        write_report(make_report("nothing", [Figure("none", 0)]), file)
    assert file.read_text() == "the last one"


def test_the_folder_of_a_report_is_made(tmp_path, repo_root):
    file = tmp_path / "new" / "report.json"
    version = str(repo_root / "artifacts/models/digits/4")
    invoke("variants", version, version, "--rounds", "1", "--json", str(file))
    assert json.loads(file.read_text())["scenario"] == "variants"
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_what_is_no_version_is_named_in_one_line(tmp_path):
    answer = invoke("variants", str(tmp_path), str(tmp_path))
    assert answer.exit_code == 1
    assert answer.output.startswith(f"Error: {tmp_path}")
    assert answer.output.count("\n") == 1


@pytest.mark.parametrize("arguments", [["reading"], ["resilience", "soak"]], ids=" ".join)
def test_a_measurement_that_is_ended_leaves_no_server_behind(repo_root, arguments):
    measuring = subprocess.Popen([sys.executable, "-m", "benchmarks", *arguments], cwd=repo_root)
    try:
        servers: list[int] = []
        while measuring.poll() is None and not servers:
            time.sleep(0.05)
            servers = [
                pid
                for pid in all_pids()
                if parent_of(pid) == measuring.pid and b"serve" in command_line(pid).split(b"\0")
            ]
        measuring.terminate()
        assert measuring.wait(120) == 143
        assert command_line(*servers) == b""
    finally:
        measuring.kill()
        measuring.wait()
