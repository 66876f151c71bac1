"""`POST /read`: an image or strokes in, a whole number out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import msgspec
from litestar import Request, post

from service.classifier import Classifier
from service.contract import ReadRequest, ReadResponse, ReadStrokes
from service.errors import UnreadableNumber
from service.openapi import OTHER_HOST, WORK_REASONS, ReadOperation, problems
from service.overload import WORK
from service.prediction import StageClock
from service.reading import MAX_POINTS, NumberAnswer, read_number_image, read_number_strokes
from service.routes.bodies import decode_json, media_type, within
from service.routes.predict import decode_base64, read_drawing
from service.state import service_of

REFUSALS = problems(
    s400=(
        "Not an image, damaged, too many pixels, no ink, no number on one line, more than twelve digits, not JSON, or "
        f"{OTHER_HOST}."
    ),
    s413="The body is too large.",
    s415="A content type that is not read here.",
    s422="JSON or a form of the wrong shape.",
    **WORK_REASONS,
)

Drawing: TypeAlias = bytes | ReadStrokes
"""An encoded image, or strokes."""

decode_request = msgspec.json.Decoder(ReadRequest).decode


@post("/read", tags=["Digits"], status_code=200, opt=WORK, operation_class=ReadOperation, responses=REFUSALS)
async def read(request: Request[Any, Any, Any]) -> ReadResponse:
    """Read the number, of one to twelve digits on one line, in an image or in strokes."""
    service = service_of(request)
    model = service.models.serving()
    clock = StageClock()
    take_drawing = await within(service.settings.body_timeout_s, receive_drawing(request))
    clock.mark("read")
    answer = await service.workroom.run(read_number, model, take_drawing, service.settings.max_pixels, clock)
    request.scope["state"]["stages"] = clock.stages
    service.metrics.count_reading(model.manifest, len(answer.response.number), answer.candidates, clock.stages)
    return answer.response


async def receive_drawing(request: Request[Any, Any, Any]) -> Callable[[], Drawing]:
    """Wait for any form of body that `/predict` takes, or JSON, which is decoded when the drawing is taken from it."""
    if media_type(request) == "application/json":
        return partial(decode_drawing, await request.body())
    image = (await read_drawing(request)).image
    return lambda: image


def read_number(
    model: Classifier, take_drawing: Callable[[], Drawing], max_pixels: int, clock: StageClock
) -> NumberAnswer:
    """Read the number in an image or in strokes, in a thread.

    Strokes take twenty times as much memory once they are decoded, so only those that are being read are. Raises
    `ImageError`, `InferenceFailure`, `ModelUnavailable` or `HTTPException`.
    """
    clock.mark("queue")
    drawing = take_drawing()
    if isinstance(drawing, ReadStrokes):
        return read_number_strokes(model, drawing, clock)
    return read_number_image(model, drawing, max_pixels, clock)


def decode_drawing(body: bytes) -> Drawing:
    """Take the image or the strokes from JSON. Raises `ImageError`, or `HTTPException` where the JSON is wrong."""
    # A point and a stroke have a bracket each, so that there are more points than are read, whatever else is there.
    if body.count(b"[") > 2 * MAX_POINTS + 1:
        raise UnreadableNumber(f"the strokes have more than the {MAX_POINTS:,} points accepted")
    document = decode_json(decode_request, body)
    if document.image is not None:
        return decode_base64(document.image)
    return ReadStrokes(document.strokes or (), document.width, document.height)
