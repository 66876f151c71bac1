"""A contender as a process: started on its core, timed to its first right answer, weighed, and ended."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvloop

from benchmarks.client import HOST, Client, Outcome
from benchmarks.load import OK
from benchmarks.servers import WORKER_STARTED, ServerFailed, all_pids, connections_of, end_session, parent_of
from benchmarks.speed.contenders import Contender, environment
from benchmarks.speed.cores import running_on
from benchmarks.speed.environments import ROOT
from benchmarks.speed.workloads import Workload

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 90
RETRY_S = 0.002


class Process:
    """A running contender and all its descendants."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.pid = process.pid
        self.port = port
        self._process = process
        self._log = log
        self.start_s = 0.0
        """From its creation to its first right answer."""
        self.start_cpu_s = 0.0
        """CPU time of all its processes until then."""

    def pids(self) -> list[int]:
        """List itself and its descendants."""
        parents = {pid: parent_of(pid) for pid in all_pids()}
        found = [self.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def cpu_s(self) -> float:
        """Add up the CPU time that its processes have used."""
        return sum(map(cpu_s, self.pids()))

    def busier_share(self) -> float:
        """Give the share of all connections that the process with most of them holds; there must be some."""
        counts = [connections_of(pid, self.port) for pid in self.pids()]
        return max(counts) / sum(counts)

    def memory_mb(self, kind: str) -> float:
        """Add up the resident (`Rss`) or the proportional (`Pss`) memory of its processes, in 10^6 bytes."""
        return sum(memory_kb(pid, kind) for pid in self.pids()) * 1024 / 1e6

    def wait_for_answer(self, workload: Workload) -> None:
        """Ask until the answer is right. Raises `ServerFailed`."""

        def is_right() -> bool:
            outcome = ask(self.port, workload.requests[0])
            return outcome.status == OK and workload.check(0, outcome.body)

        self._wait_until(is_right, "gave no right answer")

    def wait_for_workers(self, workers: int) -> None:
        """Wait until so many workers of ours have said that they are ready. Raises `ServerFailed`."""
        self._wait_until(lambda: self.log.count(WORKER_STARTED) >= workers, f"did not start {workers} workers")

    @property
    def log(self) -> str:
        """What it has printed."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _wait_until(self, is_reached: Callable[[], bool], failure: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            if is_reached():
                return
            time.sleep(RETRY_S)
        if self._process.poll() is not None:
            failure = f"ended with {self._process.returncode}"
        raise ServerFailed(f"{self._process.args!r} {failure} in {START_TIMEOUT_S} s:\n{self.log}")


@contextlib.contextmanager
def run_contender(
    contender: Contender, folder: Path, cores: set[int], workload: Workload, flags: Sequence[str] = ()
) -> Iterator[Process]:
    """Start a contender on its cores, wait for its first right answer, and end it whatever happens.

    Raises `ServerFailed` where it ends, or gives no right answer in time.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="livedigit-contender-") as scratch:
        log = Path(scratch) / "log"
        started = time.perf_counter()
        with log.open("wb") as output, running_on(cores):
            # A session of its own, so that all it has started can be ended too.
            popen = subprocess.Popen(
                [*contender.command(folder / "bin", port), *flags],
                cwd=ROOT, env=environment(contender), stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        process = Process(popen, port, log)
        try:
            process.wait_for_answer(workload)
            process.start_s = time.perf_counter() - started
            process.start_cpu_s = process.cpu_s()
            yield process
        finally:
            end_session(popen)


def free_port() -> int:
    """Ask the kernel for a port that nobody uses."""
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        return int(holder.getsockname()[1])


def ask(port: int, request: bytes) -> Outcome:
    """Send one request over a connection of its own."""

    async def send() -> Outcome:
        client = Client(port, keep_alive=False)
        return await client.send(request)

    return uvloop.run(send())


def cpu_s(pid: int) -> float:
    """Read the CPU seconds of a process, user and system; 0 where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0.0
    # The name in parentheses may hold anything; behind it, utime and stime are the fields 12 and 13 from the state on.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_kb(pid: int, kind: str) -> int:
    """Read a sum from `smaps_rollup`; 0 where the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{kind}:")), 0)
