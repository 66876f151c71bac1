"""`/v2`: the Open Inference Protocol, REST side.

Several models look at the same weights: `NAME` takes prepared tensors, `NAME_image` takes encoded images through the
preprocessing, `NAME_number` reads whole numbers in them; `service.model_kinds` holds them. Source:
kserve/open-inference-protocol, inference_rest.md; repository index and classification as in Triton Inference Server.
"""

from __future__ import annotations

import time
from importlib.metadata import version as package_version
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import ResponseSpec
from litestar.types import ASGIApp

from service.access import PUBLIC
from service.classifier import Classifier
from service.contract import (
    UNREADABLE_JSON,
    IndexRow,
    InferResponse,
    LiveResponse,
    ModelMetadata,
    ModelReady,
    ReadyResponse,
    ServerMetadata,
    TensorMetadata,
)
from service.errors import InvalidTensor, UnknownModel
from service.model_kinds import Limits, ModelKind, TensorKind, kinds_by_name
from service.openapi import ACCESS_REASONS, OTHER_HOST, WORK_REASONS, IndexOperation, InferOperation, inference_errors
from service.overload import WORK
from service.questions import Steps
from service.routes.answers import BINARY, JSON, EncodedAnswer
from service.routes.bodies import within
from service.settings import Settings
from service.state import service_of
from service.tensors import EncodedResponse, decompress, encode_response, parse_inference

BRIEF_BYTES = 32 * 1024
"""Ten tensors in binary, or two in JSON."""
HEADER_LENGTH = "Inference-Header-Content-Length"
EXTENSIONS = ("binary_tensor_data", "classification", "model_repository(index)", "model_configuration")
PLATFORM = "onnx_onnxv1"
TAGS = ["Open Inference Protocol"]

REFUSED = inference_errors(s400=f"The request names {OTHER_HOST}.", **ACCESS_REASONS)
UNKNOWN = REFUSED | inference_errors(s404="No such model, or version not loaded.", s503="No model is loaded.")
NOT_READY = {503: ResponseSpec(ReadyResponse, description="Not ready.", generate_examples=False)}
MALFORMED = inference_errors(
    s400=f"The body is not a JSON object, or the request names {OTHER_HOST}.",
    **ACCESS_REASONS,
    s408="The body did not arrive in time.",
    s413="The body is too large.",
    s503="Too many large bodies are being worked on; see Retry-After.",
)
INFERRED = {
    200: ResponseSpec(InferResponse, description="The outputs that were asked for.", generate_examples=False),
    **inference_errors(
        s400=f"The request cannot be read, does not fit the model, or names {OTHER_HOST}.",
        s404="No such model, or version not loaded.",
        s413="The body is too large, as sent or once decompressed.",
        s415="The body is compressed in a way that is not undone here.",
        **WORK_REASONS,
    ),
}


