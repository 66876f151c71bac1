"""Reading request bodies from clients that may dawdle."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from litestar.exceptions import HTTPException

T = TypeVar("T")


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
