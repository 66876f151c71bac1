"""What every test may ask for: real data, our own drawings, and a real server on a free loopback port."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest

from training.quiet import FAST_KERNELS

# As the commands do before they import TensorFlow; some tests import it without them, and it looks only once.
os.environ.setdefault(FAST_KERNELS, "1")

# A slow machine is no defect.
hypothesis.settings.register_profile("livedigit", deadline=None)
hypothesis.settings.load_profile("livedigit")

REPO_ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30


class RunningServer:
    """A `livedigit serve` process of this checkout, and what it printed."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "service", "serve", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=REPO_ROOT,
            env={**os.environ, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        # A pipe that nobody reads fills up and stops the server.
        self.reader = threading.Thread(target=self._read_output, daemon=True)
        self.reader.start()

    def _read_output(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_until_answering(self) -> RunningServer:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                pytest.fail(f"the server ended with {self.process.returncode}:\n{self.output}")
            try:
                httpx.get(f"{self.url}/health", timeout=5)
            except httpx.TransportError:
                time.sleep(0.02)
            else:
                return self
        pytest.fail(f"no answer after {START_TIMEOUT_S} s:\n{self.output}")

    def stop(self) -> int:
        """End the process and wait for it; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.reader.join(STOP_TIMEOUT_S)
            if self.process.stdout is not None:
                self.process.stdout.close()
        return status


def free_port() -> int:
    """Ask the kernel for a port that nobody uses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return REPO_ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with mnist/ and pendigits/."""
    folder = os.environ.get("LIVEDIGIT_DATA_DIR")
    if folder and Path(folder).is_dir():
        return Path(folder).resolve()
    reason = f"LIVEDIGIT_DATA_DIR is {folder!r}, not a folder with mnist/ and pendigits/"
    raise (pytest.fail if os.environ.get("CI") else pytest.skip).Exception(reason)


@pytest.fixture(scope="session")
def drawings() -> list[dict[str, Any]]:
    """Our own drawings: name, label and strokes on a 280x280 canvas."""
    text = (REPO_ROOT / "tests/fixtures/strokes/digits.json").read_text(encoding="utf-8")
    return list(json.loads(text))


@contextmanager
def ending_servers() -> Iterator[Callable[..., RunningServer]]:
    """Begin to start servers, and end them all at the end."""
    servers: list[RunningServer] = []

    def begin(*arguments: str, environment: dict[str, str] | None = None) -> RunningServer:
        servers.append(RunningServer(*arguments, environment=environment))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()


@pytest.fixture
def begin_server() -> Iterator[Callable[..., RunningServer]]:
    """Begin to start servers that end with the test."""
    with ending_servers() as begin:
        yield begin


@pytest.fixture(scope="module")
def start_shared_server() -> Iterator[Callable[..., RunningServer]]:
    """Start servers, which answer by then and end with the module."""
    with ending_servers() as begin:
        yield lambda *arguments: begin(*arguments).wait_until_answering()


@pytest.fixture
def start_server(begin_server: Callable[..., RunningServer]) -> Callable[..., RunningServer]:
    """Start servers, which answer by then and end with the test."""

    def start(*arguments: str, environment: dict[str, str] | None = None) -> RunningServer:
        return begin_server(*arguments, environment=environment).wait_until_answering()

    return start


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """A server with the committed model and default settings, shared by the whole run."""
    running = RunningServer()
    try:
        yield running.wait_until_answering()
    finally:
        running.stop()
