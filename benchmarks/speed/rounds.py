"""One round: every contender once, one after the other, and ours under more loads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.speed.contenders import CONTENDERS, OURS, Contender, contender_named
from benchmarks.speed.cores import Cores, running_on
from benchmarks.speed.environments import run
from benchmarks.speed.processes import Process, run_contender
from benchmarks.speed.samples import Sample, WorkersSample, pace, saturate, saturate_workers, send_many
from benchmarks.speed.workloads import Workload, Workloads

CONNECTIONS = 16
MEMORY_REQUESTS = 10_000
BATCH_CONNECTIONS = 4
"""A batch is 64 images: more of them at once only wait."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how often."""

    rounds: int
    load_s: float
    lone_s: float
    warm_s: float


FULL = Plan(rounds=5, load_s=4.0, lone_s=1.5, warm_s=0.5)
QUICK = Plan(rounds=2, load_s=1.0, lone_s=0.5, warm_s=0.3)


class ServerRound(msgspec.Struct, frozen=True, kw_only=True):
    """What every contender shows in a round, on the whole canvas."""

    start_s: float
    start_cpu_s: float
    lone: Sample
    """One connection."""
    full: Sample
    """Many connections, never idle."""
    rss_mb: float
    pss_mb: float


class Limit(msgspec.Struct, frozen=True):
    """What `benchmarks.contenders.loop` prints: images by second and by CPU second."""

    per_s: float
    per_cpu_s: float


class OwnRound(msgspec.Struct, frozen=True, kw_only=True):
    """What only ours is asked, and the limits that it is held against."""

    page: Sample
    tensor: Sample
    batch: Sample
    half: Sample
    """The whole canvas at half of the rate that it can bear."""
    one_worker: WorkersSample
    two_workers: WorkersSample
    """Server and client share both cores."""
    stages_limit: Limit
    batch_limit: Limit


class Round(msgspec.Struct, frozen=True):
    """All of one round."""

    servers: dict[str, ServerRound]
    ours: OwnRound


class Bench(NamedTuple):
    """What a run works with."""

    plan: Plan
    cores: Cores
    folders: dict[str, Path]
    """Environments by contender."""
    workloads: Workloads
    drawings: Path

    def run_round(self, number: int, tell: Callable[[str], None]) -> Round:
        """Measure everything once; every other round in reverse, so that nobody always comes after the same one."""
        servers: dict[str, ServerRound] = {}
        for contender in alternating(CONTENDERS, number):
            tell(contender.title)
            with run_contender(contender, self.folders[contender.name], {self.cores.server}, self.canvas) as process:
                servers[contender.name] = self.measure_server(process)
                if contender.name == OURS:
                    ours = self.measure_ours(process, contender, servers[OURS].full)
        return Round({contender.name: servers[contender.name] for contender in CONTENDERS}, ours)

    @property
    def canvas(self) -> Workload:
        """What all are asked."""
        return self.workloads.canvas

    def measure_server(self, process: Process) -> ServerRound:
        """Load a server with what all are asked."""
        plan = self.plan
        saturate(process, self.canvas, CONNECTIONS, plan.warm_s)
        return ServerRound(
            start_s=process.start_s,
            start_cpu_s=process.start_cpu_s,
            lone=saturate(process, self.canvas, 1, plan.lone_s),
            full=saturate(process, self.canvas, CONNECTIONS, plan.load_s),
            rss_mb=process.memory_mb("Rss"),
            pss_mb=process.memory_mb("Pss"),
        )

    def measure_ours(self, process: Process, contender: Contender, full: Sample) -> OwnRound:
        """Load ours with the rest; the limits are taken right beside what is held against them."""
        load_s = self.plan.load_s
        return OwnRound(
            stages_limit=self.measure_limit("stages"),
            half=pace(process, self.canvas, CONNECTIONS, full.images_per_s / 2, load_s),
            page=saturate(process, self.workloads.page, CONNECTIONS, load_s),
            tensor=saturate(process, self.workloads.tensor, CONNECTIONS, load_s),
            batch=saturate(process, self.workloads.batch, BATCH_CONNECTIONS, load_s),
            batch_limit=self.measure_limit("batch"),
            one_worker=self.measure_workers(contender, 1),
            two_workers=self.measure_workers(contender, 2),
        )

    def measure_limit(self, kind: str) -> Limit:
        """Run the work in a loop, without a server, on the server's core."""
        python, seconds = str(self.folders[OURS] / "bin/python"), str(self.plan.load_s)
        with running_on({self.cores.server}):
            printed = run(python, "-m", "benchmarks.contenders.loop", kind, seconds, str(self.drawings))
        return msgspec.json.decode(printed, type=Limit)

    def measure_workers(self, contender: Contender, workers: int) -> WorkersSample:
        """Load so many workers; everybody may use both cores."""
        flags = ["--workers", str(workers)]
        both = self.cores.both
        with running_on(both), run_contender(contender, self.folders[OURS], both, self.canvas, flags) as process:
            process.wait_for_workers(workers)
            saturate(process, self.canvas, CONNECTIONS, self.plan.warm_s)
            return saturate_workers(process, self.canvas, CONNECTIONS, self.plan.load_s)

    def measure_memory(self) -> ServerMemory:
        """Weigh one worker of ours after many requests."""
        with run_contender(contender_named(OURS), self.folders[OURS], {self.cores.server}, self.canvas) as process:
            send_many(process, self.canvas, CONNECTIONS, MEMORY_REQUESTS)
            return ServerMemory(process.memory_mb("Rss"), process.memory_mb("Pss"))


class ServerMemory(NamedTuple):
    """Resident and proportional memory in 10^6 bytes."""

    rss_mb: float
    pss_mb: float


def alternating(contenders: Iterable[Contender], number: int) -> list[Contender]:
    """Give an order for a round."""
    return list(contenders)[:: -1 if number % 2 else 1]
