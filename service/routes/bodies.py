"""Reading request bodies from clients that may dawdle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import ClientException, HTTPException
from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
)

from service.contract import UNREADABLE_JSON

T = TypeVar("T")

MOST_FIELDS = 100
"""A form here has two; browsers' extensions and scripts add a few."""
MOST_HEADERS, HEADER_BYTES = 4, 2048
"""Of a field: more than RFC 7578 has, and room for the longest file name, twice."""


class Field(NamedTuple):
    """A field of a form."""

    name: str
    is_file: bool
    content: bytes


async def within(timeout_s: float, reading: Awaitable[T]) -> T:
    """Wait for a body; 408 and the end of the connection for a client that takes too long."""
    try:
        async with asyncio.timeout(timeout_s):
            return await reading
    except TimeoutError as error:
        raise HTTPException(
            detail=f"the body did not arrive within {timeout_s:g} s",
            status_code=408,
            headers={"Connection": "close"},
        ) from error


def media_type(request: Request[Any, Any, Any]) -> str:
    """Give the body's type without its parameters, in lower case; empty where the client states none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def decode_json(decode: Callable[[bytes], T], body: bytes) -> T:
    """Decode with a decoder of msgspec: 400 where the body is not JSON, 422 where its shape is wrong."""
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise HTTPException(detail=str(error), status_code=422) from error
    except UNREADABLE_JSON as error:
        raise ClientException(f"the body is not JSON: {error}") from error


def parse_form(body: bytes, boundary: str) -> list[Field]:
    """Take a multipart form apart; 400 where it is none.

    Litestar's own reads text in whatever encoding a field names, and half a megabyte of punycode keeps the event loop
    busy for eleven seconds (seen with 2.25); files of a megabyte it writes to disk.
    """
    if not boundary:
        raise ClientException("the Content-Type of the form names no boundary")
    fields: list[Field] = []
    limits = {"max_segment_count": MOST_FIELDS, "max_header_count": MOST_HEADERS, "max_header_size": HEADER_BYTES}
    try:
        with PushMultipartParser(boundary, **limits) as parser:
            for part in parser.parse(body):
                if isinstance(part, MultipartSegment):
                    segment, content = part, bytearray()
                elif part:
                    content += part
                else:
                    fields.append(Field(segment.name, bool(segment.filename), bytes(content)))
    except ParserLimitReached as error:
        raise ClientException(
            f"the form has more than {MOST_FIELDS} fields, or one with more than {MOST_HEADERS} headers or longer ones "
            f"than {HEADER_BYTES} bytes"
        ) from error
    except MultipartError as error:
        raise ClientException("the body is no form in UTF-8, or is cut short") from error
    return fields
