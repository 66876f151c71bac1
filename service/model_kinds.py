"""The models of `/v2`: ways to ask the same weights, each with its own name, input and outputs. No HTTP."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

import msgspec
import numpy as np

from service.classifier import Answer, Classifier
from service.contract import TensorMetadata, TensorSpec
from service.errors import DeadlineExceeded, ImageError, InvalidTensor, ModelUnavailable, UnknownModel
from service.preprocessing import prepare_image
from service.questions import Question, Steps
from service.reading import read_number_image
from service.tensors import Array, Inference, datatype_of

CANDIDATES_PER_NUMBER = 8
"""Pictures that the model is asked about for one number, of four digits or so."""
DATATYPES = {"float32": "FP32"}


class Limits(NamedTuple):
    """How much one request may ask for, and until when anybody waits for it."""

    max_body_bytes: int
    """Of what is decompressed."""
    max_batch: int
    max_pixels: int
    """Of each image."""
    deadline: float
    """In the seconds of `time.monotonic`."""

    def refuse_late(self) -> None:
        """Raise `DeadlineExceeded` where nobody waits any more: the next request needs the thread."""
        if time.monotonic() > self.deadline:
            raise DeadlineExceeded("no answer in time")


class Outputs(NamedTuple):
    """What a batch is answered with."""

    tensors: dict[str, Array]
    """By name, in the order of the metadata."""
    images: int
    """How many the model has classified."""


class ModelKind(ABC):
    """One way to ask."""

    suffix: ClassVar[str]
    """What follows the weights' name in this model's."""

    def check(self, model: Classifier) -> None:
        """Raise `UnknownModel` where these weights cannot be asked in this way."""
        del model

    def most(self, max_batch: int) -> int:
        """Give the largest batch, where the largest of tensors is `max_batch`."""
        return max_batch

    @abstractmethod
    def input_tensors(self, model: Classifier) -> tuple[TensorMetadata, ...]:
        """Describe the input."""

    @abstractmethod
    def output_tensors(self, model: Classifier) -> tuple[TensorMetadata, ...]:
        """Describe the outputs."""

    @abstractmethod
    def read_raw(self, model: Classifier, content: bytes) -> Array:
        """Read a body that is one input of batch 1 and nothing else. Raises `InvalidTensor`."""

    @abstractmethod
    def steps(self, model: Classifier, inference: Inference, limits: Limits) -> Steps[Outputs]:
        """Answer a batch. Raises `InvalidTensor`, `DeadlineExceeded` or `InferenceFailure`."""

    def raw_inference(self, model: Classifier, content: bytes) -> Inference:
        """Make a request of such a body, answered in raw bytes as well. Raises `InvalidTensor`."""
        tensor = self.input_tensors(model)[0]
        return Inference("", {tensor.name: self.read_raw(model, content)}, (), True)


class TensorKind(ModelKind):
    """Prepared tensors in, probabilities and logits out."""

    suffix = ""

    def input_tensors(self, model: Classifier) -> tuple[TensorMetadata, ...]:
        """Describe the input."""
        return tuple(map(as_metadata, model.manifest.inputs))

    def output_tensors(self, model: Classifier) -> tuple[TensorMetadata, ...]:
        """Describe the outputs."""
        return tuple(map(as_metadata, model.manifest.outputs))

    def read_raw(self, model: Classifier, content: bytes) -> Array:
        """Read one tensor. Raises `InvalidTensor`."""
        stated = model.manifest.inputs[0]
        shape = [size if isinstance(size, int) else 1 for size in stated.shape]
        if len(content) != 4 * int(np.prod(shape)):
            raise InvalidTensor(f"{len(content)} bytes, but one {stated.name} takes {4 * int(np.prod(shape))}")
        return np.frombuffer(content, "<f4").reshape(shape)

    def steps(self, model: Classifier, inference: Inference, limits: Limits) -> Steps[Outputs]:
        """Classify tensors. Raises `InvalidTensor`, also where the model overflows, which JSON cannot tell."""
        images = check_batch(inference, model, limits.max_batch)
        answer = yield Question(model, images)
        if not np.isfinite(answer.logits).all():
            raise InvalidTensor("the model overflows on these values")
        return Outputs(name_outputs(model, answer), len(images))


class ImageKind(ModelKind):
    """Encoded images in; labels, probabilities and logits out."""

    suffix = "_image"
    image_input: ClassVar[str] = "image"
    label_output: ClassVar[str] = "label"

    def check(self, model: Classifier) -> None:
        """Raise `UnknownModel` where nothing says how an image becomes the model's input."""
        if model.manifest.preprocessing is None:
            raise UnknownModel(f"model {model.manifest.name!r} takes tensors only")

    def input_tensors(self, model: Classifier) -> tuple[TensorMetadata, ...]:
        """Describe the input."""
        del model
        return (TensorMetadata(self.image_input, "BYTES", (-1,)),)

    def output_tensors(self, model: Classifier) -> tuple[TensorMetadata, ...]:
        """Describe the outputs."""
        return (TensorMetadata(self.label_output, "BYTES", (-1,)), *map(as_metadata, model.manifest.outputs))

    def read_raw(self, model: Classifier, content: bytes) -> Array:
        """Take the body for one image."""
        del model
        return np.array([content], object)

    def steps(self, model: Classifier, inference: Inference, limits: Limits) -> Steps[Outputs]:
        """Classify encoded images. Raises `InvalidTensor`, naming the image, or `DeadlineExceeded`."""
        encoded = read_images(inference, self.image_input, limits.max_batch)
        answer = yield Question(model, prepare_batch(encoded, model, limits))
        labels = [model.manifest.labels[index].encode() for index in answer.probabilities.argmax(axis=1)]
        return Outputs({self.label_output: np.array(labels, object), **name_outputs(model, answer)}, encoded.size)


