"""Prometheus metrics, right across several workers.

With more than one worker, `PROMETHEUS_MULTIPROC_DIR` names a folder in which each keeps its figures, and a scrape of
any worker adds them up; prometheus-client reads the variable when it is first imported, so the supervisor sets it
before a worker starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from service.contract import Manifest
from service.errors import LiveDigitError
from service.files import write_whole

MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"
LATENCY_BUCKETS_S = (
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0,
)  # fmt: skip
RESERVED_BYTES = 256 * 1024
"""Of each file of a worker; all figures of all routes take less than half."""
FILES = "counter", "histogram", "gauge_livesum", "gauge_livemax"
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)


class Metrics:
    """The metrics of one application."""

    def __init__(self) -> None:
        """Raise `LiveDigitError` where several workers have no room for their figures."""
        if folder := os.environ.get(MULTIPROCESS_DIR):
            reserve_room(Path(folder))
        self._registry = CollectorRegistry()
        # To look a label up takes longer than to count, so what is counted with every request is kept.
        self._requests = cache(self._counter("requests", "Requests answered.", "handler", "status").labels)
        durations = self._histogram(
            "request_duration_seconds", "From the request's head to the answer's.", LATENCY_BUCKETS_S, "handler"
        )
        self._durations = cache(durations.labels)
        stages = self._histogram("stage_duration_seconds", "The stages of a prediction.", LATENCY_BUCKETS_S, "stage")
        self._stages = cache(stages.labels)
        self._images = cache(self._counter("images", "Images and tensors classified.", "model", "version").labels)
        self._predictions = cache(self._counter("predictions", "Answers of /predict by digit.", "digit").labels)
        self._numbers = cache(self._counter("numbers", "Answers of /read by number of digits.", "digits").labels)
        self._confidence = self._histogram("confidence", "Confidence of the answers of /predict.", CONFIDENCE_BUCKETS)
        self._corrections = self._outcomes("corrections", "Corrections sent by users.", "kept", "refused")
        self._swaps = self._outcomes("model_loads", "Models loaded while serving.", "loaded", "refused")
        self._pending = self._gauge("pending_inferences", "Inferences at work or waiting.", "livesum")
        self._info = self._gauge("model_info", "The model that answers.", "livemax", "model", "version", "sha256")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"livedigit_{name}", text, labels, registry=self._registry)

    def _outcomes(self, name: str, text: str, *outcomes: str) -> Counter:
        """Make a counter that has every outcome from the start: Prometheus sees no increase in what begins with 1."""
        counter = self._counter(name, text, "outcome")
        for outcome in outcomes:
            counter.labels(outcome)
        return counter

    def _gauge(self, name: str, text: str, mode: Literal["livesum", "livemax"], *labels: str) -> Gauge:
        return Gauge(f"livedigit_{name}", text, labels, registry=self._registry, multiprocess_mode=mode)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"livedigit_{name}", text, labels, registry=self._registry, buckets=buckets)

    def count_request(self, handler: str, status: int, duration_s: float) -> None:
        """Count an answered request."""
        self._requests(handler, str(status)).inc()
        self._durations(handler).observe(duration_s)

    def count_prediction(self, manifest: Manifest, digit: str, confidence: float, stages: Mapping[str, float]) -> None:
        """Count an answer of `/predict`."""
        self.count_images(manifest, 1)
        self._predictions(digit).inc()
        self._confidence.observe(confidence)
        for stage, duration_s in stages.items():
            self._stages(stage).observe(duration_s)

    def count_reading(self, manifest: Manifest, digits: int, candidates: int, stages: Mapping[str, float]) -> None:
        """Count an answer of `/read`, and the pictures that the model was asked about for it."""
        self.count_images(manifest, candidates)
        self._numbers(str(digits)).inc()
        for stage, duration_s in stages.items():
            self._stages(stage).observe(duration_s)

    def count_images(self, manifest: Manifest, count: int) -> None:
        """Count classified images."""
        self._images(manifest.name, str(manifest.version)).inc(count)

    def count_correction(self, kept: bool) -> None:
        """Count a correction that a user has sent."""
        self._corrections.labels("kept" if kept else "refused").inc()

    def count_load(self, succeeded: bool) -> None:
        """Count an attempt to load a model while serving."""
        self._swaps.labels("loaded" if succeeded else "refused").inc()

    def set_model(self, before: Manifest | None, now: Manifest) -> None:
        """Say which model answers."""
        if before is not None:
            self._info.labels(before.name, str(before.version), before.model.sha256).set(0)
        self._info.labels(now.name, str(now.version), now.model.sha256).set(1)

    def set_pending(self, count: int) -> None:
        """Say how much work there is."""
        self._pending.set(count)

    def exposition(self) -> bytes:
        """Write all figures in Prometheus' text format, those of every worker together."""
        folder = os.environ.get(MULTIPROCESS_DIR)
        if not folder:
            return generate_latest(self._registry)
        forget_dead_workers(Path(folder))
        registry = CollectorRegistry()
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def reserve_room(folder: Path) -> None:
    """Take the room on the disk that this worker's figures will need.

    prometheus-client maps files with holes into memory; where a disk is full when a hole is to be filled, the kernel
    ends the process by SIGBUS. Raises `LiveDigitError`.
    """
    try:
        for kind in FILES:
            reserve_file(folder / f"{kind}_{os.getpid()}.db")
    except OSError as error:
        raise LiveDigitError(f"no room for the workers' metrics in {folder}: {error.strerror}; see TMPDIR") from error


def reserve_file(path: Path) -> None:
    """Make a file of zeros, whole at once, since a scrape of any worker reads each that it finds. Raises `OSError`."""
    # One that is there is of an earlier worker with this number: its figures go on.
    if path.exists():
        return
    write_whole(path, bytes(RESERVED_BYTES), is_durable=False)


def forget_dead_workers(folder: Path) -> None:
    """Drop the gauges of workers that were killed, which could not do it themselves."""
    pids = {int(path.stem.rpartition("_")[2]) for path in folder.glob("gauge_live*.db")}
    for pid in pids:
        if not is_running(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def is_running(pid: int) -> bool:
    """Ask the kernel for a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
