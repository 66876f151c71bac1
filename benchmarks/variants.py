"""`python -m benchmarks variants`: what an int8 or fp16 form gains over the float32 model, in size and time."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.options import COUNT, json_option
from benchmarks.payloads import tensors
from benchmarks.report import Figure, publish
from service.artifacts import load_classifier
from service.classifier import Classifier
from service.preprocessing import Tensor

BATCHES = (1, 64)
IMAGES_PER_ROUND = 640
"""A round of one model takes some 0.1 s."""


@click.command()
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("variants", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rounds", type=COUNT, default=15, show_default=True, help="In each, every model runs once.")
@json_option
def variants(model: Path, variants: tuple[Path, ...], rounds: int, json_file: Path | None) -> None:
    """Compare published VARIANTS with MODEL: folders of versions, such as artifacts/models/digits-int8/1."""
    classifiers = [load_classifier(folder.resolve()) for folder in (model, *variants)]
    figures = [figure for other in classifiers[1:] for figure in size_figures(classifiers[0], other)]
    images = np.stack(tensors())
    for size in BATCHES:
        figures += time_figures(classifiers, np.resize(images, (size, *images.shape[1:])), rounds)
    publish("variants", figures, json_file)


def size_figures(model: Classifier, other: Classifier) -> list[Figure]:
    """Compare the files."""
    share = other.manifest.model.size_bytes / model.manifest.model.size_bytes
    return [Figure(f"{other.manifest.name}: size of the file", share, f"x {model.manifest.name}")]


def time_figures(classifiers: list[Classifier], images: Tensor, rounds: int) -> list[Figure]:
    """Run the models in turn on one batch, and compare the medians of their processor time."""
    times = [[time_round(classifier, images) for classifier in classifiers] for _ in range(rounds)]
    reference, *others = (statistics.median(column) for column in zip(*times, strict=True))
    model, *variants = (classifier.manifest.name for classifier in classifiers)
    return [
        Figure(f"{name}: images per second at batch {len(images)}", reference / other, f"x {model}")
        for name, other in zip(variants, others, strict=True)
    ]


def time_round(classifier: Classifier, images: Tensor) -> float:
    """Processor seconds for `IMAGES_PER_ROUND` images."""
    started = time.process_time()
    for _ in range(IMAGES_PER_ROUND // len(images)):
        classifier.run(images)
    return time.process_time() - started
