"""The stages of one request without a server: `python -m benchmarks.speed.stages SECONDS DRAWINGS`.

Prints the CPU microseconds of each, by form of the drawing: `{"canvas": {"decode the image": ...}, "page": {...}}`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.drawings import data_url, read_drawings
from service.classifier import Classifier
from service.models import ModelStore
from service.prediction import predict_image
from service.preprocessing import MAX_PIXELS, decode_image, prepare_grey
from service.routes.predict import read_json
from service.settings import Settings


class CpuClock:
    """Measures the CPU time of stages, each from the end of the one before."""

    def __init__(self) -> None:
        self.stages_us: dict[str, list[float]] = defaultdict(list)
        self._last = time.thread_time_ns()

    def mark(self, stage: str) -> None:
        """End a stage."""
        now = time.thread_time_ns()
        self.stages_us[stage].append((now - self._last) / 1000)
        self._last = time.thread_time_ns()


def measure_stages(model: Classifier, images: Sequence[bytes], duration_s: float) -> dict[str, float]:
    """Take every image through the stages, again and again; the median of each."""
    bodies = [msgspec.json.encode({"image": data_url(image)}) for image in images]
    clock = CpuClock()
    deadline = time.monotonic() + duration_s
    while True:
        for body in bodies:
            measure_once(model, body, clock)
        if time.monotonic() >= deadline:
            break
    medians = {stage: statistics.median(times) for stage, times in clock.stages_us.items()}
    inner = sum(medians[stage] for stage in ("decode the image", "preprocess", "infer"))
    medians["choose the five likeliest"] = medians.pop("whole") - inner
    return medians


def measure_once(model: Classifier, body: bytes, clock: CpuClock) -> None:
    """Take one body through the stages, then through the whole, whose parts are not all functions of their own."""
    clock.mark("between")
    image = read_json(body).image
    clock.mark("JSON and base64")
    grey = decode_image(image)
    clock.mark("decode the image")
    prepared = prepare_grey(grey, model.preprocessing)
    clock.mark("preprocess")
    model.run(prepared.tensor[np.newaxis])
    clock.mark("infer")
    answer = predict_image(model, image, MAX_PIXELS)
    clock.mark("whole")
    msgspec.json.encode(answer)
    clock.mark("write the answer")
    del clock.stages_us["between"]


if __name__ == "__main__":
    _, seconds, file = sys.argv
    store = ModelStore(Settings())
    store.load()
    drawings = read_drawings(Path(file)).drawings
    stages = {
        form: measure_stages(store.serving(), [getattr(drawing, form) for drawing in drawings], float(seconds) / 2)
        for form in ("canvas", "page")
    }
    sys.stdout.write(msgspec.json.encode(stages).decode())
