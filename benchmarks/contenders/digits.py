"""What all contenders share: where the model lies, the project's own preprocessing, and the form of the answer."""

from __future__ import annotations

import binascii
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from service.preprocessing import Tensor, prepare_image

ARTIFACTS = Path(__file__).resolve().parent.parent.parent / "artifacts"
TOP_K = 5
CONFIDENCE_DIGITS = 6


class Model(Protocol):
    """What reads prepared images."""

    def run(self, images: Tensor) -> NDArray[np.float32]:
        """(N, 28, 28, 1) float32 in [0, 1] to (N, 10) probabilities."""


class OnnxModel:
    """The published model in ONNX Runtime, on one thread, as the server under test has it."""

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        path = newest(ARTIFACTS / "models/digits") / "model.onnx"
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(self, images: Tensor) -> NDArray[np.float32]:
        """(N, 28, 28, 1) float32 in [0, 1] to (N, 10) probabilities."""
        (probabilities,) = self._session.run(["probabilities"], {"image": images})
        return np.asarray(probabilities)


class TensorFlowModel:
    """The SavedModel in TensorFlow, through its serving signature, on one thread."""

    def __init__(self) -> None:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self._loaded = tf.saved_model.load(str(newest(ARTIFACTS / "saved_models/digits")))
        self._signature = self._loaded.signatures["serving_default"]
        self._constant = tf.constant

    def run(self, images: Tensor) -> NDArray[np.float32]:
        """(N, 28, 28, 1) float32 in [0, 1] to (N, 10) probabilities."""
        return np.asarray(self._signature(image=self._constant(images))["probabilities"].numpy())


def newest(model: Path) -> Path:
    """Find the highest version of a model."""
    return max((folder for folder in model.iterdir() if folder.name.isdecimal()), key=lambda folder: int(folder.name))


def read_digit(model: Model, image: str) -> dict[str, Any]:
    """Take a data URL to the answer that the server under test gives too."""
    return describe(model.run(tensor_from_data_url(image))[0])


def tensor_from_data_url(image: str) -> Tensor:
    """Decode base64 and prepare: (1, 28, 28, 1) float32 in [0, 1]."""
    return prepare_image(binascii.a2b_base64(image.partition(",")[2])).tensor[np.newaxis]


def describe(probabilities: NDArray[np.float32]) -> dict[str, Any]:
    """Name the five likeliest digits."""
    top = [
        {"digit": int(digit), "confidence": round(float(probabilities[digit]), CONFIDENCE_DIGITS)}
        for digit in np.argsort(-probabilities, kind="stable")[:TOP_K]
    ]
    return {**top[0], "top_predictions": top}
