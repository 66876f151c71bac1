"""Writing that leaves what is there until the new is whole, and what is heard of archives that are not."""

from __future__ import annotations

import errno
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

DAMAGED_ARCHIVE = (
    OSError, EOFError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What NumPy and zipfile raise for an `.npz` that is damaged, or lacks an array that is asked for."""
UNKNOWN_SYNC = errno.EINVAL, errno.EBADF
"""What is heard of a folder where the file system knows no sync of one: Samba and CIFS (borgbackup/borg#1287), and
virtiofs (docker/sbx-releases#148)."""


@contextmanager
def replacing(path: Path, is_durable: bool = True) -> Iterator[BinaryIO]:
    """Write a file that gets its name when it is whole, until when the one before keeps it. Raises `OSError`.

    `is_durable`: only when it is on the disk, too, and the name after it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            yield file
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if is_durable:
        sync_folder(path.parent)


def write_whole(path: Path, content: bytes, is_durable: bool = True) -> None:
    """Write a file as `replacing` does. Raises `OSError`."""
    with replacing(path, is_durable) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNKNOWN_SYNC:
            raise
    finally:
        os.close(descriptor)
