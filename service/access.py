"""Who may ask: requests for allowed host names, and those with an API key, sent as a Bearer token."""

from __future__ import annotations

import re
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException
from litestar.handlers import BaseRouteHandler

from service.errors import HostRefused
from service.state import Service

PUBLIC = {"public": True}
"""The `opt` of a handler that answers without a key: health, the page, its assets and the documentation."""

PORT = re.compile(r":[0-9]*$")
CHECKED_BY_ADDRESS = ("/health", "/v2/health/")
"""How the paths of health checks begin."""


def require_host(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Refuse a request for another host name. Health checks come by address and are answered.

    Raises `HostRefused`.
    """
    if connection.scope["path"].startswith(CHECKED_BY_ADDRESS):
        return
    service: Service = connection.app.state.service
    given = connection.headers.get("host", "")
    if not is_allowed_host(given, service.settings.allowed_hosts):
        raise HostRefused(f"this server does not answer for the host {given[:100]!r}: --allowed-hosts names others")


def is_allowed_host(given: str, allowed: tuple[str, ...]) -> bool:
    """Compare a Host header with every entry of `Settings.allowed_hosts`; an entry without a port is for any."""
    host = given.lower()
    spellings = (host, PORT.sub("", host))
    return any(is_like(spelling, pattern.lower()) for pattern in allowed for spelling in spellings)


def is_like(host: str, pattern: str) -> bool:
    """Compare a host name with `NAME`, with `*.NAME` for every name below it, or with `*` for any."""
    return host.endswith(pattern[1:]) if pattern.startswith("*") else host == pattern


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
