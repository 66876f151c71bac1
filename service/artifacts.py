"""Published models on disk: find a version, check it, load it.

Nothing is parsed before its hash is right, and nothing is served before it has repeated TensorFlow's answers to
its golden examples.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from service.classifier import Answer, Classifier
from service.contract import SCHEMA_VERSION, UNREADABLE_JSON, Golden, GoldenExample, Manifest
from service.errors import ArtifactError, ImageError, InferenceFailure, ModelNotFound, NoVersion
from service.files import write_whole
from service.preprocessing import Tensor, prepare_image
from service.versions import list_versions

MANIFEST = "manifest.json"
PIN = "pinned"
"""A file beside the versions that holds the number of the one to serve."""

GOLDEN_TOLERANCE = 1e-5
"""Of the row's largest logit: 84 float32 roundings. On golden examples TensorFlow and ONNX Runtime were seen to differ
by up to 2, on inputs searched for near-ties by up to 25 (AVX-512, Keras 3.15, ONNX Runtime 1.31); one wrong pixel
moves the logits a thousand times further."""

Document = TypeVar("Document", Manifest, Golden)


def read_pin(models_dir: Path, name: str) -> int:
    """Read which version is pinned; 0 for none. Raises `ArtifactError` where the file cannot be read as a number."""
    try:
        text = (models_dir / name / PIN).read_text(encoding="ascii").strip()
        return int(text)
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{models_dir / name / PIN}: expected a version number: `livedigit models pin` one, or `unpin`"
        ) from error


def choose_version(models_dir: Path, name: str, wanted: int = 0) -> int:
    """Choose the version to serve: the wanted one, else the pinned one, else the highest.

    Raises `NoVersion` where there is none at all, `ModelNotFound` where that one is missing, `ArtifactError` where the
    pin cannot be read.
    """
    versions = list_versions(models_dir / name)
    if not versions:
        raise NoVersion(f"{models_dir} holds no version of {name!r}: run `livedigit export`, or set --models-dir")
    version = wanted or read_pin(models_dir, name) or versions[-1]
    if version not in versions:
        pinned = "" if wanted else ", which is pinned: `livedigit models pin` another, or `unpin`"
        raise ModelNotFound(f"{models_dir / name} holds versions {versions}, not {version}{pinned}")
    return version


def list_substitutes(models_dir: Path, name: str) -> list[int]:
    """Order the versions by how well each stands in for the one to serve.

    The highest come first, but before all those above a pinned one, since who pins does not want what is above.
    """
    try:
        pinned = read_pin(models_dir, name)
    except ArtifactError:
        pinned = 0
    versions = list_versions(models_dir / name)
    return sorted(versions, key=lambda version: (not pinned or version <= pinned, version), reverse=True)


def pin_version(models_dir: Path, name: str, version: int) -> None:
    """Make a version the served one. Raises `ModelNotFound` or `ArtifactError`."""
    choose_version(models_dir, name, version)
    path = models_dir / name / PIN
    try:
        write_whole(path, b"%d\n" % version)
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error


def remove_pin(models_dir: Path, name: str) -> None:
    """Let the highest version be the served one. Raises `ArtifactError`."""
    path = models_dir / name / PIN
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error


def previous_version(models_dir: Path, name: str) -> int:
    """Find the version before the served one. Raises `ModelNotFound`, or `ArtifactError` as `choose_version` does."""
    served = choose_version(models_dir, name)
    earlier = [version for version in list_versions(models_dir / name) if version < served]
    if not earlier:
        raise ModelNotFound(f"{models_dir / name} holds no version before {served}")
    return earlier[-1]


def superseded_versions(models_dir: Path, name: str, keep: int) -> list[int]:
    """List what may go: what is below the highest `keep` that pass every check, but for the one to serve.

    Raises `ModelNotFound`, or `ArtifactError` where the one to serve does not pass: a server may need any other then.
    """
    served = choose_version(models_dir, name)
    if fault := find_fault(models_dir / name / str(served)):
        raise ArtifactError(f"version {served} is the one to serve and fails a check, so nothing is deleted: {fault}")
    versions = list_versions(models_dir / name)
    folders = ((version, models_dir / name / str(version)) for version in reversed(versions))
    sound = (version for version, folder in folders if version == served or not find_fault(folder))
    lowest_kept = next(islice(sound, keep - 1, None), 0)
    return [version for version in versions if version < lowest_kept and version != served]


def delete_version(models_dir: Path, name: str, version: int) -> None:
    """Delete a version; a server that looks meanwhile sees it whole or not at all. Raises `ArtifactError`.

    Of a link nothing but itself is deleted.
    """
    folder = models_dir / name / str(version)
    try:
        deleted = folder.rename(folder.with_name(f".deleted-{version}"))
        if deleted.is_symlink():
            deleted.unlink()
        else:
            shutil.rmtree(deleted)
    except OSError as error:
        raise ArtifactError(f"{folder}: {error.strerror}") from error


def find_fault(folder: Path) -> str:
    """Say why a version cannot be served; empty where it passes every check."""
    try:
        load_classifier(folder)
    except ArtifactError as error:
        return str(error)
    return ""


def load_classifier(folder: Path) -> Classifier:
    """Load a version: check its hashes, build the session, replay the golden examples.

    Raises `ArtifactError`.
    """
    manifest = read_document(folder / MANIFEST, Manifest)
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        raise ArtifactError(
            f"{folder / MANIFEST} describes {manifest.name} {manifest.version}: was the folder renamed?"
        )
    model = read_checked(folder / plain_name(manifest.model.file), manifest.model.sha256)
    try:
        classifier = Classifier(manifest, model)
        replay_golden(classifier, folder)
    except (ArtifactError, InferenceFailure) as error:
        raise ArtifactError(f"{folder}: {error}") from error
    return classifier


def read_document(path: Path, kind: type[Document]) -> Document:
    """Read a JSON file of the contract. Raises `ArtifactError`."""
    return parse_document(path, read_bytes(path), kind)


def parse_document(path: Path, content: bytes, kind: type[Document]) -> Document:
    """Decode a JSON file of the contract, newer schemas refused. Raises `ArtifactError`."""
    try:
        schema = msgspec.json.decode(content, type=dict)
        if isinstance(schema.get("schema_version"), int) and schema["schema_version"] > SCHEMA_VERSION:
            raise ArtifactError(
                f"{path} has schema {schema['schema_version']}, this LiveDigit reads up to {SCHEMA_VERSION}: "
                "update LiveDigit, or export again with this one"
            )
        return msgspec.convert(schema, type=kind)
    except UNREADABLE_JSON as error:
        raise ArtifactError(f"{path}: {error}") from error


def read_bytes(path: Path) -> bytes:
    """Read a file of an artifact. Raises `ArtifactError`."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}; export again, or delete this version") from error


