"""Who may ask: API keys, sent as Bearer tokens."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler

from service.state import Service

PUBLIC = {"public": True}
"""The `opt` of a handler that answers without a key: health, the page, its assets and the documentation."""


def require_key(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse a request without one of the keys: 401."""
    if handler.opt.get("public") or connection.scope["path"].startswith("/schema"):
        return
    service: Service = connection.app.state.service
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not is_key(given.strip(), service.settings.api_keys):
        raise NotAuthorizedException(
            "an API key is needed: send `Authorization: Bearer KEY`", headers={"WWW-Authenticate": "Bearer"}
        )


def is_key(given: str, keys: tuple[str, ...]) -> bool:
    """Compare with every key, in a time that depends neither on the keys nor on what was given."""
    digest = sha256(given.encode()).digest()
    return sum(compare_digest(digest, sha256(key.encode()).digest()) for key in keys) > 0
