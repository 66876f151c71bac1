"""Is the service alive, what does it serve, and how is it doing?"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get
from litestar.openapi import ResponseSpec

from service.access import PUBLIC
from service.contract import HealthResponse
from service.state import service_of

PROMETHEUS_TEXT = "text/plain; version=0.0.4"
"""Litestar adds the character set."""
NO_MODEL = {503: ResponseSpec(HealthResponse, description="No model is loaded.", generate_examples=False)}


@get("/health", tags=["Digits"], opt=PUBLIC, responses=NO_MODEL, sync_to_thread=False)
def health(request: Request[Any, Any, Any]) -> Response[HealthResponse]:
    """Say which model answers; 503 while none does."""
    model = service_of(request).models.current
    if model is None:
        return Response(HealthResponse(status="no model"), status_code=503)
    return Response(
        HealthResponse(status="ok", model=model.manifest.name, version=model.manifest.version), status_code=200
    )


@get("/metrics", include_in_schema=False)
async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Write Prometheus metrics, those of every worker together."""
    service = service_of(request)
    return Response(service.metrics.exposition(), media_type=PROMETHEUS_TEXT)
