"""Models that can be evaluated: a SavedModel, run by TensorFlow, or a published artifact, run by ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.contract import UNREADABLE_JSON, Manifest, TrainingRun
from service.errors import first_line
from training.data import SIDE, Pixels, tensor_from_images
from training.errors import ModelUnreadable
from training.quiet import import_tensorflow

BATCH = 500
CLASSES = 10

Runner = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Tensors, (N, 28, 28, 1) float32 in [0, 1], to probabilities, (N, 10) float32."""
Classifier = Callable[[Pixels], NDArray[np.float32]]
"""Prepared images, (N, 28, 28) uint8, to probabilities, (N, 10) float32."""


def load_classifier(folder: Path) -> Classifier:
    """Load whichever model the folder holds. Raises `ModelUnreadable`."""
    return in_batches(load_runner(folder))


def load_runner(folder: Path) -> Runner:
    """Load the same, to be asked with tensors, (N, 28, 28, 1) float32. Raises `ModelUnreadable`."""
    if (folder / "saved_model.pb").is_file():
        run = load_saved_model(folder)
    elif (folder / "model.onnx").is_file():
        run = load_onnx(folder / "model.onnx")
    else:
        raise ModelUnreadable(f"{folder}: neither a SavedModel (saved_model.pb) nor an artifact (model.onnx)")
    check_answers(run, folder)
    return run


def check_answers(run: Runner, folder: Path) -> None:
    """Ask about a blank image. Raises `ModelUnreadable` where ten probabilities do not come back."""
    expected = "expected a model that takes `image`, (N, 28, 28, 1), and gives `probabilities`, (N, 10)"
    try:
        shape = run(np.zeros((1, SIDE, SIDE, 1), np.float32)).shape
    # The runtimes' exceptions have no common base.
    except Exception as error:
        raise ModelUnreadable(f"{folder}: cannot be asked about a digit ({first_line(error)}): {expected}") from error
    if shape != (1, CLASSES):
        raise ModelUnreadable(f"{folder}: answers one image with shape {shape}: {expected}")


def read_run(folder: Path) -> TrainingRun | None:
    """Read where a SavedModel or an artifact comes from, if that is recorded. Raises `ModelUnreadable`."""
    run, manifest = folder / "run.json", folder / "manifest.json"
    try:
        if run.is_file():
            return msgspec.json.decode(run.read_bytes(), type=TrainingRun)
        if manifest.is_file():
            return msgspec.json.decode(manifest.read_bytes(), type=Manifest).training
    except UNREADABLE_JSON as error:
        raise ModelUnreadable(f"{folder}: its record cannot be read ({error})") from error
    return None


def in_batches(run: Runner) -> Classifier:
    """Bound the memory that a large data set takes."""

    def classify(images: Pixels) -> NDArray[np.float32]:
        chunks = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
        return np.concatenate([run(tensor_from_images(chunk)) for chunk in chunks])

    return classify


def load_saved_model(folder: Path) -> Runner:
    """Load the endpoint `serve` of a SavedModel. Raises `ModelUnreadable`."""
    import_tensorflow()
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(folder)
        loaded.signatures["serve"]
    except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
        raise ModelUnreadable(f"{folder}: no SavedModel with the endpoint `serve` ({first_line(error)})") from error

    def run(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        # Looked up each time: a signature does not keep the model alive that it came from.
        answer = loaded.signatures["serve"](image=tf.constant(tensor))
        probabilities: NDArray[np.float32] = answer["probabilities"].numpy()
        return probabilities

    return run


def load_onnx(path: Path) -> Runner:
    """Load an ONNX graph. Raises `ModelUnreadable`."""
    # Since 1.29 it reports its use to its maker unless told otherwise before it is imported.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    # ONNX Runtime's exceptions have no common base of their own.
    except Exception as error:
        raise ModelUnreadable(f"{path}: ONNX Runtime cannot load it ({first_line(error)})") from error

    def run(tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        (probabilities,) = session.run(["probabilities"], {"image": tensor})
        return np.asarray(probabilities)

    return run
