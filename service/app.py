"""`create_app`: lifespan, error table, wiring."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.types import Middleware

from service.errors import (
    ArtifactError,
    DeadlineExceeded,
    ImageError,
    InferenceFailure,
    ModelUnavailable,
    Overloaded,
)
from service.models import ModelStore
from service.routes.health import health
from service.routes.page import page_handlers
from service.routes.predict import predict
from service.settings import Settings, load_settings, web_folder
from service.state import Service
from service.workroom import Workroom

logger = logging.getLogger(__name__)

STATUS = {
    ImageError: HTTPStatus.BAD_REQUEST,
    ModelUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    Overloaded: HTTPStatus.SERVICE_UNAVAILABLE,
    DeadlineExceeded: HTTPStatus.GATEWAY_TIMEOUT,
    InferenceFailure: HTTPStatus.INTERNAL_SERVER_ERROR,
    ArtifactError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
RETRY_AFTER_S: dict[type[Exception], str] = {ModelUnavailable: "30", Overloaded: "1"}


def create_app(settings: Settings | None = None) -> Litestar:
    """Build the application; without settings, from the environment.

    Raises `UsageError` for a bad setting, `ArtifactError` or `ModelNotFound` for a model that cannot be served.
    """
    settings = load_settings() if settings is None else settings
    service = Service(
        settings=settings,
        models=ModelStore(settings),
        workroom=Workroom(settings.max_inflight, settings.max_queue, settings.request_timeout_s),
    )
    service.models.load()
    return Litestar(
        route_handlers=[predict, health, *page_handlers(web_folder())],
        exception_handlers={Exception: answer_error},
        lifespan=[run_service],
        logging_config=None,
        middleware=rate_limit(settings),
        request_max_body_size=settings.max_body_bytes,
        state=State({"service": service}),
    )


def rate_limit(settings: Settings) -> list[Middleware]:
    """Limit requests per client address; the page and the health checks are free."""
    if not settings.rate_limit_per_minute:
        return []
    config = RateLimitConfig(
        rate_limit=("minute", settings.rate_limit_per_minute), exclude=["^/$", "^/static/", "/health"]
    )
    return [config.middleware]


@asynccontextmanager
async def run_service(app: Litestar) -> AsyncIterator[None]:
    """End the threads with the application."""
    yield
    app.state.service.workroom.close()


def answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Turn any error into RFC 9457 problem details; what nobody expected is logged and stays inside."""
    status, detail = describe(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Response(
        {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail},
        media_type="application/problem+json",
        status_code=status,
        headers=error_headers(error),
    )


def describe(error: Exception) -> tuple[HTTPStatus, str]:
    """Find the status and the words for an error."""
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return status, str(error)
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return status, error.detail or status.phrase
    return HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"


def error_headers(error: Exception) -> dict[str, str]:
    """Give the headers that go with an error."""
    if isinstance(error, HTTPException):
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.TOO_MANY_REQUESTS and "RateLimit-Reset" in headers:
            headers["Retry-After"] = headers["RateLimit-Reset"]
        return headers
    return {"Retry-After": RETRY_AFTER_S[type(error)]} if type(error) in RETRY_AFTER_S else {}
