"""`/v2`: the Open Inference Protocol, REST side.

Two models look at the same weights: `NAME` takes prepared tensors, `NAME_image` takes encoded images through the
preprocessing. Source: kserve/open-inference-protocol, inference_rest.md; repository index and classification as in
Triton Inference Server.
"""

from __future__ import annotations

from importlib.metadata import version as package_version
from typing import Any

import msgspec
import numpy as np
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec

from service.access import PUBLIC
from service.classifier import Answer, Classifier
from service.contract import (
    IndexRow,
    InferResponse,
    LiveResponse,
    ModelMetadata,
    ModelReady,
    ReadyResponse,
    ServerMetadata,
    TensorMetadata,
    TensorSpec,
)
from service.errors import ImageError, InvalidTensor, UnknownModel
from service.openapi import WORK_REASONS, IndexOperation, InferOperation, inference_errors
from service.preprocessing import prepare_image
from service.routes.bodies import within
from service.state import Service, service_of
from service.tensors import (
    Array,
    EncodedResponse,
    Inference,
    decompress,
    encode_response,
    parse_inference,
)

HEADER_LENGTH = "Inference-Header-Content-Length"
EXTENSIONS = ("binary_tensor_data", "classification", "model_repository(index)", "model_configuration")
PLATFORM = "onnx_onnxv1"
IMAGE_SUFFIX = "_image"
IMAGE_INPUT = "image"
LABEL_OUTPUT = "label"
TAGS = ["Open Inference Protocol"]
DATATYPES = {"float32": "FP32"}

UNKNOWN = inference_errors(s404="No such model, or version not loaded.", s503="No model is loaded.")
NOT_READY = {503: ResponseSpec(ReadyResponse, description="Not ready.", generate_examples=False)}
MALFORMED = inference_errors(s400="The body is not a JSON object.", s408="The body did not arrive in time.")
INFERRED = {
    200: ResponseSpec(InferResponse, description="The outputs that were asked for.", generate_examples=False),
    **inference_errors(
        s400="The request cannot be read, or does not fit the model.",
        s404="No such model, or version not loaded.",
        s415="The body is compressed in a way that is not undone here.",
        **WORK_REASONS,
    ),
}


@get("/v2", tags=TAGS, sync_to_thread=False)
def server_metadata() -> ServerMetadata:
    """Name the server and what it can do beyond the base protocol."""
    return ServerMetadata("livedigit", package_version("livedigit"), EXTENSIONS)


@get("/v2/health/live", tags=TAGS, opt=PUBLIC, sync_to_thread=False)
def live() -> LiveResponse:
    """Say that the process answers."""
    return LiveResponse(live=True)


@get("/v2/health/ready", tags=TAGS, opt=PUBLIC, responses=NOT_READY, sync_to_thread=False)
def ready(request: Request[Any, Any, Any]) -> Response[ReadyResponse]:
    """Say whether to send work: a model is loaded, has repeated its golden answers, and nobody asked to stop."""
    service = service_of(request)
    is_ready = service.models.current is not None and not service.is_draining
    return Response(ReadyResponse(ready=is_ready), status_code=200 if is_ready else 503)


@get(
    ["/v2/models/{name:str}", "/v2/models/{name:str}/versions/{version:str}"],
    tags=TAGS,
    responses=UNKNOWN,
    sync_to_thread=False,
)
def model_metadata(request: Request[Any, Any, Any]) -> ModelMetadata:
    """Describe a model: its tensors, its labels, and the verdict of its parity check."""
    name, model = find_model(request)
    return ModelMetadata(
        name=name,
        versions=tuple(map(str, sorted(service_of(request).models.loaded))),
        platform=PLATFORM,
        inputs=input_tensors(name, model),
        outputs=output_tensors(name, model),
        properties={
            "labels": ",".join(model.manifest.labels),
            "sha256": model.manifest.model.sha256,
            "parity": model.manifest.parity.verdict,
        },
    )


@get(
    ["/v2/models/{name:str}/config", "/v2/models/{name:str}/versions/{version:str}/config"],
    tags=TAGS,
    responses=UNKNOWN,
    sync_to_thread=False,
)
def model_config(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Describe a model as Triton's model configuration does."""
    name, model = find_model(request)
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "max_batch_size": service_of(request).settings.max_batch,
        "input": [config_tensor(tensor) for tensor in input_tensors(name, model)],
        "output": [config_tensor(tensor) for tensor in output_tensors(name, model)],
    }


