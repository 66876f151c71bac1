"""The page and its assets, read once at the start and served from memory.

Litestar's static files router ignores `If-None-Match` and `HEAD /` (seen with 2.24), and a router at `/` would
swallow unknown paths of the API; a dictionary of a dozen small files does neither, and no path can leave it.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from litestar import HttpMethod, Request, Response, route
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler

from service.access import PUBLIC

INDEX = "index.html"
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
METHODS = [HttpMethod.GET, HttpMethod.HEAD]
SERVICE_WORKER = "service-worker.js"

# Without the tables of the machine, which cost 3 ms of the start and may call a script plain text.
mimetypes.init(())


@dataclass(frozen=True)
class Asset:
    """A file of the page."""

    content: bytes
    media_type: str
    etag: str

    @cached_property
    def compressed(self) -> bytes:
        """Its content with gzip, from the first time on that somebody asks: a server may start for programs alone."""
        return gzip.compress(self.content, mtime=0)


def page_handlers(folder: Path) -> list[HTTPRouteHandler]:
    """Make the handlers for the page in a folder."""
    assets = read_assets(folder)

    @route("/", http_method=METHODS, include_in_schema=False, opt=PUBLIC, sync_to_thread=False)
    def index(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Serve the page."""
        return asset_response(request, assets, INDEX)

    @route("/static/{name:path}", http_method=METHODS, include_in_schema=False, opt=PUBLIC, sync_to_thread=False)
    def static(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Serve a file of the page."""
        return asset_response(request, assets, request.path_params["name"].lstrip("/"))

    return [index, static]


def read_assets(folder: Path) -> dict[str, Asset]:
    """Read every file below a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): read_asset(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }


def read_asset(path: Path) -> Asset:
    """Read a file; its ETag is its content's hash."""
    content = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:20]}"')


def asset_response(request: Request[Any, Any, Any], assets: dict[str, Asset], name: str) -> Response[bytes]:
    """Answer 200, 304 or 404."""
    asset = assets.get(name)
    if asset is None:
        raise NotFoundException("no such file")
    headers = {
        "ETag": asset.etag,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Vary": "Accept-Encoding",
    }
    if name == SERVICE_WORKER:
        # It lies under /static and keeps the page at /.
        headers["Service-Worker-Allowed"] = "/"
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(asset.compressed, media_type=asset.media_type, headers=headers)
    return Response(asset.content, media_type=asset.media_type, headers=headers)
