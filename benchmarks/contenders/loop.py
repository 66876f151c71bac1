"""The limits: the server's work in a loop, without a server.

`python -m benchmarks.contenders.loop stages|batch SECONDS DRAWINGS` prints how many images a second it takes: `stages`
takes each drawing from PNG to probabilities, `batch` only infers all of them at once.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.contenders.digits import OnnxModel
from benchmarks.drawings import Drawing, read_drawings
from service.preprocessing import prepare_image


def stages(drawings: tuple[Drawing, ...]) -> Callable[[], object]:
    """Read every drawing once."""
    model = OnnxModel()
    return lambda: [model.run(prepare_image(drawing.canvas).tensor[np.newaxis]).argmax() for drawing in drawings]


def batch(drawings: tuple[Drawing, ...]) -> Callable[[], object]:
    """Infer one batch of all drawings."""
    model = OnnxModel()
    tensors = np.stack([prepare_image(drawing.canvas).tensor for drawing in drawings])
    return lambda: model.run(tensors)


KINDS = {"stages": stages, "batch": batch}


def repeat(work: Callable[[], object], images: int, duration_s: float) -> dict[str, float]:
    """Repeat for a while and count images."""
    work()
    started, cpu_started, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < duration_s:
        work()
        done += images
    return {
        "per_s": done / (time.perf_counter() - started),
        "per_cpu_s": done / (time.process_time() - cpu_started),
    }


if __name__ == "__main__":
    _, kind, seconds, file = sys.argv
    pictures = read_drawings(Path(file)).drawings
    sys.stdout.write(msgspec.json.encode(repeat(KINDS[kind](pictures), len(pictures), float(seconds))).decode())
