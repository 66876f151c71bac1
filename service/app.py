"""`create_app`: error table and wiring."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from litestar import Litestar, Request, Response
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.exceptions import HTTPException, InternalServerException, TooManyRequestsException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.types import Guard, Middleware

from service.access import require_host, require_key
from service.corrections import open_corrections
from service.errors import (
    ArtifactError,
    BodyTooLarge,
    CorrectionNotKept,
    DeadlineExceeded,
    FeedbackUnwanted,
    HostRefused,
    ImageError,
    InferenceFailure,
    InvalidTensor,
    LiveDigitError,
    ModelUnavailable,
    Overloaded,
    UnknownModel,
    UnsupportedEncoding,
)
from service.lifecycle import run_service
from service.metrics import Metrics
from service.models import ModelStore
from service.openapi import openapi_config, rapidoc
from service.overload import BoundedBodies, ErrorAnswer, TurnAway
from service.routes.feedback import feedback_state, keep_correction
from service.routes.health import health, metrics
from service.routes.inference_v2 import HEADER_LENGTH, INFERENCE_HANDLERS
from service.routes.page import page_handlers
from service.routes.predict import predict
from service.routes.read import read
from service.settings import Settings, load_settings, web_folder
from service.state import Service
from service.telemetry import Telemetry, handler_name
from service.tracing import tracing_plugins
from service.workroom import Workroom

logger = logging.getLogger(__name__)

STATUS: dict[type[LiveDigitError], HTTPStatus] = {
    ImageError: HTTPStatus.BAD_REQUEST,
    InvalidTensor: HTTPStatus.BAD_REQUEST,
    HostRefused: HTTPStatus.BAD_REQUEST,
    UnknownModel: HTTPStatus.NOT_FOUND,
    FeedbackUnwanted: HTTPStatus.NOT_FOUND,
    BodyTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedEncoding: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ModelUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    CorrectionNotKept: HTTPStatus.INSUFFICIENT_STORAGE,
    InferenceFailure: HTTPStatus.INTERNAL_SERVER_ERROR,
    ArtifactError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
RETRY_AFTER_S: dict[type[Exception], str] = {ModelUnavailable: "30", Overloaded: "1"}
EXPOSED = [HEADER_LENGTH, "Retry-After", "X-Request-ID", "Server-Timing"]
"""Headers that a page of another origin may read besides those that it always may."""
WORDS: dict[type[Exception], str] = {
    RequestEntityTooLarge: "the body is larger than this server accepts: send less at a time",
    TooManyRequestsException: "too many requests from this address: try again later",
}
"""What to say where Litestar gives a status' own name and no more."""
UNTOLD = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR})
"""Statuses whose reason is for the log and not for the client."""


def create_app(settings: Settings | None = None, models: ModelStore | None = None) -> Litestar:
    """Build the application; without settings, from the environment; without models, with those that it loads.

    Raises `UsageError` for a bad setting, `ArtifactError` or `ModelNotFound` for a model that cannot be served, and
    `LiveDigitError` where several workers have no room for their figures.
    """
    settings = load_settings() if settings is None else settings
    if models is None:
        models = ModelStore(settings)
        models.load()
    service = create_service(settings, models)
    app = Litestar(
        route_handlers=[
            predict,
            read,
            feedback_state,
            keep_correction,
            health,
            metrics,
            rapidoc,
            *INFERENCE_HANDLERS,
            *page_handlers(web_folder()),
        ],
        exception_handlers={Exception: answer_error},
        lifespan=[run_service],
        logging_config=None,
        openapi_config=openapi_config(),
        plugins=tracing_plugins(settings),
        guards=guards(settings),
        middleware=rate_limit(settings),
        cors_config=cors(settings),
        request_max_body_size=settings.max_body_bytes,
        state=State({"service": service}),
    )
    app.asgi_handler = BoundedBodies(app.asgi_handler, settings.max_large_bodies, settings.max_body_bytes)
    if not settings.cors_origins:
        # A page of another origin may only read an answer that names it, refusals included.
        app.asgi_handler = TurnAway(app, service.workroom, describe_answer)
    app.asgi_handler = Telemetry(app.asgi_handler, service.metrics, settings.access_log, lambda: service.is_draining)
    return app


def create_service(settings: Settings, models: ModelStore) -> Service:
    """Make what the handlers share."""
    figures = Metrics()
    models.report_to(figures)
    return Service(
        settings=settings,
        models=models,
        workroom=Workroom(settings.max_inflight, settings.max_queue, settings.request_timeout_s, figures.set_pending),
        metrics=figures,
        corrections=open_corrections(settings),
    )


def rate_limit(settings: Settings) -> list[Middleware]:
    """Limit requests per client address; the page and the health checks are free."""
    if not settings.rate_limit_per_minute:
        return []
    config = RateLimitConfig(
        rate_limit=("minute", settings.rate_limit_per_minute), exclude=["^/$", "^/static/", "^/health$", "^/v2/health/"]
    )
    return [config.middleware]


def cors(settings: Settings) -> CORSConfig | None:
    """Let pages of other origins call the server, and read the headers that say something of an answer."""
    if not settings.cors_origins:
        return None
    return CORSConfig(allow_origins=list(settings.cors_origins), expose_headers=EXPOSED)


def guards(settings: Settings) -> list[Guard]:
    """Choose the checks of who may ask: none that the settings do not want."""
    hosts: list[Guard] = [require_host] if settings.allowed_hosts else []
    keys: list[Guard] = [require_key] if settings.api_keys else []
    return hosts + keys


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Turn any error into an answer; what nobody expected is logged, and its reason stays inside."""
    # Not `request.url`: to put it together fails where the Host header is no address.
    answer = describe_answer(request.scope["path"], error)
    if answer.status in UNTOLD:
        logger.error("%s %s failed", request.method, handler_name(request.scope), exc_info=error)
    return Response(answer.content, media_type=answer.media_type, status_code=answer.status, headers=answer.headers)


def describe_answer(path: str, error: Exception) -> ErrorAnswer:
    """Say how to tell an error.

    Under `/v2` as the Open Inference Protocol has it, elsewhere as problem details (RFC 9457).
    """
    status, detail = describe(error)
    if is_inference_protocol(path):
        return ErrorAnswer(status, "application/json", {"error": detail}, error_headers(error))
    problem = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail}
    return ErrorAnswer(status, "application/problem+json", problem, error_headers(error))


def is_inference_protocol(path: str) -> bool:
    """Tell the paths of the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def describe(error: Exception) -> tuple[HTTPStatus, str]:
    """Find the status and the words for an error."""
    if is_disconnect(error):
        return HTTPStatus.BAD_REQUEST, "the client hung up before its body had arrived"
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return status, WORDS.get(type(error)) or error.detail or status.phrase
    status = next(
        (status for kind, status in STATUS.items() if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR
    )
    return status, "internal error" if status in UNTOLD else str(error)


def is_disconnect(error: Exception) -> bool:
    """Tell a client that hung up from a defect of ours; Litestar gives both the same type (seen with 2.25)."""
    return isinstance(error, InternalServerException) and error.detail == "client disconnected prematurely"


def error_headers(error: Exception) -> dict[str, str]:
    """Give the headers that go with an error."""
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.TOO_MANY_REQUESTS and "RateLimit-Reset" in headers:
            headers["Retry-After"] = headers["RateLimit-Reset"]
        return headers
    return {"Retry-After": RETRY_AFTER_S[type(error)]} if type(error) in RETRY_AFTER_S else {}
