"""What can go wrong in training and evaluation.

LiveDigitError                  exit_code 1
└── TrainingError
    ├── DataError                             a data file is missing, damaged, or cannot be downloaded
    ├── ModelUnreadable                       what is to be evaluated is no model of digits that can be asked
    ├── OutputUnwritable                      a folder for results cannot be made or written
    ├── UnknownRecipe           exit_code 2   there is no recipe of that name
    ├── VersionTaken            exit_code 2   that version is already there, finished or not
    ├── NothingToResume         exit_code 2   no unfinished run of that recipe, seed and number of epochs
    └── Interrupted       exit_code 130, 143  Ctrl-C or SIGTERM has ended a run that can be resumed
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from service.errors import LiveDigitError, first_line


class TrainingError(LiveDigitError):
    """Base of the errors of this package."""


class DataError(TrainingError):
    """A data file is missing, damaged, or cannot be downloaded."""


class ModelUnreadable(TrainingError):
    """What is to be evaluated is neither a SavedModel nor a published artifact, or does not tell digits apart."""


class OutputUnwritable(TrainingError):
    """A folder for results cannot be made or written."""


class UnknownRecipe(TrainingError):
    """There is no recipe of that name."""

    exit_code = 2


class VersionTaken(TrainingError):
    """That version is already there, finished or not."""

    exit_code = 2


class NothingToResume(TrainingError):
    """There is no unfinished run like the one that was asked for."""

    exit_code = 2


class Interrupted(TrainingError):
    """Ctrl-C or SIGTERM has ended a run that can be resumed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@contextmanager
def writing(folder: Path, remedy: str) -> Iterator[None]:
    """Say in one line that a folder cannot be written. Raises `OutputUnwritable`."""
    try:
        yield
    except OSError as error:
        # What HDF5 gives for words runs over many lines.
        reason = os.strerror(error.errno) if error.errno else first_line(error)
        raise OutputUnwritable(f"{folder}: cannot be written ({reason}): {remedy}") from error


@contextmanager
def told_by_click() -> Iterator[None]:
    """Say an expected error in one line, as `livedigit` does, in commands that are run without it."""
    try:
        yield
    except LiveDigitError as error:
        raise click.ClickException(str(error)) from error