@get(
    ["/v2/models/{name:str}/ready", "/v2/models/{name:str}/versions/{version:str}/ready"],
    tags=TAGS,
    responses=UNKNOWN,
    sync_to_thread=False,
)
def model_ready(request: Request[Any, Any, Any]) -> ModelReady:
    """Say that a model is loaded."""
    name, _ = find_model(request)
    return ModelReady(name, ready=True)


@post("/v2/repository/index", tags=TAGS, status_code=200, operation_class=IndexOperation, responses=MALFORMED)
async def repository_index(request: Request[Any, Any, Any]) -> list[IndexRow]:
    """List every version; with `{"ready": true}` only those that answer."""
    service = service_of(request)
    body = await within(service.settings.body_timeout_s, request.body())
    only_ready = read_index_request(body)
    return [
        IndexRow(name, str(state.version), "READY" if state.is_ready else "UNAVAILABLE", state.reason)
        for name in (service.models.name, service.models.name + IMAGE_SUFFIX)
        for state in service.models.index()
        if state.is_ready or not only_ready
    ]


@post(
    ["/v2/models/{name:str}/infer", "/v2/models/{name:str}/versions/{version:str}/infer"],
    tags=TAGS,
    status_code=200,
    operation_class=InferOperation,
    responses=INFERRED,
)
async def infer(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Run a batch of tensors, or of encoded images."""
    service = service_of(request)
    name, model = find_model(request)
    body = await within(service.settings.body_timeout_s, request.body())
    encoded, count = await service.workroom.run(
        run_inference,
        service,
        name,
        model,
        body,
        request.headers.get("content-encoding", ""),
        request.headers.get(HEADER_LENGTH),
    )
    service.metrics.count_images(model.manifest, count)
    if encoded.header_length is None:
        return Response(encoded.body, media_type="application/json")
    return Response(
        encoded.body,
        media_type="application/octet-stream",
        headers={HEADER_LENGTH: str(encoded.header_length)},
    )


INFERENCE_HANDLERS: list[HTTPRouteHandler] = [
    server_metadata,
    live,
    ready,
    model_metadata,
    model_config,
    model_ready,
    repository_index,
    infer,
]


def run_inference(
    service: Service, name: str, model: Classifier, body: bytes, encoding: str, header_length: str | None
) -> tuple[EncodedResponse, int]:
    """Take a request's bytes to a response's, and count the images. Raises `LiveDigitError`."""
    content = decompress(body, encoding.strip().lower(), service.settings.max_body_bytes)
    takes_images = name.endswith(IMAGE_SUFFIX) and name != model.manifest.name
    if header_length is not None and header_length.strip() == "0":
        inference = raw_inference(model, content, takes_images)
    else:
        inference = parse_inference(content, header_length)
    if takes_images:
        images = prepare_batch(inference, model, service.settings.max_batch, service.settings.max_pixels)
    else:
        images = check_batch(inference, model, service.settings.max_batch)
    outputs = name_outputs(model, model.run(images), takes_images)
    version = str(model.manifest.version)
    return encode_response(name, version, inference, outputs, model.manifest.labels), len(images)


def raw_inference(model: Classifier, content: bytes, takes_images: bool) -> Inference:
    """Read a body that is one input of batch 1 and nothing else. Raises `InvalidTensor`."""
    if takes_images:
        return Inference("", {IMAGE_INPUT: np.array([content], object)}, (), True)
    stated = model.manifest.inputs[0]
    shape = [size if isinstance(size, int) else 1 for size in stated.shape]
    if len(content) != 4 * int(np.prod(shape)):
        raise InvalidTensor(f"{len(content)} bytes, but one {stated.name} takes {4 * int(np.prod(shape))}")
    return Inference("", {stated.name: np.frombuffer(content, "<f4").reshape(shape)}, (), True)


def check_batch(inference: Inference, model: Classifier, max_batch: int) -> Array:
    """Hold a tensor against what the model takes. Raises `InvalidTensor`."""
    stated = model.manifest.inputs[0]
    images = only_input(inference, stated.name)
    if images.dtype != np.dtype("<f4"):
        raise InvalidTensor(f"input {stated.name!r} is {images.dtype}, the model takes FP32")
    fits = len(images.shape) == len(stated.shape) and all(
        isinstance(wanted, str) or wanted == found for wanted, found in zip(stated.shape, images.shape, strict=True)
    )
    if not fits:
        raise InvalidTensor(
            f"input {stated.name!r} has shape {list(images.shape)}, the model takes {list(stated.shape)}"
        )
    check_count(len(images), max_batch)
    if not np.isfinite(images).all():
        raise InvalidTensor(f"input {stated.name!r} holds NaN or infinity")
    return images


def prepare_batch(inference: Inference, model: Classifier, max_batch: int, max_pixels: int) -> Array:
    """Take encoded images to (N, 28, 28, 1) float32. Raises `InvalidTensor`, naming the image."""
    encoded = only_input(inference, IMAGE_INPUT)
    if encoded.dtype != object:
        raise InvalidTensor(f"input {IMAGE_INPUT!r} is {encoded.dtype}, the model takes BYTES")
    check_count(encoded.size, max_batch)
    tensors = []
    for index, data in enumerate(encoded.ravel()):
        try:
            tensors.append(prepare_image(data, model.preprocessing, max_pixels).tensor)
        except ImageError as error:
            raise InvalidTensor(f"image {index}: {error}") from error
    return np.stack(tensors)


def only_input(inference: Inference, name: str) -> Array:
    """Give the one input that the model has. Raises `InvalidTensor`."""
    if list(inference.inputs) != [name]:
        raise InvalidTensor(f"inputs are {list(inference.inputs)}, the model takes {[name]}")
    return inference.inputs[name]


def check_count(count: int, max_batch: int) -> None:
    """Refuse empty and oversized batches. Raises `InvalidTensor`."""
    if not 1 <= count <= max_batch:
        raise InvalidTensor(f"a batch of {count}, expected 1 to {max_batch}")


def name_outputs(model: Classifier, answer: Answer, takes_images: bool) -> dict[str, Array]:
    """Name the outputs in the order of the metadata."""
    by_name: dict[str, Array] = answer._asdict()
    outputs = {tensor.name: by_name[tensor.name] for tensor in model.manifest.outputs}
    if not takes_images:
        return outputs
    labels = [model.manifest.labels[index].encode() for index in answer.probabilities.argmax(axis=1)]
    return {LABEL_OUTPUT: np.array(labels, object), **outputs}


def find_model(request: Request[Any, Any, Any]) -> tuple[str, Classifier]:
    """Find the model that a path names. Raises `UnknownModel` or `ModelUnavailable`."""
    models = service_of(request).models
    name = request.path_params["name"]
    if name not in (models.name, models.name + IMAGE_SUFFIX):
        raise UnknownModel(f"there is no model {name[:60]!r}, expected {models.name} or {models.name + IMAGE_SUFFIX}")
    model = models.version(request.path_params.get("version", ""))
    if name != models.name and model.manifest.preprocessing is None:
        raise UnknownModel(f"model {models.name!r} takes tensors only")
    return name, model


def input_tensors(name: str, model: Classifier) -> tuple[TensorMetadata, ...]:
    """Describe the input of one of the two models."""
    if name != model.manifest.name:
        return (TensorMetadata(IMAGE_INPUT, "BYTES", (-1,)),)
    return tuple(map(as_metadata, model.manifest.inputs))


def output_tensors(name: str, model: Classifier) -> tuple[TensorMetadata, ...]:
    """Describe the outputs of one of the two models."""
    outputs = tuple(map(as_metadata, model.manifest.outputs))
    if name != model.manifest.name:
        return (TensorMetadata(LABEL_OUTPUT, "BYTES", (-1,)), *outputs)
    return outputs


def as_metadata(tensor: TensorSpec) -> TensorMetadata:
    """Write a tensor of the manifest as the protocol does: -1 for what the caller chooses."""
    sizes = tuple(size if isinstance(size, int) else -1 for size in tensor.shape)
    return TensorMetadata(tensor.name, DATATYPES[tensor.dtype], sizes)


def config_tensor(tensor: TensorMetadata) -> dict[str, Any]:
    """Write a tensor as a model configuration does: without its batch dimension."""
    datatype = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return {"name": tensor.name, "data_type": f"TYPE_{datatype}", "dims": tensor.shape[1:] or (1,)}


def read_index_request(body: bytes) -> bool:
    """Read `{"ready": bool}`; an empty body is an empty object. Raises `InvalidTensor`."""
    try:
        document = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidTensor(f"the request's JSON: {error}") from error
    return document.get("ready") is True
