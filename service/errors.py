"""Everything that can go wrong in the service, without a word of HTTP.

    LiveDigitError                  exit_code 1
    ├── UsageError                  exit_code 2   a setting or argument is out of range
    ├── ImageError                                the picture cannot be read as a digit
    │   ├── UndecodableImage                      not an image, a format that we do not read, or damaged
    │   ├── TooManyPixels                         larger than the pixel cap
    │   ├── EmptyDrawing                          no ink
    │   └── UnreadableNumber                      no number on one line, or more of it than is read at once
    ├── InvalidTensor                             a tensor request that cannot be read or does not fit the model
    ├── UnsupportedEncoding                       a body compressed in a way that we do not undo
    ├── BodyTooLarge                              a body that grows past the limit when decompressed
    ├── HostRefused                               a request names a host that the server does not answer for
    ├── UnknownModel                              a request names a model or version that is not loaded
    ├── ArtifactError               exit_code 4   a published model fails a check: integrity, schema or golden
    ├── ModelNotFound                             not the version that was asked for or pinned
    │   └── NoVersion                             no version at all
    ├── ModelUnavailable                          no model is loaded
    ├── Overloaded                                more work in flight than allowed
    ├── DeadlineExceeded                          a request took longer than allowed
    ├── FeedbackUnwanted                          a correction for a server that takes none
    ├── CorrectionNotKept                         no room for a correction, or it cannot be written
    └── InferenceFailure                          ONNX Runtime failed on a valid input

`exit_code` is what the command line ends with; `service.app` holds the table from these to HTTP statuses.
"""

from __future__ import annotations


class LiveDigitError(Exception):
    """Base of the errors that a user can understand and act on."""

    exit_code = 1


class UsageError(LiveDigitError):
    """A setting or an argument is missing or out of range."""

    exit_code = 2


class ImageError(LiveDigitError):
    """The picture cannot be read as a digit."""


class UndecodableImage(ImageError):
    """The bytes are not an image, are damaged, or are in a format that the service does not read."""


class TooManyPixels(ImageError):
    """The image is larger than the pixel cap."""


class EmptyDrawing(ImageError):
    """The image holds no ink."""


class UnreadableNumber(ImageError):
    """The drawing is no number on one line, or more of it than is read at once."""


class InvalidTensor(LiveDigitError):
    """A tensor request cannot be read, or does not fit the model."""


class UnsupportedEncoding(LiveDigitError):
    """A body is compressed in a way that the service does not undo."""


class BodyTooLarge(LiveDigitError):
    """A body grows past the limit when it is decompressed."""


class HostRefused(LiveDigitError):
    """A request names a host that the server does not answer for."""


class UnknownModel(LiveDigitError):
    """A request names a model or a version that is not loaded."""


class ArtifactError(LiveDigitError):
    """A published model fails a check: a hash, its schema, or its golden examples."""

    exit_code = 4


class ModelNotFound(LiveDigitError):
    """The models folder does not hold the version that was asked for or pinned."""


class NoVersion(ModelNotFound):
    """The models folder holds no version of the model."""


class ModelUnavailable(LiveDigitError):
    """The service runs without a model."""


class Overloaded(LiveDigitError):
    """More requests are in flight than the service accepts."""


class DeadlineExceeded(LiveDigitError):
    """A request was not answered within its time."""


class FeedbackUnwanted(LiveDigitError):
    """A correction was sent to a server that takes none."""


class CorrectionNotKept(LiveDigitError):
    """There is no room for a correction, or it cannot be written."""


class InferenceFailure(LiveDigitError):
    """ONNX Runtime failed on an input that passed every check."""


def first_line(error: Exception) -> str:
    """Shorten a library's message, which may run over many lines."""
    return next(iter(str(error).splitlines()), type(error).__name__)
