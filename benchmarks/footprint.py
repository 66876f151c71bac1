"""`python -m benchmarks footprint`: how soon the server answers, what it loads, what memory and what disk it takes."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

import click
import msgspec
import numpy as np

from benchmarks.load import OK, Load, hammer_for
from benchmarks.options import COUNT, json_option
from benchmarks.payloads import STROKES, draw, encode, infer_request, tensors
from benchmarks.report import Figure, at_most, exactly, publish
from benchmarks.servers import run_server

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("tensorflow", "keras", "tf2onnx", "onnx", "scipy", "matplotlib")
START_TARGET_S = 1.5
SIZE_TARGET_MB = 400
BATCH = 64
BATCH_CLIENTS = 4
BATCHES_S = 5.0
BLOCK_BYTES = 512
"""What `st_blocks` counts in, whatever the file system's own blocks are."""


@click.command()
@click.option("--starts", type=COUNT, default=5, show_default=True, help="How many times the server is started.")
@click.option("--install", is_flag=True, help="Also install the server alone into a fresh environment and weigh it.")
@json_option
def footprint(starts: int, install: bool, json_file: Path | None) -> None:
    """Measure start, imports, memory and size."""
    figures = [exactly("heavy modules imported", len(heavy_imports()), 0), *start_figures(starts), *memory_figures()]
    if install:
        figures.append(at_most("slim install without pip", slim_install_mb(), SIZE_TARGET_MB, "MB"))
    publish("footprint", figures, json_file)


def heavy_imports() -> list[str]:
    """List what the server imports of the training and export side, by `-X importtime`."""
    command = [sys.executable, "-X", "importtime", "-c", "import service.server"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    modules = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    return sorted(modules & set(HEAVY))


def start_figures(starts: int) -> list[Figure]:
    """Time from starting the process to a right answer of `/predict`."""
    times = [time_start() for _ in range(starts)]
    return [
        at_most("start to first right answer, median", statistics.median(times), START_TARGET_S, "s"),
        Figure("start to first right answer, worst", max(times), "s"),
    ]


def time_start() -> float:
    """Start a server, have a seven read, and stop it."""
    started = time.perf_counter()
    with run_server() as server:
        connection = HTTPConnection("127.0.0.1", server.port)
        connection.request("POST", "/predict", encode(draw(STROKES["seven"])), {"Content-Type": "image/png"})
        digit = msgspec.json.decode(connection.getresponse().read())["digit"]
        elapsed = time.perf_counter() - started
        connection.close()
    if digit != 7:
        raise click.ClickException(f"a seven was read as {digit}")
    return elapsed


def memory_figures() -> list[Figure]:
    """Weigh a server before and after it has answered nothing but large batches for a while."""
    raw = np.resize(np.stack(tensors()), (BATCH, 28, 28, 1)).tobytes()
    with run_server() as server:
        at_first = server.memory_mib()
        tally = asyncio.run(
            hammer_for(Load(server.port, [infer_request("digits", raw, BATCH)], BATCH_CLIENTS), BATCHES_S)
        )
        afterwards = server.memory_mib()
    if tally.unlike(OK) or not tally.sent:
        raise click.ClickException(f"of {tally.sent:,} batches {tally.unlike(OK):,} failed")
    return [
        Figure("resident memory at first", round(at_first, 1), "MiB"),
        Figure(f"resident memory after {tally.sent:,} batches of {BATCH}", round(afterwards, 1), "MiB"),
    ]


def slim_install_mb() -> float:
    """Install the server as `pip install .` would, exact versions, and add up what lies on disk, pip left out."""
    with tempfile.TemporaryDirectory(prefix="livedigit-slim-") as folder:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements/serve.txt")], check=True)
        subprocess.run([*pip, "--no-deps", str(ROOT)], check=True)
        packages = next(Path(folder).glob("lib/python*/site-packages"))
        return (disk_bytes(packages) - sum(map(disk_bytes, packages.glob("pip*")))) / 1e6


def disk_bytes(folder: Path) -> int:
    """Add up what a folder takes on disk."""
    return sum(path.lstat().st_blocks for path in (folder, *folder.rglob("*"))) * BLOCK_BYTES
