"""What is asked, and what is the right answer: that of the same stages without a server."""

from __future__ import annotations

import functools
from typing import NamedTuple

import click
import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.client import post
from benchmarks.contenders.digits import OnnxModel
from benchmarks.drawings import Drawing
from benchmarks.load import Check
from benchmarks.payloads import infer_request, predict_request
from service.preprocessing import Tensor, prepare_image

TOLERANCE = 1e-4
"""Of probabilities: TensorFlow and ONNX Runtime round differently, a wrong picture differs by far more."""


class Workload(NamedTuple):
    """Requests and the check of their answers."""

    requests: list[bytes]
    check: Check
    images: int = 1
    """In each request."""


class Workloads(NamedTuple):
    """All that is asked."""

    canvas: Workload
    """`/predict`, the whole canvas as a browser saves it."""
    page: Workload
    """`/predict`, as the page sends it."""
    tensor: Workload
    """`/v2`, one binary tensor."""
    batch: Workload
    """`/v2`, binary tensors of all drawings at once."""


class Answer(msgspec.Struct):
    """What every contender says."""

    digit: int
    confidence: float


decode_answer = msgspec.json.Decoder(Answer).decode


def make_workloads(drawings: tuple[Drawing, ...]) -> Workloads:
    """Make the requests."""
    says_digit = check_digits(prepare(drawings)[1])
    return Workloads(
        canvas=Workload([predict_request(drawing.canvas) for drawing in drawings], says_digit),
        page=Workload([predict_as_page(drawing.page) for drawing in drawings], says_digit),
        tensor=make_batches(drawings, 1),
        batch=make_batches(drawings, len(drawings)),
    )


def make_batches(drawings: tuple[Drawing, ...], size: int) -> Workload:
    """Ask for all drawings in batches of a size, which divides their number."""
    tensors, probabilities = prepare(drawings)
    shape = (-1, size, *probabilities.shape[1:])
    batches = tensors.reshape(-1, size, *tensors.shape[1:])
    return Workload([infer(batch) for batch in batches], check_tensors(probabilities.reshape(shape)), size)


@functools.cache
def prepare(drawings: tuple[Drawing, ...]) -> tuple[Tensor, NDArray[np.float32]]:
    """Give (N, 28, 28, 1) tensors and (N, 10) probabilities, without a server.

    Raises `click.ClickException` where the model misreads a drawing, so that nothing could be checked.
    """
    tensors = np.stack([prepare_image(drawing.canvas).tensor for drawing in drawings])
    probabilities = OnnxModel().run(tensors)
    if (probabilities.argmax(axis=1) != [drawing.digit for drawing in drawings]).any():
        raise click.ClickException("the model misreads one of the drawings: nothing could be checked against it")
    return tensors, probabilities


def predict_as_page(png: bytes) -> bytes:
    """Send the image itself, as `web/js/api.js` does."""
    return post("/predict", "image/png", png)


def infer(tensors: Tensor) -> bytes:
    """Send tensors in binary and ask for the probabilities in binary."""
    output = {"name": "probabilities", "parameters": {"binary_data": True}}
    return infer_request("digits", tensors.tobytes(), len(tensors), [output])


def check_digits(probabilities: NDArray[np.float32]) -> Check:
    """Compare digit and confidence with (N, 10) probabilities."""
    expected = [(int(row.argmax()), float(row.max())) for row in probabilities]

    def check(index: int, body: bytes) -> bool:
        digit, confidence = expected[index]
        answer = decode_answer(body)
        return answer.digit == digit and abs(answer.confidence - confidence) < TOLERANCE

    return check


def check_tensors(probabilities: NDArray[np.float32]) -> Check:
    """Compare the end of the answer, which is the one binary tensor, with (requests, images, 10) probabilities."""
    size = probabilities[0].nbytes

    def check(index: int, body: bytes) -> bool:
        found = np.frombuffer(body[-size:], np.float32).reshape(probabilities[index].shape)
        return bool((np.abs(found - probabilities[index]) < TOLERANCE).all())

    return check
