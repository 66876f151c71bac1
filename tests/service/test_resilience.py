"""What must not be lost: requests that have reached the machine when the server stops, and workers when it swaps."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import uvloop

from service.door import ACCEPTED_BY_EACH, AcceptingLoop, Door, bar, is_barred
from service.errors import LiveDigitError, UndecodableImage
from service.metrics import FILES, RESERVED_BYTES, reserve_room
from service.preprocessing import prepare_image
from service.protocol import is_readable
from service.server import WORKER_TIMEOUT_S, metrics_folder

PATIENCE_S = 60
BLOCK_BYTES = 512
"""The unit of `st_blocks`."""
ASKING_S = 2
"""In which the supervisor has surely asked a worker how it is."""


def wait_until(is_true: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not is_true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def read_to_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def is_let_in(address: tuple[str, int]) -> bool:
    """Over loopback a handshake is done before `connect` returns."""
    with socket.socket() as newcomer:
        newcomer.setblocking(False)
        newcomer.connect_ex(address)
        try:
            newcomer.getpeername()
        except OSError:
            return False
        return True


def test_a_barred_door_lets_nobody_in_and_keeps_who_waits(listener):
    address = listener.getsockname()
    with socket.create_connection(address) as waiting:
        waiting.sendall(b"before")
        assert is_let_in(address)
        assert not is_barred(listener.fileno())
        bar(listener.fileno())
        assert is_barred(listener.fileno())
        assert not is_let_in(address)
        accepted, _ = listener.accept()
        with accepted:
            waiting.sendall(b" and after")
            waiting.shutdown(socket.SHUT_WR)
            assert read_to_end(accepted) == b"before and after"


def test_a_queue_is_readable_until_it_is_empty(listener):
    assert not is_readable(listener.fileno())
    with socket.create_connection(listener.getsockname()):
        assert is_readable(listener.fileno())
        listener.accept()[0].close()
        assert not is_readable(listener.fileno())


async def turns_to_let_in(count: int) -> int:
    """Connect, then count the turns that the event loop takes to accept everybody."""
    accepted: list[asyncio.BaseTransport] = []

    class Guest(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport)

    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    server = await asyncio.get_running_loop().create_server(Guest, sock=listener, backlog=2048)
    guests = [socket.create_connection(listener.getsockname()) for _ in range(count)]
    turns = 0
    while len(accepted) < count:
        await asyncio.sleep(0)
        turns += 1
    for closing in (*accepted, server, *guests, listener):
        closing.close()
    return turns


def test_everybody_who_waits_at_the_door_is_let_in_at_once():
    """uvloop's own loop takes a turn per connection; the day it does not, ours can go."""
    count = 100
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(turns_to_let_in(count)) >= count
    with asyncio.Runner(loop_factory=AcceptingLoop) as runner:
        assert runner.run(turns_to_let_in(count)) < count / 4


def test_a_worker_that_has_accepted_leaves_the_next_to_the_others(listener, monkeypatch):
    monkeypatch.setattr("service.door.ASIDE_S", 60)
    accepted = []

    class Guest(asyncio.Protocol):
        def connection_made(self, transport):
            accepted.append(transport)

    async def main() -> int:
        guests = [socket.create_connection(listener.getsockname()) for _ in range(6)]
        door = Door(asyncio.get_running_loop(), Guest, listener, ACCEPTED_BY_EACH)
        for _ in range(100):
            await asyncio.sleep(0)
        count = len(accepted)
        for closing in (*accepted, door, *guests):
            closing.close()
        return count

    assert asyncio.run(main()) == ACCEPTED_BY_EACH


def test_a_door_that_cannot_accept_tries_again(listener, caplog):
    """Out of descriptors, the queue stays readable: without a pause the loop would spin."""

    class Exhausted:
        def __init__(self) -> None:
            self.calls = 0

        def accept(self) -> tuple[socket.socket, object]:
            self.calls += 1
            raise OSError(errno.EMFILE, "Too many open files")

        def setblocking(self, flag: bool) -> None:
            pass

        def fileno(self) -> int:
            return int(listener.fileno())

    async def main() -> int:
        exhausted = Exhausted()
        door = Door(asyncio.get_running_loop(), asyncio.Protocol, exhausted, 10)
        with socket.create_connection(listener.getsockname()):
            for _ in range(100):
                await asyncio.sleep(0)
        door.close()
        return exhausted.calls

    assert asyncio.run(main()) == 1
    assert "Too many open files" in caplog.text


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_that_has_begun_to_arrive_is_answered_after_sigterm(start_server, seven, encode, workers):
    server = start_server("--workers", workers)
    body = json.dumps({"image": base64.b64encode(encode(seven)).decode()}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head[:20].encode())
        server.process.terminate()
        wait_until(lambda: "Shutting down" in server.output)
        connection.sendall(head[20:].encode() + body)
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert server.process.wait(PATIENCE_S) == 0


