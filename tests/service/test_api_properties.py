"""Whatever a client makes of our own OpenAPI document, the server answers, and as the document says."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.app import create_app
from service.settings import Settings

CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@schemathesis.serializer("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif")
def as_bytes(_: object, value: object) -> bytes:
    """An image's body is whatever bytes were made up."""
    return bytes(value) if isinstance(value, bytes | bytearray) else str(value).encode()


schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi_schema.to_schema())


@schema.parametrize()
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_the_api_keeps_its_own_word(case: schemathesis.Case, server):
    case.call_and_validate(base_url=server.url, checks=CHECKS)
