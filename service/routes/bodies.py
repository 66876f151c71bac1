"""Reading request bodies from clients that may dawdle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import ClientException, HTTPException
from multipart import MultipartError, MultipartSegment, PushMultipartParser  # type: ignore[import-untyped]

from service.contract import UNREADABLE_JSON

T = TypeVar("T")

MOST_FIELDS = 100


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
    fields: list[Field] = []
    try:
        with PushMultipartParser(boundary, max_segment_count=MOST_FIELDS) as parser:
            for part in parser.parse(body):
                if isinstance(part, MultipartSegment):
                    segment, content = part, bytearray()
                elif part:
                    content += part
                else:
                    fields.append(Field(segment.name, bool(segment.filename), bytes(content)))
    except MultipartError as error:
        raise ClientException(f"the body is not a form of at most {MOST_FIELDS} fields: {error}") from error
    return fields
