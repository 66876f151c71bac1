"""`python -m benchmarks footprint`: how soon the server answers, what it loads, and how much disk it takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

import click
import msgspec

from benchmarks.payloads import STROKES, draw, encode
from benchmarks.report import Figure, at_most, exactly, publish
from benchmarks.servers import run_server

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("tensorflow", "keras", "tf2onnx", "onnx", "scipy", "matplotlib")
START_TARGET_S = 1.5
SIZE_TARGET_MB = 400
BLOCK_BYTES = 512
"""What `st_blocks` counts in, whatever the file system's own blocks are."""


@click.command()
@click.option("--starts", default=5, show_default=True, help="How many times the server is started.")
@click.option("--install", is_flag=True, help="Also install the server alone into a fresh environment and weigh it.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Also write the report here.")
def footprint(starts: int, install: bool, json_file: Path | None) -> None:
    """Measure start, imports and size."""
    figures = [exactly("heavy modules imported", len(heavy_imports()), 0), *start_figures(starts)]
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
