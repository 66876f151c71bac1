"""`POST /feedback`: a drawing that was read wrongly, with the right digit, where the operator wants to know."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get, post
from litestar.exceptions import HTTPException

from service.contract import CorrectionReceipt, CorrectionRequest, FeedbackState
from service.corrections import CorrectionStore
from service.errors import FeedbackUnwanted, LiveDigitError
from service.openapi import ACCESS_REASONS, OTHER_HOST, FeedbackOperation, problems
from service.routes.bodies import decode_json, media_type, within
from service.state import Service, service_of

MAX_BODY_BYTES = 64 * 1024
"""A digit has some hundreds of points, of about a dozen bytes."""

REFUSALS = problems(
    s400=f"Not JSON, or {OTHER_HOST}.",
    s404="This server takes no corrections.",
    s408="The body did not arrive in time.",
    s413="The body is larger than 64 KiB.",
    s415="Not application/json.",
    s422="JSON of the wrong shape: a label that is no digit, or points outside the canvas.",
    s503="Too many corrections are being written; see Retry-After.",
    s504="Writing took too long.",
    s507="There is no room for more corrections, or they cannot be written.",
    **ACCESS_REASONS,
)
REFUSED = problems(s400=f"The request names {OTHER_HOST}.", **ACCESS_REASONS)

decode_request = msgspec.json.Decoder(CorrectionRequest).decode


@get("/feedback", tags=["Corrections"], responses=REFUSED, sync_to_thread=False)
def feedback_state(request: Request[Any, Any, Any]) -> FeedbackState:
    """Say whether corrections are wanted."""
    return FeedbackState(service_of(request).corrections is not None)


@post(
    "/feedback",
    tags=["Corrections"],
    operation_class=FeedbackOperation,
    responses=REFUSALS,
    request_max_body_size=MAX_BODY_BYTES,
)
async def keep_correction(request: Request[Any, Any, Any]) -> CorrectionReceipt:
    """Keep a drawing with the digit that was meant, for a person to check."""
    service = service_of(request)
    store = corrections_of(service)
    correction = await within(service.settings.body_timeout_s, read_correction(request))
    model = service.models.current
    try:
        receipt = await store.keep(correction, model.manifest if model else None)
    except LiveDigitError:
        service.metrics.count_correction(kept=False)
        raise
    service.metrics.count_correction(kept=True)
    return CorrectionReceipt(receipt)


async def read_correction(request: Request[Any, Any, Any]) -> CorrectionRequest:
    """Read the body."""
    # A page of another origin can send other types without asking, and this one only where CORS allows it.
    if media_type(request) != "application/json":
        raise HTTPException(detail="expected Content-Type application/json", status_code=415)
    return decode_json(decode_request, await request.body())


def corrections_of(service: Service) -> CorrectionStore:
    """Give the store. Raises `FeedbackUnwanted`."""
    if service.corrections is None:
        raise FeedbackUnwanted("this server takes no corrections; its operator switches them on with --feedback-dir")
    return service.corrections