def read_checked(path: Path, sha256: str) -> bytes:
    """Read a file and hold it against its hash. Raises `ArtifactError`."""
    content = read_bytes(path)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ArtifactError(
            f"{path} has sha256 {found[:12]}..., the manifest says {sha256[:12]}...: "
            "export again, or delete this version"
        )
    return content


def plain_name(name: str) -> str:
    """Refuse a file name that points out of its folder. Raises `ArtifactError`."""
    if not name or Path(name).name != name:
        raise ArtifactError(f"{name!r} is not a plain file name")
    return name


def replay_golden(classifier: Classifier, folder: Path) -> None:
    """Answer every golden example from its encoded bytes.

    Raises `ArtifactError` at the first difference, or `InferenceFailure` where the model does not take one.
    """
    stated = classifier.manifest.golden
    path = folder / stated.file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ArtifactError(f"{stated.file!r} lies outside the version")
    golden = parse_document(path, read_checked(path, stated.sha256), Golden)
    for example in golden.examples:
        content = read_checked(path.parent / plain_name(example.file), example.sha256)
        try:
            image = read_example(content, classifier.manifest)
        except (ImageError, ValueError) as error:
            raise ArtifactError(f"golden example {example.file}: {error}") from error
        compare_golden(example, classifier.manifest.labels, classifier.run(image[np.newaxis]))


def read_example(content: bytes, manifest: Manifest) -> Tensor:
    """Read a golden example: an encoded image, or an .npy file where the model takes tensors only.

    Raises `ImageError` or `ValueError`.
    """
    if manifest.preprocessing is not None:
        return prepare_image(content, manifest.preprocessing).tensor
    return np.load(io.BytesIO(content), allow_pickle=False).astype(np.float32, copy=False)  # type: ignore[no-any-return]


def compare_golden(example: GoldenExample, labels: tuple[str, ...], answer: Answer) -> None:
    """Hold one answer against TensorFlow's. Raises `ArtifactError`."""
    expected = np.asarray(example.logits, np.float64)
    logits = answer.logits[0].astype(np.float64)
    if expected.shape != logits.shape:
        raise ArtifactError(f"golden example {example.file}: {expected.size} logits, the model gives {logits.size}")
    label = labels[int(logits.argmax())]
    difference = float(np.abs(logits - expected).max() / np.abs(expected).max())
    # A NaN compares false with everything, so ask for what is right, not for what is wrong.
    if not (difference <= GOLDEN_TOLERANCE and label == example.label):
        raise ArtifactError(
            f"golden example {example.file}: {label!r} instead of {example.label!r}, logits differ by "
            f"{difference:.1e} of the largest (tolerated: {GOLDEN_TOLERANCE:.0e}); this model is not the one "
            "that was verified, or this machine computes differently: export it again here"
        )
