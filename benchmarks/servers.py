"""The server under test: a real `livedigit serve` on a free loopback port, its processes and their memory."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

WORKER_STARTED = "Application startup complete"
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 60
POLL_S = 0.05
ESTABLISHED = "01"
LISTENING_ON = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")


class ServerFailed(click.ClickException):
    """The server did not start or did not stop."""


class ServerProcess:
    """A running server; `run_server` makes and ends it."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.port = 0
        self._log = log

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self) -> None:
        """Wait until it is ready and all its workers answer. Raises `ServerFailed`."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerFailed(f"the server ended with {self.process.returncode}:\n{self.log}")
            if self._is_ready() and self.log.count(WORKER_STARTED) >= len(self.worker_pids()):
                return
            time.sleep(POLL_S)
        raise ServerFailed(f"not ready after {START_TIMEOUT_S} s:\n{self.log}")

    def _is_ready(self) -> bool:
        found = LISTENING_ON.search(self.log)
        if found is None:
            return False
        self.port = int(found[1])
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_TIMEOUT_S)
        try:
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def worker_pids(self) -> list[int]:
        """List the processes that answer: the workers, or the only process."""
        return children_of(self.process.pid) or [self.process.pid]

    def memory_mib(self) -> float:
        """Add up the resident memory of all its processes."""
        return sum(resident_mib(pid) for pid in {self.process.pid, *children_of(self.process.pid)})

    def wait(self) -> int:
        """Wait for its end and give the exit status. Raises `ServerFailed`."""
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise ServerFailed(f"still running {STOP_TIMEOUT_S} s after SIGTERM:\n{self.log}") from error


@contextlib.contextmanager
def run_server(*flags: str) -> Iterator[ServerProcess]:
    """Start a server, wait until it is ready, and end it and all its processes whatever happens."""
    with tempfile.TemporaryDirectory(prefix="livedigit-benchmark-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            command = [sys.executable, "-m", "service", "serve", "--port", "0", *flags]
            # A session of its own, so that a worker that outlives its supervisor can be ended too.
            process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)
        server = ServerProcess(process, log)
        try:
            server.wait_until_ready()
            yield server
        finally:
            end_session(process)


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to stop, then end what is left of its session."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def children_of(pid: int) -> list[int]:
    """List the workers that a supervisor has spawned."""
    return sorted(child for child in all_pids() if parent_of(child) == pid and b"spawn_main" in command_line(child))


def all_pids() -> list[int]:
    """List every process."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def parent_of(pid: int) -> int:
    """Read a process's parent; 0 where the process is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # The name in parentheses may hold anything, so read from its end.
    return int(stat.rpartition(")")[2].split()[1])


def command_line(pid: int) -> bytes:
    """Read a process's arguments; empty where the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def resident_mib(pid: int) -> float:
    """Read a process's resident memory; 0 where the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def connections_of(pid: int, port: int) -> int:
    """Count the established connections to a port that a process holds."""
    established = established_sockets(port)
    count = 0
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                count += str(entry.readlink()) in established
    return count


def established_sockets(port: int) -> set[str]:
    """List the kernel's established sockets on a local port, as `/proc/PID/fd` names them."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    suffix = f":{port:04X}"
    return {f"socket:[{row[9]}]" for row in rows if row[1].endswith(suffix) and row[3] == ESTABLISHED}
