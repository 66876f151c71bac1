"""Golden examples: encoded images with their answers, which the service replays before it serves a model.

The answers are TensorFlow's; those of a variant, which computes another function, are its own.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import msgspec
import numpy as np

from export.inputs import Drawing, InputSet, drawn_inputs
from export.runtimes import Images, Runtime
from service.contract import SCHEMA_VERSION, Golden, GoldenExample, GoldenFile, PreprocessingSpec

FOLDER = "golden"
FILE = "golden/golden.json"
TENSOR_EXAMPLES = 4


def write_golden(
    folder: Path, answering: Runtime, labels: tuple[str, ...], drawings: list[Drawing], spec: PreprocessingSpec
) -> GoldenFile:
    """Write drawings and the answers to what the pipeline makes of them."""
    return write_examples(folder, answering, labels, drawings, drawn_inputs(drawings, spec).images)


def write_golden_tensors(folder: Path, answering: Runtime, labels: tuple[str, ...], inputs: InputSet) -> GoldenFile:
    """Write tensors as .npy files, (H, W, C) float32, for a model that takes tensors only."""
    images = inputs.images[:TENSOR_EXAMPLES]
    files = [Drawing(f"tensor-{row}.npy", npy_bytes(image)) for row, image in enumerate(images)]
    return write_examples(folder, answering, labels, files, images)


def npy_bytes(array: Images) -> bytes:
    """Encode one tensor in NumPy's format."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def write_examples(
    folder: Path, answering: Runtime, labels: tuple[str, ...], files: list[Drawing], images: Images
) -> GoldenFile:
    """Write the files under `golden/` with the answers beside them.

    Images are answered one by one, as the service answers them.
    """
    (folder / FOLDER).mkdir()
    examples = []
    for file, image in zip(files, images, strict=True):
        (folder / FOLDER / file.name).write_bytes(file.data)
        examples.append(answer_example(file, image, answering, labels))
    encoded = msgspec.json.format(
        msgspec.json.encode(Golden(schema_version=SCHEMA_VERSION, examples=tuple(examples))), indent=1
    )
    (folder / FILE).write_bytes(encoded)
    return GoldenFile(file=FILE, sha256=hashlib.sha256(encoded).hexdigest(), examples=len(examples))


def answer_example(file: Drawing, image: Images, answering: Runtime, labels: tuple[str, ...]) -> GoldenExample:
    """Pair one file with its answer."""
    answers = answering.answer(image[np.newaxis])
    return GoldenExample(
        file=file.name,
        sha256=hashlib.sha256(file.data).hexdigest(),
        label=labels[int(answers.logits[0].argmax())],
        logits=tuple(map(float, answers.logits[0])),
        probabilities=tuple(map(float, answers.probabilities[0])),
    )
