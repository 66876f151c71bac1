"""The stages of one request without a server: `python -m benchmarks.speed.stages SECONDS DRAWINGS`.

Prints the CPU microseconds of each, by form of the drawing: `{"canvas": {"decode": ...}, "page": {...}}`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.drawings import read_drawings
from benchmarks.payloads import predict_body
from service.classifier import Classifier
from service.models import ModelStore
from service.prediction import StageClock, predict_steps
from service.preprocessing import MAX_PIXELS
from service.questions import work_alone
from service.routes.predict import read_json
from service.settings import Settings


class CpuClock(StageClock):
    """Measures CPU time where the server's clock measures time."""

    def mark(self, stage: str) -> None:
        """End a stage."""
        now = time.thread_time()
        self.stages[stage] = now - self._last
        self._last = time.thread_time()


def measure_stages(model: Classifier, bodies: Sequence[bytes], duration_s: float) -> dict[str, float]:
    """Take every body through the stages, again and again: the median of each, in microseconds."""
    times_us: dict[str, list[float]] = defaultdict(list)
    deadline = time.monotonic() + duration_s
    while True:
        for body in bodies:
            for stage, seconds in measure_once(model, body).items():
                times_us[stage].append(1e6 * seconds)
        if time.monotonic() >= deadline:
            return {stage: statistics.median(each) for stage, each in times_us.items()}


def measure_once(model: Classifier, body: bytes) -> dict[str, float]:
    """Take one body, JSON or an image, through the stages: CPU seconds."""
    clock = CpuClock()
    clock.mark("nothing")
    if body.startswith(b"{"):
        image = read_json(body).image
        clock.mark("JSON and base64")
    else:
        image = body
    answer = work_alone(predict_steps(model, image, MAX_PIXELS, False, clock))
    clock.mark("five likeliest")
    msgspec.json.encode(answer)
    clock.mark("write the answer")
    return {stage: seconds for stage, seconds in clock.stages.items() if stage not in {"nothing", "queue", "gather"}}


if __name__ == "__main__":
    _, seconds, file = sys.argv
    store = ModelStore(Settings())
    store.load()
    drawings = read_drawings(Path(file)).drawings
    bodies = {
        "canvas": [predict_body(drawing.canvas) for drawing in drawings],
        "page": [drawing.page for drawing in drawings],
    }
    stages = {form: measure_stages(store.serving(), sent, float(seconds) / 2) for form, sent in bodies.items()}
    sys.stdout.write(msgspec.json.encode(stages).decode())
