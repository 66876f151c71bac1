"""`POST /read`: an image or strokes in, a whole number out."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, post

from service.contract import ReadRequest, ReadResponse, ReadStrokes
from service.openapi import WORK_REASONS, ReadOperation, problems
from service.overload import WORK
from service.prediction import StageClock
from service.reading import read_number_image, read_number_strokes
from service.routes.bodies import decode_json, media_type, within
from service.routes.predict import decode_base64, read_drawing
from service.state import service_of

REFUSALS = problems(
    s400="Not an image, damaged, no ink, no number on one line, more than twelve digits, or not JSON.",
    s415="A content type that is not read here.",
    s422="JSON or a form of the wrong shape.",
    **WORK_REASONS,
)

decode_request = msgspec.json.Decoder(ReadRequest).decode


@post("/read", tags=["Digits"], status_code=200, opt=WORK, operation_class=ReadOperation, responses=REFUSALS)
async def read(request: Request[Any, Any, Any]) -> ReadResponse:
    """Read the number, of one to twelve digits on one line, in an image or in strokes."""
    service = service_of(request)
    model = service.models.serving()
    clock = StageClock()
    drawing = await within(service.settings.body_timeout_s, read_number_drawing(request))
    clock.mark("read")
    if isinstance(drawing, ReadStrokes):
        answer = await service.workroom.run(read_number_strokes, model, drawing, clock)
    else:
        answer = await service.workroom.run(read_number_image, model, drawing, service.settings.max_pixels, clock)
    request.scope["state"]["stages"] = clock.stages
    service.metrics.count_reading(model.manifest, len(answer.response.number), answer.candidates, clock.stages)
    return answer.response


async def read_number_drawing(request: Request[Any, Any, Any]) -> bytes | ReadStrokes:
    """Read the image from any form of body that `/predict` takes, or strokes from JSON."""
    if media_type(request) != "application/json":
        return (await read_drawing(request)).image
    document = decode_json(decode_request, await request.body())
    if document.image is not None:
        return decode_base64(document.image)
    return ReadStrokes(document.strokes or (), document.width, document.height)
