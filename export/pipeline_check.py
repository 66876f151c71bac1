"""Everything around the model: its labels, and the pipeline that must still make of the golden images what it made."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import numpy as np

from export.errors import ArtifactError
from export.parity import GateResult, judge_faults, relative_errors
from export.runtimes import Runtime
from service.contract import (
    SCHEMA_VERSION,
    UNREADABLE_JSON,
    Golden,
    GoldenExample,
    Manifest,
    PreprocessingSpec,
    TrainingRun,
)
from service.errors import ImageError
from service.preprocessing import prepare_image

if TYPE_CHECKING:
    import onnx

Document = TypeVar("Document", Manifest, Golden)

MANIFEST_FILE = "manifest.json"
GOLDEN_TOLERANCE = 1e-5
"""Of the row's largest logit; the service allows its own runtime as much."""


def read_artifact(model_file: Path) -> Manifest | None:
    """Read the manifest beside an ONNX file, if it was published. Raises `ArtifactError` if they do not fit."""
    path = model_file.parent / MANIFEST_FILE
    if not path.is_file():
        return None
    manifest = decode(path, path.read_bytes(), Manifest)
    found = hashlib.sha256(model_file.read_bytes()).hexdigest()
    if found != manifest.model.sha256:
        raise ArtifactError(
            f"{model_file} has sha256 {found[:12]}, its manifest says {manifest.model.sha256[:12]}: export it again"
        )
    return manifest


def check_properties(model_file: Path, model: onnx.ModelProto, manifest: Manifest) -> None:
    """Hold a manifest against what the ONNX file says of itself, where it does. Raises `ArtifactError`."""
    said = {entry.key: entry.value for entry in model.metadata_props}
    expected = {
        "labels": msgspec.json.encode(manifest.labels).decode(),
        "weights_sha256": manifest.weights_sha256,
    }
    for name, value in expected.items():
        if said.get(name, value) != value:
            raise ArtifactError(
                f"{model_file} itself names other {name} than its manifest, which was changed after the export: "
                "export it again"
            )


def decode(path: Path, data: bytes, kind: type[Document]) -> Document:
    """Decode a JSON file of the contract. Raises `ArtifactError`."""
    try:
        document = msgspec.json.decode(data, type=kind)
    except UNREADABLE_JSON as error:
        raise ArtifactError(f"{path}: {error}") from error
    if document.schema_version > SCHEMA_VERSION:
        raise ArtifactError(f"{path}: schema {document.schema_version}, this version reads up to {SCHEMA_VERSION}")
    return document


def judge_pipeline(folder: Path, manifest: Manifest, run: TrainingRun | None, runtime: Runtime) -> GateResult | None:
    """Hold a manifest against its run, and replay the golden images from their encoded bytes.

    None where there is nothing to judge: a model that takes tensors, without a run.
    """
    faults = [] if run is None else contradictions(manifest, run)
    spec = manifest.preprocessing
    if spec is None:
        return judge_faults("pipeline", faults) if run else None
    golden = decode(
        folder / manifest.golden.file, read_checked(folder / manifest.golden.file, manifest.golden.sha256), Golden
    )
    images = (folder / manifest.golden.file).parent
    faults += [
        fault for example in golden.examples if (fault := replay(images, example, spec, manifest.labels, runtime))
    ]
    return judge_faults("pipeline", faults)


def contradictions(manifest: Manifest, run: TrainingRun) -> list[str]:
    """List what a manifest says otherwise than the run that trained the model."""
    faults = []
    if run.preprocessing is not None and run.preprocessing != manifest.preprocessing:
        faults.append(
            f"the manifest's pipeline is {manifest.preprocessing}, the model was trained with {run.preprocessing}"
        )
    if run.labels != manifest.labels:
        faults.append(
            f"the manifest's labels are {', '.join(manifest.labels)}, the model was trained with "
            f"{', '.join(run.labels)}"
        )
    return faults


def replay(
    folder: Path, example: GoldenExample, spec: PreprocessingSpec, labels: tuple[str, ...], runtime: Runtime
) -> str:
    """Answer one golden image as when it was published; what differs, or nothing."""
    data = read_checked(folder / example.file, example.sha256)
    try:
        tensor = prepare_image(data, spec).tensor
    except ImageError as error:
        return f"{example.file}: {error}"
    logits = runtime.answer(tensor[np.newaxis]).logits
    difference = float(relative_errors(logits, np.array([example.logits]))[0])
    label = labels[int(logits[0].argmax())]
    if difference <= GOLDEN_TOLERANCE and label == example.label:
        return ""
    return f"{example.file} gives {label} instead of {example.label}, logits {difference:.1e} off"


def read_checked(path: Path, sha256: str) -> bytes:
    """Read a file and hold it against its hash. Raises `ArtifactError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ArtifactError(f"{path}: is not the file that was published (its SHA-256 differs)")
    return data
