"""What the handlers of one application share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Request

from service.corrections import CorrectionStore
from service.metrics import Metrics
from service.models import ModelStore
from service.settings import Settings
from service.workroom import Workroom


@dataclass(slots=True)
class Service:
    """One per process, made by `create_app`."""

    settings: Settings
    models: ModelStore
    workroom: Workroom
    metrics: Metrics
    corrections: CorrectionStore | None
    """None: this server takes none."""
    is_draining: bool = False
    """After SIGTERM: still answering, but no longer ready."""


def service_of(request: Request[Any, Any, Any]) -> Service:
    """Give the service that a request arrived at."""
    service: Service = request.app.state.service
    return service
