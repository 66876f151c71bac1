"""Is the service alive, and may it be sent work?"""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, get

from service.contract import HealthResponse
from service.state import service_of


@get("/health", sync_to_thread=False)
def health(request: Request[Any, Any, Any]) -> Response[HealthResponse]:
    """Say which model answers; 503 while none does."""
    model = service_of(request).models.current
    if model is None:
        return Response(HealthResponse(status="no model"), status_code=503)
    return Response(
        HealthResponse(status="ok", model=model.manifest.name, version=model.manifest.version),
        status_code=200,
    )
