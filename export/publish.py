"""Publishing a version: written aside, made durable, renamed into place, never overwritten.

A reader sees either the whole artifact or none of it, whatever happens in between: a full disk, a lost machine,
another export at the same moment.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from export.errors import PublishFailed, UsageError
from service.files import sync_folder
from service.versions import next_version

PREFIX = ".publishing-"
ABANDONED_S = 24 * 3600
"""After which an export that has not written anything has been killed."""
ATTEMPTS = 100


def check_version(folder: Path, version: int | None) -> None:
    """Refuse a number that is taken. Raises `UsageError`."""
    if version is not None and (folder / str(version)).exists():
        raise UsageError(f"{folder / str(version)}: exists, and a version is never overwritten: choose another number")


def check_destination(folder: Path) -> None:
    """Fail before the work starts rather than after it. Raises `UsageError`."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UsageError(f"{existing}: is not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(f"{existing}: cannot be written to; choose another folder with --out")


def publish(folder: Path, version: int | None, write: Callable[[Path, int], None]) -> Path:
    """Let `write` fill a folder with the version it is given, and rename it to `folder/<version>`.

    Without a version the next free one is taken; if another export takes it first, the one after.
    Raises `PublishFailed` or `UsageError`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder)
        for _ in range(ATTEMPTS):
            number = version or next_version(folder)
            if publish_once(folder, number, write):
                return folder / str(number)
            if version is not None:
                raise UsageError(f"{folder / str(version)}: was published meanwhile; choose another number")
    except OSError as error:
        raise PublishFailed(
            f"{folder}: {error.strerror or error}; nothing was published, what was there is untouched"
        ) from error
    raise PublishFailed(f"{folder}: {ATTEMPTS} other exports took every version first")


def publish_once(folder: Path, version: int, write: Callable[[Path, int], None]) -> bool:
    """Write and rename; False if the version exists by then."""
    target = folder / str(version)
    with working_folder(folder) as work:
        write(work, version)
        make_durable(work)
        work.chmod(0o755)
        # A rename replaces an empty folder without a word; anything else it refuses.
        if target.exists():
            return False
        try:
            work.rename(target)
        except OSError:
            if target.exists():
                return False
            raise
        sync_folder(folder)
        return True


def remove_abandoned(folder: Path) -> None:
    """Remove what exports have left behind that were killed."""
    for work in folder.glob(f"{PREFIX}*"):
        # One that is at work may end meanwhile.
        with suppress(OSError):
            if time.time() - work.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(work)


@contextmanager
def working_folder(folder: Path) -> Iterator[Path]:
    """Make a folder on the same file system that is gone afterwards, unless renamed."""
    work = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def make_durable(folder: Path) -> None:
    """Flush every file and folder to the disk."""
    for parent, _, files in os.walk(folder):
        for name in files:
            with (Path(parent) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(parent))
