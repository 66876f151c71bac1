"""Which process runs on which core."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import click


class Cores(NamedTuple):
    """One core for each side, so that neither waits for the other."""

    server: int
    client: int

    @property
    def both(self) -> set[int]:
        """The two."""
        return {self.server, self.client}


def two_cores() -> Cores:
    """Take the first two cores that this process may use. Raises `click.ClickException` where there is one."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise click.ClickException("two cores are needed, one for the server and one for the client; 1 is allowed")
    return Cores(*allowed[:2])


@contextlib.contextmanager
def running_on(cores: set[int]) -> Iterator[None]:
    """Move this process to some cores for a while; what it starts meanwhile stays there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