def test_sighup_swaps_the_model_in_every_worker_and_restarts_none(start_server, models_dir, publish):
    server = start_server("--workers", "2", "--models-dir", str(models_dir))
    wait_until(lambda: server.output.count("Application startup complete") == 2)
    publish(2)
    os.kill(server.process.pid, signal.SIGHUP)
    assert server.output.count("serving digits version 1") == 2
    wait_until(lambda: server.output.count("serving digits version 2") == 2)
    assert server.output.count("Started server process") == 2


def is_loading(pid: int) -> bool:
    """Tell whether a process has begun to load what it serves with."""
    return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_while_a_process_starts_does_not_end_it(begin_server, workers):
    server = begin_server("--workers", str(workers))

    def loading() -> list[int]:
        pid = server.process.pid
        return [process for process in (children(pid) if workers > 1 else [pid]) if is_loading(process)]

    wait_until(lambda: len(loading()) == workers)
    hung_up = [server.process.pid, *loading()]

    def is_done() -> bool:
        for pid in hung_up:
            os.kill(pid, signal.SIGHUP)
        return server.output.count("Application startup complete") == workers

    wait_until(is_done)
    assert server.output.count("Started server process") == workers
    assert server.stop() == 0


def test_a_worker_is_replaced_even_where_the_newest_version_is_broken(start_server, models_dir, publish):
    """What the others refused while they served must not keep a newcomer from joining them."""
    server = start_server("--workers", "2", "--models-dir", str(models_dir))
    wait_until(lambda: server.output.count("Application startup complete") == 2)
    publish(2)
    (models_dir / "digits/2/model.onnx").write_bytes(b"broken")
    os.kill(int(re.findall(r"Started server process \[(\d+)\]", server.output)[0]), signal.SIGKILL)
    wait_until(lambda: server.output.count("Application startup complete") == 3)
    assert "version 2 is refused" in server.output
    assert server.output.count("serving digits version 1") == 3
    assert server.stop() == 0


def test_a_worker_that_ends_while_it_is_asked_how_it_is_is_replaced_at_once(start_server):
    server = start_server("--workers", "2")
    wait_until(lambda: server.output.count("Application startup complete") == 2)
    worker = int(re.findall(r"Started server process \[(\d+)\]", server.output)[0])
    os.kill(worker, signal.SIGSTOP)
    time.sleep(ASKING_S)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: server.output.count("Application startup complete") == 3, WORKER_TIMEOUT_S / 2)
    assert f"worker {worker} has ended (SIGKILL) and is replaced" in server.output
    assert server.stop() == 0


def test_workers_end_when_their_supervisor_is_killed(start_server, tmp_path):
    server = start_server("--workers", "2", environment={"TMPDIR": str(tmp_path)})
    wait_until(lambda: server.output.count("Application startup complete") == 2)
    workers = [int(pid) for pid in re.findall(r"Started server process \[(\d+)\]", server.output)]
    server.process.kill()
    try:
        wait_until(lambda: server.output.count("Finished server process") == 2)
        with socket.create_server(("127.0.0.1", server.port)):
            pass
    finally:
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_disk_without_room_for_figures_leaves_none_that_a_scrape_would_read(monkeypatch, tmp_path):
    """prometheus-client cannot read a file that is empty or cut short, so that every scrape failed from then on."""
    seen = []

    def fail(written: Path, target: Path) -> Path:
        assert written.exists()
        seen.extend(tmp_path.glob("*.db"))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(LiveDigitError, match="No space left"):
        reserve_room(tmp_path)
    assert not seen
    assert not list(tmp_path.iterdir())


