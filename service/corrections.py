"""Keeps the corrections that users send, each in a file of its own, until a person has looked at it.

They lie in the folder `quarantine`, which no program reads: what users send may be wrong on purpose. Who has checked
one moves it elsewhere, and `livedigit train --extra` learns from there.
"""

from __future__ import annotations

import logging
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from service.contract import QUARANTINE, CorrectionRequest, Manifest, StoredCorrection
from service.errors import CorrectionNotKept, UsageError
from service.files import write_whole
from service.settings import Settings
from service.workroom import Workroom

logger = logging.getLogger(__name__)

MAX_WAITING = 16
"""Corrections that may wait for the disk, per worker."""


class CorrectionStore:
    """A folder of corrections that does not grow without end."""

    def __init__(self, folder: Path, max_files: int, timeout_s: float) -> None:
        self._folder = folder
        self._max_files = max_files
        self._workroom = Workroom(1, MAX_WAITING, timeout_s)

    async def keep(self, request: CorrectionRequest, model: Manifest | None) -> str:
        """Write a correction, and give its receipt: the name of its file.

        Raises `CorrectionNotKept`, `Overloaded` or `DeadlineExceeded`.
        """
        return await self._workroom.run(self._keep, request, model)

    def _keep(self, request: CorrectionRequest, model: Manifest | None) -> str:
        now = datetime.now(UTC)
        receipt = f"{now:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}"
        content = msgspec.json.encode([describe_correction(request, model, now)])
        try:
            self._make_sure_of_room()
            write_whole(self._folder / f"{receipt}.json", content)
        except OSError as error:
            logger.error("a correction cannot be kept in %s: %s", self._folder, error)
            raise CorrectionNotKept(f"the correction could not be written: {error.strerror}") from error
        return receipt

    def _make_sure_of_room(self) -> None:
        waiting = sum(1 for _ in self._folder.iterdir())
        if waiting >= self._max_files:
            raise CorrectionNotKept(f"no more corrections are taken: {waiting} are waiting to be checked")

    def close(self) -> None:
        """Finish what is being written."""
        self._workroom.close()


def open_corrections(settings: Settings) -> CorrectionStore | None:
    """Make the folder that the settings name, if they name one. Raises `UsageError` where it cannot be written."""
    if not settings.feedback_dir:
        return None
    folder = Path(settings.feedback_dir) / QUARANTINE
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--feedback-dir: {folder} cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"--feedback-dir: {folder} cannot be written")
    return CorrectionStore(folder, settings.feedback_max_files, settings.request_timeout_s)


def describe_correction(request: CorrectionRequest, model: Manifest | None, now: datetime) -> StoredCorrection:
    """Put together what is kept."""
    return StoredCorrection(
        name=request.name,
        label=request.label,
        strokes=request.strokes,
        answered=request.answered,
        model=model.name if model else None,
        version=model.version if model else None,
        received=now.isoformat(timespec="seconds"),
    )