@get("/v2", tags=TAGS, responses=REFUSED, sync_to_thread=False)
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
    name, kind, model = find_model(request)
    return ModelMetadata(
        name=name,
        versions=tuple(map(str, sorted(service_of(request).models.loaded))),
        platform=PLATFORM,
        inputs=kind.input_tensors(model),
        outputs=kind.output_tensors(model),
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
    name, kind, model = find_model(request)
    return {
        "name": name,
        "platform": PLATFORM,
        "backend": "onnxruntime",
        "max_batch_size": kind.most(service_of(request).settings.max_batch),
        "input": [config_tensor(tensor) for tensor in kind.input_tensors(model)],
        "output": [config_tensor(tensor) for tensor in kind.output_tensors(model)],
    }


@get(
    ["/v2/models/{name:str}/ready", "/v2/models/{name:str}/versions/{version:str}/ready"],
    tags=TAGS,
    responses=UNKNOWN,
    sync_to_thread=False,
)
def model_ready(request: Request[Any, Any, Any]) -> ModelReady:
    """Say that a model is loaded."""
    name, _, _ = find_model(request)
    return ModelReady(name, ready=True)


@post("/v2/repository/index", tags=TAGS, status_code=200, operation_class=IndexOperation, responses=MALFORMED)
async def repository_index(request: Request[Any, Any, Any]) -> list[IndexRow]:
    """List every version; with `{"ready": true}` only those that answer."""
    service = service_of(request)
    body = await within(service.settings.body_timeout_s, request.body())
    only_ready = read_index_request(body)
    return [
        IndexRow(name, str(state.version), "READY" if state.is_ready else "UNAVAILABLE", state.reason)
        for name in kinds_by_name(service.models.name)
        for state in service.models.index()
        if state.is_ready or not only_ready
    ]


@post(
    ["/v2/models/{name:str}/infer", "/v2/models/{name:str}/versions/{version:str}/infer"],
    tags=TAGS,
    status_code=200,
    opt=WORK,
    operation_class=InferOperation,
    responses=INFERRED,
)
async def infer(request: Request[Any, Any, Any]) -> ASGIApp:
    """Run a batch of tensors, or of encoded images."""
    service = service_of(request)
    name, kind, model = find_model(request)
    body = await within(service.settings.body_timeout_s, request.body())
    encoding = request.headers.get("content-encoding", "")
    limits = limits_of(service.settings)
    steps = infer_steps(limits, name, kind, model, body, encoding, request.headers.get(HEADER_LENGTH))
    is_brief = isinstance(kind, TensorKind) and not encoding and len(body) <= BRIEF_BYTES
    encoded, count = await service.workroom.work(steps, is_brief)
    service.metrics.count_images(model.manifest, count)
    return answer_with(encoded)


def answer_with(encoded: EncodedResponse) -> EncodedAnswer:
    """Send a response, which is JSON, or JSON with raw tensors behind it."""
    if encoded.header_length is None:
        return EncodedAnswer(encoded.body, JSON)
    return EncodedAnswer(encoded.body, BINARY, [(HEADER_LENGTH.lower().encode(), b"%d" % encoded.header_length)])


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


def limits_of(settings: Settings) -> Limits:
    """Set the limits of a request that has arrived."""
    deadline = time.monotonic() + settings.request_timeout_s
    return Limits(settings.max_body_bytes, settings.max_batch, settings.max_pixels, deadline)


def infer_steps(
    limits: Limits,
    name: str,
    kind: ModelKind,
    model: Classifier,
    body: bytes,
    encoding: str,
    header_length: str | None,
) -> Steps[tuple[EncodedResponse, int]]:
    """Take a request's bytes to a response's, and count the images. Raises `LiveDigitError`."""
    content = decompress(body, encoding.strip().lower(), limits.max_body_bytes)
    if header_length is not None and header_length.strip() == "0":
        inference = kind.raw_inference(model, content)
    else:
        inference = parse_inference(content, header_length)
    outputs = yield from kind.steps(model, inference, limits)
    version = str(model.manifest.version)
    return encode_response(name, version, inference, outputs.tensors, model.manifest.labels), outputs.images


def find_model(request: Request[Any, Any, Any]) -> tuple[str, ModelKind, Classifier]:
    """Find the model that a path names. Raises `UnknownModel` or `ModelUnavailable`."""
    models = service_of(request).models
    name = request.path_params["name"]
    kinds = kinds_by_name(models.name)
    if name not in kinds:
        raise UnknownModel(f"there is no model {name[:60]!r}, expected one of: {', '.join(kinds)}")
    model = models.version(request.path_params.get("version", ""))
    kinds[name].check(model)
    return name, kinds[name], model


def config_tensor(tensor: TensorMetadata) -> dict[str, Any]:
    """Write a tensor as a model configuration does: without its batch dimension."""
    datatype = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return {"name": tensor.name, "data_type": f"TYPE_{datatype}", "dims": tensor.shape[1:] or (1,)}


def read_index_request(body: bytes) -> bool:
    """Read `{"ready": bool}`; an empty body is an empty object. Raises `InvalidTensor`."""
    try:
        document = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except UNREADABLE_JSON as error:
        raise InvalidTensor(f"the request's JSON: {error}") from error
    return document.get("ready") is True
