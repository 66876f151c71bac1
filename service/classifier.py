"""One model, one ONNX Runtime session."""

from __future__ import annotations

import os
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.contract import Manifest, PreprocessingSpec
from service.errors import ArtifactError, InferenceFailure, ModelUnavailable, first_line
from service.preprocessing import Tensor

# Official builds since 1.29 report to their maker over the network, and keep an identifier of the machine on disk
# (microsoft/onnxruntime#27379). The variable is read once, when the library is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

LOG_ERRORS_ONLY = 3
MOST_AT_ONCE = 16
"""Images that ONNX Runtime is given at once. Larger batches save nothing (`python -m benchmarks scaling`): of 64, each
image took from as long to half as long again, as what the layers pass on fits the caches or not, and the process held
3 to 9 MiB more afterwards (`python -m benchmarks footprint`)."""
UNCERTAIN_THRESHOLD = "uncertain_threshold"
"""The name under which training records it."""


class Answer(NamedTuple):
    """What the model says about a batch."""

    logits: NDArray[np.float32]
    """(N, classes)."""
    probabilities: NDArray[np.float32]
    """(N, classes), rows sum to 1."""


class Classifier:
    """A loaded model. `run` may be called from several threads at once."""

    def __init__(self, manifest: Manifest, model: bytes) -> None:
        """Raise `ArtifactError` where ONNX Runtime refuses the model, or the manifest does not fit it."""
        self.manifest = manifest
        try:
            self._session = onnxruntime.InferenceSession(model, session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ArtifactError(f"ONNX Runtime refuses {manifest.model.file}: {first_line(error)}") from error
        refuse_other_tensors(manifest, self._session)
        refuse_other_labels(manifest)
        refuse_other_pipeline(manifest)
        self._input = manifest.inputs[0].name

    def run(self, images: Tensor) -> Answer:
        """Classify (N, 28, 28, 1) float32 images in [0, 1]. Raises `InferenceFailure`."""
        if len(images) <= MOST_AT_ONCE:
            return self._run_at_once(images)
        starts = range(0, len(images), MOST_AT_ONCE)
        answers = [self._run_at_once(images[start : start + MOST_AT_ONCE]) for start in starts]
        return Answer(*(np.concatenate(parts) for parts in zip(*answers, strict=True)))

    def _run_at_once(self, images: Tensor) -> Answer:
        try:
            logits, probabilities = self._session.run(["logits", "probabilities"], {self._input: images})
        except Exception as error:
            raise InferenceFailure(f"ONNX Runtime failed on a valid input: {first_line(error)}") from error
        return Answer(logits, probabilities)

    @property
    def preprocessing(self) -> PreprocessingSpec:
        """How an encoded image becomes this model's input. Raises `ModelUnavailable` where it takes tensors only."""
        if self.manifest.preprocessing is None:
            raise ModelUnavailable(f"model {self.manifest.name!r} takes tensors, not images: use /v2")
        return self.manifest.preprocessing

    @cached_property
    def digits(self) -> tuple[int, ...]:
        """The labels as numbers. Raises `ModelUnavailable` where they are none."""
        if not all(label.isdecimal() for label in self.manifest.labels):
            raise ModelUnavailable(f"model {self.manifest.name!r} does not read digits: use /v2")
        return tuple(map(int, self.manifest.labels))

    @cached_property
    def uncertain_below(self) -> float:
        """The confidence below which an answer is uncertain, calibrated in training; 0 where it was not."""
        run = self.manifest.training
        return run.metrics.get(UNCERTAIN_THRESHOLD, 0.0) if run else 0.0

    def warm_up(self) -> None:
        """Let ONNX Runtime allocate and choose its kernels before the first user pays for it."""
        shape = [size if isinstance(size, int) else 1 for size in self.manifest.inputs[0].shape]
        self.run(np.zeros(shape, np.float32))


def session_options() -> onnxruntime.SessionOptions:
    """Choose for many small requests: one thread per process, nothing that spins or hoards.

    Threads come from more workers; the arena never gives memory back (microsoft/onnxruntime#11627), and at this
    size it is no faster.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = LOG_ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def refuse_other_tensors(manifest: Manifest, session: onnxruntime.InferenceSession) -> None:
    """Hold the graph's inputs and outputs against the manifest. Raises `ArtifactError`."""
    for kind, stated, found in (
        ("inputs", manifest.inputs, session.get_inputs()),
        ("outputs", manifest.outputs, session.get_outputs()),
    ):
        names = [tensor.name for tensor in stated]
        if names != [tensor.name for tensor in found]:
            raise ArtifactError(
                f"{manifest.model.file} has {kind} {[tensor.name for tensor in found]}, manifest says {names}"
            )
        for tensor, node in zip(stated, found, strict=True):
            if list(tensor.shape) != list(node.shape):
                raise ArtifactError(
                    f"{manifest.model.file}: {tensor.name} has shape {node.shape}, manifest says {list(tensor.shape)}"
                )


def refuse_other_labels(manifest: Manifest) -> None:
    """Refuse outputs that are not as many as the labels. Raises `ArtifactError`."""
    for tensor in manifest.outputs:
        if tensor.shape[-1:] != (len(manifest.labels),):
            raise ArtifactError(
                f"{manifest.model.file}: {tensor.name} has shape {list(tensor.shape)}, "
                f"manifest names {len(manifest.labels)} labels: export again, or delete this version"
            )


def refuse_other_pipeline(manifest: Manifest) -> None:
    """Refuse a pipeline whose images are not the model's. Raises `ArtifactError`."""
    if manifest.preprocessing is None:
        return
    fit, frame, stated = manifest.preprocessing.fit_size, manifest.preprocessing.frame_size, manifest.inputs[0]
    if not stated.fits((1, frame, frame, 1)) or fit > frame:
        raise ArtifactError(
            f"the manifest's preprocessing fits ink of {fit} pixels into images of {frame}, the model takes "
            f"{list(stated.shape)}: export again, or delete this version"
        )