class NumberKind(ImageKind):
    """Encoded images in; whole numbers out, alone, and with all that `POST /read` says, in JSON."""

    suffix = "_number"
    number_output: ClassVar[str] = "number"
    confidence_output: ClassVar[str] = "confidence"
    reading_output: ClassVar[str] = "reading"

    def check(self, model: Classifier) -> None:
        """Raise `UnknownModel` where the model reads no digits from images."""
        super().check(model)
        try:
            model.digits  # noqa: B018
        except ModelUnavailable as error:
            raise UnknownModel(str(error)) from error

    def most(self, max_batch: int) -> int:
        """Give the largest batch: a number is as much work as several digits."""
        return max(1, max_batch // CANDIDATES_PER_NUMBER)

    def output_tensors(self, model: Classifier) -> tuple[TensorMetadata, ...]:
        """Describe the outputs."""
        del model
        return (
            TensorMetadata(self.number_output, "BYTES", (-1,)),
            TensorMetadata(self.confidence_output, "FP32", (-1,)),
            TensorMetadata(self.reading_output, "BYTES", (-1,)),
        )

    def steps(self, model: Classifier, inference: Inference, limits: Limits) -> Steps[Outputs]:
        """Read numbers, each in a batch of its own.

        Raises `InvalidTensor`, naming the image, `DeadlineExceeded` or `InferenceFailure`.
        """
        yield from ()
        encoded = read_images(inference, self.image_input, self.most(limits.max_batch))
        answers = []
        for index, data in enumerate(encoded.ravel()):
            limits.refuse_late()
            with naming(index):
                answers.append(read_number_image(model, data, limits.max_pixels))
        responses = [answer.response for answer in answers]
        outputs: dict[str, Array] = {
            self.number_output: np.array([response.number.encode() for response in responses], object),
            self.confidence_output: np.array([response.confidence for response in responses], np.float32),
            self.reading_output: np.array([msgspec.json.encode(response) for response in responses], object),
        }
        return Outputs(outputs, sum(answer.candidates for answer in answers))


KINDS: tuple[ModelKind, ...] = (TensorKind(), ImageKind(), NumberKind())
"""Every model of `/v2`, in the order of the repository index."""


def kinds_by_name(name: str) -> dict[str, ModelKind]:
    """Name the models that look at the weights of that name."""
    return {name + kind.suffix: kind for kind in KINDS}


def as_metadata(tensor: TensorSpec) -> TensorMetadata:
    """Write a tensor of the manifest as the protocol does: -1 for what the caller chooses."""
    sizes = tuple(size if isinstance(size, int) else -1 for size in tensor.shape)
    return TensorMetadata(tensor.name, DATATYPES[tensor.dtype], sizes)


def check_batch(inference: Inference, model: Classifier, max_batch: int) -> Array:
    """Hold a tensor against what the model takes. Raises `InvalidTensor`."""
    stated = model.manifest.inputs[0]
    images = only_input(inference, stated.name)
    if images.dtype != np.dtype("<f4"):
        raise InvalidTensor(f"input {stated.name!r} is {datatype_of(images)}, the model takes FP32")
    if not stated.fits(images.shape):
        raise InvalidTensor(
            f"input {stated.name!r} has shape {list(images.shape)}, the model takes {list(stated.shape)}"
        )
    check_count(len(images), max_batch)
    if not np.isfinite(images).all():
        raise InvalidTensor(f"input {stated.name!r} holds NaN or infinity")
    return images


def read_images(inference: Inference, name: str, max_batch: int) -> Array:
    """Give the encoded images of a request, any shape of them. Raises `InvalidTensor`."""
    encoded = only_input(inference, name)
    if encoded.dtype != object:
        raise InvalidTensor(f"input {name!r} is {datatype_of(encoded)}, the model takes BYTES")
    check_count(encoded.size, max_batch)
    return encoded


def prepare_batch(encoded: Array, model: Classifier, limits: Limits) -> Array:
    """Take encoded images to (N, 28, 28, 1) float32.

    Raises `InvalidTensor`, naming the image, or `DeadlineExceeded`.
    """
    tensors = []
    for index, data in enumerate(encoded.ravel()):
        limits.refuse_late()
        with naming(index):
            tensors.append(prepare_image(data, model.preprocessing, limits.max_pixels).tensor)
    return np.stack(tensors)


@contextmanager
def naming(index: int) -> Iterator[None]:
    """Say of which image of a batch an error speaks. Raises `InvalidTensor`."""
    try:
        yield
    except ImageError as error:
        raise InvalidTensor(f"image {index}: {error}") from error


def only_input(inference: Inference, name: str) -> Array:
    """Give the one input that the model has. Raises `InvalidTensor`."""
    if list(inference.inputs) != [name]:
        raise InvalidTensor(f"inputs are {list(inference.inputs)}, the model takes {[name]}")
    return inference.inputs[name]


def check_count(count: int, max_batch: int) -> None:
    """Refuse empty and oversized batches. Raises `InvalidTensor`."""
    if not 1 <= count <= max_batch:
        raise InvalidTensor(f"a batch of {count}, expected 1 to {max_batch}")


def name_outputs(model: Classifier, answer: Answer) -> dict[str, Array]:
    """Name the model's own outputs in the order of the manifest."""
    by_name: dict[str, Array] = answer._asdict()
    return {tensor.name: by_name[tensor.name] for tensor in model.manifest.outputs}
