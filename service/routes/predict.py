"""`POST /predict`: an image in, a digit out."""

from __future__ import annotations

import binascii
from typing import Any, NamedTuple

import msgspec
from litestar import Request, post
from litestar.exceptions import HTTPException
from litestar.openapi import ResponseSpec
from litestar.types import ASGIApp

from service.contract import PredictRequest, PredictResponse
from service.errors import UndecodableImage
from service.openapi import OTHER_HOST, WORK_REASONS, PredictOperation, problems
from service.overload import WORK
from service.prediction import StageClock, is_brief, predict_steps
from service.preprocessing import FORMATS
from service.routes.answers import JSON, EncodedAnswer
from service.routes.bodies import decode_json, media_type, parse_form, within
from service.state import service_of

IMAGE_TYPES = frozenset(f"image/{kind.lower()}" for kind in FORMATS)
ACCEPTED = f"application/json, multipart/form-data, {', '.join(sorted(IMAGE_TYPES))}"

ANSWERS = {
    200: ResponseSpec(PredictResponse, description="The digit, and what else it may be.", generate_examples=False),
    **problems(
        s400=f"Not an image, damaged, too many pixels, no ink, not JSON, or {OTHER_HOST}.",
        s413="The body is too large.",
        s415="A content type that is not read here.",
        s422="JSON or a form of the wrong shape.",
        **WORK_REASONS,
    ),
}

decode_request = msgspec.json.Decoder(PredictRequest).decode


class Drawing(NamedTuple):
    """What a client sent, in whichever form."""

    image: bytes
    debug: bool


@post("/predict", tags=["Digits"], status_code=200, opt=WORK, operation_class=PredictOperation, responses=ANSWERS)
async def predict(request: Request[Any, Any, Any]) -> ASGIApp:
    """Read the digit in an image."""
    service = service_of(request)
    model = service.models.serving()
    clock = StageClock()
    drawing = await within(service.settings.body_timeout_s, read_drawing(request))
    clock.mark("read")
    steps = predict_steps(model, drawing.image, service.settings.max_pixels, drawing.debug, clock)
    answer = await service.workroom.work(steps, is_brief(drawing.image))
    request.scope["state"]["stages"] = clock.stages
    service.metrics.count_prediction(model.manifest, str(answer.digit), answer.confidence, clock.stages)
    return EncodedAnswer(msgspec.json.encode(answer), JSON)


async def read_drawing(request: Request[Any, Any, Any]) -> Drawing:
    """Read the image from any of the three forms of body; 415 for others."""
    content_type = media_type(request)
    if content_type == "application/json":
        return read_json(await request.body())
    if content_type in IMAGE_TYPES:
        return Drawing(await request.body(), is_true(request.query_params.get("debug")))
    if content_type == "multipart/form-data":
        return read_form(await request.body(), request.content_type[1].get("boundary", ""))
    raise HTTPException(
        detail=f"Content-Type is {content_type or 'missing'}, expected one of: {ACCEPTED}", status_code=415
    )


def read_json(body: bytes) -> Drawing:
    """Read `{"image": base64, "debug": bool}`: 400 where it is not JSON, 422 where its shape is wrong."""
    document = decode_json(decode_request, body)
    return Drawing(decode_base64(document.image), document.debug)


def read_form(body: bytes, boundary: str) -> Drawing:
    """Read the fields `image` and `debug` of a form: 400 where it is no form, 422 where there is not one image."""
    fields = parse_form(body, boundary)
    images = [field.content for field in fields if field.name == "image" and field.is_file]
    if len(images) != 1:
        raise HTTPException(
            detail=f"the form has {len(images)} fields `image` with a file name, expected one", status_code=422
        )
    debug = any(is_true(field.content.decode(errors="replace")) for field in fields if field.name == "debug")
    return Drawing(images[0], debug)


def decode_base64(text: str) -> bytes:
    """Decode base64 behind an optional data-URL prefix. Raises `UndecodableImage`."""
    prefix, comma, rest = text.partition(",")
    encoded = rest if comma and prefix.startswith("data:") else text
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except ValueError as error:
        raise UndecodableImage(f"`image` is not base64: {error}") from error


def is_true(value: object) -> bool:
    """Read a flag from a query string or a form."""
    return str(value).lower() in {"1", "true", "yes", "on"}
