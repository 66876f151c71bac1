"""The server as a process: how it starts, what it says, how it ends."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

COMMAND = [sys.executable, "-m", "service"]
TIMEOUT_S = 60


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def assert_one_line(done: subprocess.CompletedProcess[str], status: int, words: str) -> None:
    """A failure is one line on stderr, with what to do, and no traceback."""
    assert done.returncode == status, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("livedigit: ")
    assert words in last
    assert "Traceback" not in done.stderr


def as_json(image: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(image).decode()}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_it_answers_and_stops_on_sigterm_with_zero(start_server, seven, encode, workers):
    server = start_server("--workers", workers)
    for _ in range(8):
        assert httpx.post(f"{server.url}/predict", json=as_json(encode(seven))).json()["digit"] == 7
    assert server.stop() == 0, server.output
    assert "Traceback" not in server.output


def test_it_stops_on_ctrl_c_with_zero(start_server):
    server = start_server()
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(TIMEOUT_S) == 0
    assert "Traceback" not in server.output


def test_it_starts_without_a_model_and_says_so(start_server, tmp_path):
    server = start_server("--models-dir", str(tmp_path))
    answer = httpx.post(f"{server.url}/predict", json={"image": ""})
    assert answer.status_code == 503
    assert "livedigit export" in answer.json()["detail"]
    assert "serving without a model" in server.output


def test_a_port_in_use_ends_the_start_in_one_line(repo_root):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert_one_line(run("serve", "--port", str(port), cwd=repo_root), 1, "choose another")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_damaged_model_ends_the_start_in_one_line(repo_root, models_dir, workers):
    model = models_dir / "digits/1/model.onnx"
    content = bytearray(model.read_bytes())
    content[1000] ^= 1
    model.write_bytes(content)
    done = run("serve", "--port", "0", "--workers", workers, "--models-dir", str(models_dir), cwd=repo_root)
    assert_one_line(done, 4, "sha256")


def test_a_version_that_is_not_there_ends_the_start_in_one_line(repo_root):
    assert_one_line(run("serve", "--port", "0", "--model-version", "99", cwd=repo_root), 1, "not 99")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_pin_to_a_version_that_is_not_there_ends_the_start_in_one_line(repo_root, models_dir, workers):
    (models_dir / "digits/pinned").write_text("9")
    done = run("serve", "--port", "0", "--workers", workers, "--models-dir", str(models_dir), cwd=repo_root)
    assert_one_line(done, 1, "not 9")


def test_a_bad_setting_ends_the_start_in_one_line(repo_root):
    assert_one_line(run("serve", cwd=repo_root, LIVEDIGIT_WORKERS="many"), 2, "LIVEDIGIT_WORKERS")


def test_settings_can_be_printed_without_starting(repo_root):
    done = run("serve", "--print-config", "--port", "9000", cwd=repo_root, LIVEDIGIT_WORKERS="3")
    settings = json.loads(done.stdout)
    assert (settings["port"], settings["workers"]) == (9000, 3)


def test_json_logs_are_json(start_server):
    server = start_server("--log-format", "json")
    server.stop()
    lines = [json.loads(line) for line in server.lines]
    assert any("listening on" in line["message"] for line in lines)
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)


def test_an_odd_image_leaves_nothing_in_the_log(start_server, seven, encode):
    """Pillow warns of each tag that has no data, and a file may have 65,535 of them."""
    server = start_server("--log-format", "json")
    tags = struct.pack(">HHHLLHHLLL", 2, 0x112, 3, 1, 6 << 16, 0x9286, 7, 9_999, 38, 0)
    image = encode(seven, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08" + tags)
    answer = httpx.post(f"{server.url}/predict", content=image, headers={"Content-Type": "image/jpeg"})
    server.stop()
    assert answer.status_code == 200, answer.text
    assert all(line.startswith("{") for line in server.lines), server.output
