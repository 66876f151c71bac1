"""`POST /predict`: an image in, a digit out."""

from __future__ import annotations

import binascii
import codecs
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from litestar import Request, post
from litestar.datastructures import UploadFile
from litestar.exceptions import ClientException, HTTPException
from litestar.openapi import ResponseSpec
from litestar.types import ASGIApp
from multipart import MultipartError, MultipartSegment, PushMultipartParser  # type: ignore[import-untyped]

from service.contract import PredictRequest, PredictResponse
from service.errors import UndecodableImage
from service.openapi import OTHER_HOST, WORK_REASONS, PredictOperation, problems
from service.overload import WORK
from service.prediction import StageClock, is_brief, predict_steps
from service.preprocessing import FORMATS
from service.routes.answers import JSON, EncodedAnswer
from service.routes.bodies import decode_json, media_type, within
from service.state import service_of

IMAGE_TYPES = frozenset(f"image/{kind.lower()}" for kind in FORMATS)
ACCEPTED = f"application/json, multipart/form-data, {', '.join(sorted(IMAGE_TYPES))}"
SLOW_ENCODING = "punycode"

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
        return await read_form(request)
    raise HTTPException(
        detail=f"Content-Type is {content_type or 'missing'}, expected one of: {ACCEPTED}", status_code=415
    )


def read_json(body: bytes) -> Drawing:
    """Read `{"image": base64, "debug": bool}`: 400 where it is not JSON, 422 where its shape is wrong."""
    document = decode_json(decode_request, body)
    return Drawing(decode_base64(document.image), document.debug)


async def read_form(request: Request[Any, Any, Any]) -> Drawing:
    """Read the field `image` of a form: 400 where it is no form, 422 where the field is missing."""
    body = await request.body()
    try:
        refuse_slow_encoding(body, request.content_type[1].get("boundary", ""), request.app.multipart_form_part_limit)
        form = await request.form()
    except (UnicodeError, LookupError) as error:
        # Litestar reads a part without a file name as text, in the encoding that it names (seen with 2.24).
        raise ClientException(f"a text field of the form is not in its encoding: {error}") from error
    image = form.get("image")
    if not isinstance(image, UploadFile):
        raise HTTPException(detail="the form has no file in a field named `image`", status_code=422)
    return Drawing(await image.read(), is_true(form.get("debug")))


def refuse_slow_encoding(body: bytes, boundary: str, most_parts: int) -> None:
    """Refuse a text field in punycode, which takes Python a time that grows with the square of the length.

    Litestar decodes on the event loop: half a megabyte kept everybody waiting for eleven seconds (seen with 2.25).
    Raises `LookupError`, as for an encoding that there is not.
    """
    with suppress(MultipartError), PushMultipartParser(boundary.encode(), max_segment_count=most_parts) as parser:
        for part in parser.parse(body):
            is_text = isinstance(part, MultipartSegment) and not part.filename
            if is_text and part.charset and codecs.lookup(part.charset).name == SLOW_ENCODING:
                raise LookupError(f"{SLOW_ENCODING} is not read here")


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
