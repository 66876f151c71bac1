"""What can go wrong while exporting and verifying.

LiveDigitError (service.errors)   exit_code 1
├── UsageError (service.errors)   exit_code 2   an argument is missing, out of range or contradicts the model
├── ArtifactError (service.errors)            exit_code 4   a file is damaged or not what it says it is
├── CannotExport                  exit_code 3   the model has no honest form in ONNX, as our server runs it
├── Disagreement                  exit_code 1   the two models do not compute the same
└── PublishFailed                 exit_code 1   the artifact could not be written; nothing was published
"""

from __future__ import annotations

import re

from service.errors import ArtifactError, LiveDigitError, UsageError

__all__ = [
    "ArtifactError",
    "CannotExport",
    "Disagreement",
    "LiveDigitError",
    "PublishFailed",
    "UsageError",
    "one_line",
]

COLOR = re.compile(r"\x1b\[[0-9;]*m")
KERAS_CONTEXT = re.compile(r".*\bException encountered(?:: | when calling [^\n]*\n)", re.DOTALL)
"""What Keras writes before the cause of an error."""
KERAS_DETAILS = re.compile(r"( Full object config:|\nArguments received by ).*", re.DOTALL)
"""What it writes behind."""


class CannotExport(LiveDigitError):
    """The model cannot become an ONNX file that the server runs; the message names the layer or operator."""

    exit_code = 3


class Disagreement(LiveDigitError):
    """TensorFlow and ONNX do not compute the same."""


class PublishFailed(LiveDigitError):
    """Writing the artifact failed; what was published before is untouched."""


def one_line(error: BaseException) -> str:
    """Shorten another library's error to the line that says what happened; TensorFlow puts it last, after its trace."""
    cause = KERAS_DETAILS.sub("", KERAS_CONTEXT.sub("", COLOR.sub("", str(error)), count=1))
    lines = [line.strip() for line in cause.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[-1] if lines[0].endswith(":") else lines[0]