def test_room_is_taken_for_the_figures_of_a_worker_before_a_disk_may_be_full(start_server, tmp_path):
    """What a hole in a mapped file would need later, the kernel could only refuse by ending the process."""
    server = start_server("--workers", "2", environment={"TMPDIR": str(tmp_path)})
    wait_until(lambda: server.output.count("Application startup complete") == 2)
    for path in ("/", "/health", "/metrics", "/feedback", "/schema", "/v2", "/v2/health/live", "/v2/models/digits"):
        for method in ("GET", "POST", "PUT"):
            httpx.request(method, f"{server.url}{path}")
    names: Counter[str] = Counter()
    for path in tmp_path.glob("livedigit-metrics-*/*"):
        names[path.stem.rpartition("_")[0]] += 1
        assert path.stat().st_size == RESERVED_BYTES
        assert path.stat().st_blocks * BLOCK_BYTES >= RESERVED_BYTES
        assert int.from_bytes(path.read_bytes()[:4], sys.byteorder) < RESERVED_BYTES / 2, "used"
    assert names == dict.fromkeys(FILES, 2)


def test_no_room_for_the_figures_is_told(tmp_path):
    with pytest.raises(LiveDigitError, match=r"no room for the workers' metrics in .*/nowhere: .*; see TMPDIR"):
        reserve_room(tmp_path / "nowhere")


def test_no_folder_for_the_figures_is_told(monkeypatch, tmp_path):
    """As in a container whose root file system is read-only, where nothing is mounted at /tmp."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(LiveDigitError, match=r"no folder for the workers' metrics: .*TMPDIR.*--workers 1"):
        metrics_folder()


ORPHAN = """
import multiprocessing, os, signal
from service.process import follow_parent

def follow_too_late():
    multiprocessing.parent_process().join()
    signal.signal(signal.SIGTERM, lambda *_: print("told to stop"))
    follow_parent()

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=follow_too_late).start()
    os._exit(0)
"""


def test_a_worker_that_looks_after_its_supervisor_has_ended_ends_too(repo_root, tmp_path):
    """The kernel tells it only of what happens from then on."""
    (tmp_path / "orphan.py").write_text(ORPHAN)
    command = [sys.executable, str(tmp_path / "orphan.py")]
    environment = {**os.environ, "PYTHONPATH": str(repo_root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert done.stdout == "told to stop\n", done.stderr


def test_workers_that_cannot_start_end_the_server_with_the_reason(repo_root, tmp_path):
    (tmp_path / "a-file").touch()
    flags = ["serve", "--port", "0", "--workers", "2", "--feedback-dir", str(tmp_path / "a-file")]
    command = [sys.executable, "-m", "service", *flags]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].startswith("livedigit: --feedback-dir")
    assert "Traceback" not in done.stderr


ENDLESS = "9" * 5000
"""More digits than Python reads without being asked to."""
V2 = "/v2/models/digits/infer"


def tensor_request(shape: str, data: str = '"data": []') -> bytes:
    return f'{{"inputs": [{{"name": "image", "datatype": "FP32", "shape": {shape}, {data}}}]}}'.encode()


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        (f"/v2/models/digits/versions/{ENDLESS}/infer", {}, b"{}", 404),
        (V2, {"Inference-Header-Content-Length": ENDLESS}, b"{}", 400),
        (V2, {}, tensor_request(f"[{ENDLESS}]"), 400),
        (V2, {}, tensor_request(f"[0, {2**70}]"), 400),
        (V2, {}, tensor_request("[0, 9223372036854775807]", '"parameters": {"binary_data_size": 0}'), 400),
        (V2, {}, tensor_request("[1]", f'"parameters": {{"binary_data_size": {ENDLESS}}}'), 400),
        (V2, {}, tensor_request("[1, 1]", f'"data": [[{ENDLESS}]]'), 400),
        ("/v2/repository/index", {}, f'{{"ready": {ENDLESS}}}'.encode(), 400),
        (
            "/predict",
            {"Content-Type": "multipart/form-data; boundary=x"},
            b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n\x89PNG\r\n--x--\r\n',
            422,
        ),
    ],
)
def test_what_fuzzing_found_is_refused(client, path, headers, body, status):
    """Each of these, or its like, was once answered with 500."""
    answer = client.post(path, headers=headers, content=body)
    assert answer.status_code == status, answer.text


def test_a_palette_image_without_its_palette_is_damaged(seven, encode):
    """Pillow answers with an AssertionError."""
    png = encode(seven.convert("P"))
    start = png.index(b"PLTE") - 4
    (length,) = struct.unpack_from(">I", png, start)
    with pytest.raises(UndecodableImage, match="damaged"):
        prepare_image(png[:start] + png[start + 12 + length :])
