"""Whether memory stays flat."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.report import Figure, at_most
from benchmarks.servers import ServerProcess

FLAT_PERCENT = 5.0
SAMPLES = 200
SHARE = 5
"""Memory at the start and at the end is the median of the first and of the last fifth of the samples."""


class MemoryWatch:
    """Samples of the resident memory of all processes of a server, in MiB."""

    def __init__(self) -> None:
        self.samples: list[float] = []

    def figures(self) -> list[Figure]:
        """Compare the end with the start."""
        share = max(1, len(self.samples) // SHARE)
        start, end = statistics.median(self.samples[:share]), statistics.median(self.samples[-share:])
        return [
            Figure("memory at the start", start, "MiB"),
            Figure("memory at its highest", max(self.samples), "MiB"),
            at_most("growth of memory", 100 * (end / start - 1), FLAT_PERCENT, "%"),
        ]


@contextmanager
def watch_memory(server: ServerProcess, duration_s: float) -> Iterator[MemoryWatch]:
    """Sample while the block runs; call within a running event loop."""
    watch = MemoryWatch()

    async def sample() -> None:
        while True:
            watch.samples.append(server.memory_mib())
            await asyncio.sleep(duration_s / SAMPLES)

    task = asyncio.create_task(sample())
    try:
        yield watch
    finally:
        task.cancel()
