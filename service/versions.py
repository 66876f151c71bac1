"""Versions on disk: folders beside each other whose names are numbers from 1 up.

Exports and training runs make them and the service serves them, so what counts as one is said here for all three.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

NUMBER = re.compile(r"[1-9][0-9]*")


def list_versions(folder: Path) -> list[int]:
    """List the versions of a model, ascending; none where there is no folder. Temporary folders are no versions."""
    return sorted(int(entry.name) for entry in numbered(folder) if entry.is_dir())


def next_version(folder: Path) -> int:
    """Give the number after the highest one that is taken, be it by a file."""
    return max((int(entry.name) for entry in numbered(folder)), default=0) + 1


def numbered(folder: Path) -> Iterator[Path]:
    """Find what has the name of a version."""
    return (entry for entry in folder.iterdir() if NUMBER.fullmatch(entry.name)) if folder.is_dir() else iter(())
