"""Two hundred new versions published under load: each is taken up, and no request fails."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.client import Client, get
from benchmarks.load import OK, Load
from benchmarks.payloads import mixed_requests
from benchmarks.report import Figure, at_most, exactly
from benchmarks.resilience.memory import watch_memory
from benchmarks.servers import ServerProcess, run_server
from service.artifacts import choose_version
from service.settings import load_settings, models_folder

CLIENTS = 8
POLL_S = "0.05"
PATIENCE_S = 60.0
WARM_UP = 5
"""Swaps before the memory is watched: until then there are fewer versions in it than it may hold."""
KEPT = 3
"""Older versions are deleted, so that the folder stays small."""
EXPECTED_S = 0.3
"""About how long a swap takes; spaces the samples of the memory."""


class Publisher:
    """Publishes copies of one version under new numbers, each at once, as `livedigit export` does."""

    def __init__(self, source: Path, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self.version = 0

    def publish(self) -> int:
        """Publish the next version and give its number."""
        self.version += 1
        copy = self._folder / f".{self.version}"
        shutil.copytree(self._source, copy)
        manifest = copy / "manifest.json"
        document = msgspec.json.decode(manifest.read_bytes())
        manifest.write_bytes(msgspec.json.encode({**document, "version": self.version}))
        copy.rename(self._folder / str(self.version))
        shutil.rmtree(self._folder / str(self.version - KEPT), ignore_errors=True)
        return self.version


async def swaps(count: int) -> list[Figure]:
    """Publish version after version, each as soon as the one before answers."""
    settings = load_settings()
    models = models_folder(settings)
    source = models / settings.model_name / str(choose_version(models, settings.model_name, settings.model_version))
    with tempfile.TemporaryDirectory(prefix="livedigit-models-") as folder:
        publisher = Publisher(source, Path(folder) / settings.model_name)
        publisher.publish()
        with run_server("--models-dir", folder, "--model-version", "0", "--model-poll-s", POLL_S) as server:
            return await swap_under_load(server, publisher, count)


async def swap_under_load(server: ServerProcess, publisher: Publisher, count: int) -> list[Figure]:
    """Hammer the server meanwhile."""
    load = Load(server.port, mixed_requests(), CLIENTS, fresh_every=4)
    hammering = asyncio.create_task(load.hammer())
    waits_s = [await swap_once(server.port, publisher) for _ in range(min(WARM_UP, count))]
    with watch_memory(server, count * EXPECTED_S) as memory:
        waits_s += [await swap_once(server.port, publisher) for _ in range(count - len(waits_s))]
    load.stop()
    tally = await hammering
    return [
        exactly("swaps", sum(wait_s < PATIENCE_S for wait_s in waits_s), count),
        Figure("requests meanwhile", tally.sent),
        exactly("failed requests", tally.unlike(OK), 0),
        Figure("latency, median", tally.latency_ms(0.5), "ms"),
        Figure("latency, 99.9%", tally.latency_ms(0.999), "ms"),
        Figure("latency, slowest", tally.latency_ms(1.0), "ms"),
        at_most("from published to answering, slowest", max(waits_s), PATIENCE_S, "s"),
        *memory.figures(),
    ]


async def swap_once(port: int, publisher: Publisher) -> float:
    """Publish a version and wait until it answers; the seconds that it took."""
    version = await asyncio.to_thread(publisher.publish)
    started = time.perf_counter()
    client = Client(port)
    while time.perf_counter() - started < PATIENCE_S and await served_version(client) != version:
        await asyncio.sleep(0.02)
    client.close()
    return time.perf_counter() - started


async def served_version(client: Client) -> int:
    """Ask which version answers; 0 where there is no answer."""
    outcome = await client.send(get("/health"))
    return int(msgspec.json.decode(outcome.body)["version"]) if outcome.status == OK else 0
