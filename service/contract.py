"""The types that cross a border: between programs as files, between the server and its clients as JSON.

The service owns them because it is the consumer with the fewest dependencies. This module imports msgspec and
nothing else, so every program can afford it. Files tolerate unknown fields and give new fields a default, so
that an old service reads a newer artifact of the same schema; requests forbid unknown fields.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

UNREADABLE_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises: bytes that are no UTF-8, and deep nesting, have errors that are none of its own."""

SCHEMA_VERSION = 1
"""Of every file below. A reader refuses a higher one: it may mean something that the reader cannot know."""

MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""Names a folder, and is part of a path of the API."""
MODEL_NAME_IN_WORDS = "letters, digits, `_`, `-` and `.`, first a letter or digit"

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class PreprocessingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """How an encoded image becomes the model's input, as data: `service.preprocessing` carries it out."""

    ink_threshold: Annotated[int, Meta(ge=1, le=255)] = 20
    """Grey levels below this count as paper and become 0."""
    fit_size: Annotated[int, Meta(ge=1)] = 20
    """The longer side of the ink's bounding box after resizing."""
    frame_size: Annotated[int, Meta(ge=1)] = 28
    """The side of the square that the model sees."""
    resample: Literal["lanczos"] = "lanczos"
    anchor: Literal["center_of_mass"] = "center_of_mass"
    """What is laid on the pixel `frame_size / 2`, as in MNIST."""
    divisor: Annotated[float, Meta(gt=0)] = 255.0
    """Grey levels are divided by this, last of all."""
    polarity: Literal["light_on_dark", "auto"] = "light_on_dark"
    """`auto` turns dark ink on light paper into light ink on dark paper, first of all."""


class TensorSpec(msgspec.Struct, frozen=True):
    """A graph input or output. A string in `shape` names a dimension that the caller chooses."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Say whether an array of that shape is one of these."""
        return len(shape) == len(self.shape) and all(
            isinstance(stated, str) or stated == size for stated, size in zip(self.shape, shape, strict=True)
        )


class DatasetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A data set as a training run used it."""

    name: str
    split: str
    examples: int
    sha256: dict[str, Sha256] = {}
    """By file name."""


class TrainingRun(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json` beside a SavedModel: where its weights come from and how good they are."""

    schema_version: int
    recipe: str
    command: str
    created: str
    """RFC 3339, UTC."""
    seed: int
    epochs: int
    duration_s: float
    parameters: int
    weights_sha256: Sha256
    """Of the float32 weights, in the model's order, little-endian."""
    labels: tuple[str, ...]
    preprocessing: PreprocessingSpec | None
    config: dict[str, Any]
    """The recipe with every value spelled out."""
    datasets: tuple[DatasetRecord, ...]
    metrics: dict[str, float]
    tools: dict[str, str]
    """Package name to version."""


class ModelFile(msgspec.Struct, frozen=True, kw_only=True):
    """The ONNX file of an artifact."""

    file: str
    sha256: Sha256
    size_bytes: int


class GoldenFile(msgspec.Struct, frozen=True, kw_only=True):
    """The golden examples of an artifact."""

    file: str
    sha256: Sha256
    examples: int


class ParityFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict of the parity check; `parity.json` holds the whole report."""

    verdict: Literal["agree", "disagree"]
    report: str
    figures: dict[str, float]


class VariantRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a model a smaller form of another: its own answers are the golden ones."""

    kind: Literal["int8", "fp16"]
    calibration_sha256: Sha256
    """Of the float32 images, little-endian, C order, that the quantizer saw."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`: everything about a published version that its users may want to know."""

    schema_version: int
    name: str
    version: Annotated[int, Meta(ge=1)]
    created: str
    """RFC 3339, UTC."""
    model: ModelFile
    weights_sha256: Sha256
    labels: Annotated[tuple[str, ...], Meta(min_length=2)]
    inputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]
    preprocessing: PreprocessingSpec | None
    """None: the model takes tensors only."""
    opset: int
    ir_version: int
    tools: dict[str, str]
    training: TrainingRun | None
    parity: ParityFigures
    golden: GoldenFile
    variant: VariantRecord | None = None
    """None: the float32 model."""


class GoldenExample(msgspec.Struct, frozen=True, kw_only=True):
    """An encoded image, and what TensorFlow (or the variant itself) answered when the artifact was made.

    Of a model that takes tensors only, a .npy file with (H, W, C) float32.
    """

    file: str
    sha256: Sha256
    label: str
    """TensorFlow's decision; not necessarily what the drawer meant."""
    logits: tuple[float, ...]
    probabilities: tuple[float, ...]


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """`golden/golden.json`, beside its images."""

    schema_version: int
    examples: Annotated[tuple[GoldenExample, ...], Meta(min_length=1)]


class PredictRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON body of `POST /predict`."""

    image: Annotated[
        str,
        Meta(
            description="The image in base64, with or without a data-URL prefix: PNG, JPEG, WebP, BMP or GIF.",
            examples=["data:image/png;base64,iVBORw0KGgo..."],
        ),
    ]
    debug: Annotated[bool, Meta(description="Also return what the model saw.")] = False


class TopPrediction(msgspec.Struct, frozen=True):
    """A digit and the probability that the model gives it."""

    digit: int
    confidence: float


class PredictResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `POST /predict`."""

    digit: int
    confidence: float
    top_predictions: Annotated[tuple[TopPrediction, ...], Meta(description="Five, in descending order.")]
    cropped_image: Annotated[str | None, Meta(description="Base64 PNG of the crop; null unless debug.")] = None
    final_image: Annotated[str | None, Meta(description="Base64 PNG of the 28x28; null unless debug.")] = None
    uncertain: Annotated[
        bool,
        Meta(description="Whether the confidence is lower than in 99 of 100 held-out digits."),
    ] = False


MAX_CANVAS = 10_000.0
WrittenCoordinate = Annotated[float, Meta(ge=-MAX_CANVAS, le=2 * MAX_CANVAS)]
WrittenStroke = Annotated[tuple[tuple[WrittenCoordinate, WrittenCoordinate], ...], Meta(min_length=1)]
"""Points, x from the left and y from the top; what lies off the canvas is not seen."""
CanvasSide = Annotated[float, Meta(ge=1, le=MAX_CANVAS)]


class ReadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The JSON body of `POST /read`: an image, or strokes and the size of what they were drawn on."""

    image: str | None = None
    """In base64, as `PredictRequest` has it."""
    strokes: tuple[WrittenStroke, ...] | None = None
    width: CanvasSide = 280.0
    height: CanvasSide = 280.0

    def __post_init__(self) -> None:
        if (self.image is None) == (self.strokes is None):
            raise ValueError("expected either `image` or `strokes`")


class ReadStrokes(msgspec.Struct, frozen=True):
    """Strokes to be read as a number."""

    strokes: tuple[WrittenStroke, ...]
    width: float
    height: float


class RecognizedDigit(msgspec.Struct, frozen=True, kw_only=True):
    """One digit of a number."""

    digit: int
    confidence: Annotated[float, Meta(description="What the model gives it where it stands, whatever is beside it.")]
    box: Annotated[
        tuple[float, float, float, float],
        Meta(description="x, y, width and height of its ink, in the image's pixels or the strokes' units."),
    ]
    top_predictions: Annotated[tuple[TopPrediction, ...], Meta(description="Five, in descending order.")]


class AlternativeNumber(msgspec.Struct, frozen=True):
    """Another way to read the drawing."""

    number: str
    confidence: float


class ReadResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `POST /read`."""

    number: Annotated[str, Meta(description="The digits from left to right, leading zeros kept.")]
    confidence: Annotated[float, Meta(description="The probability that all of the number is right.")]
    digits: tuple[RecognizedDigit, ...]
    alternatives: Annotated[tuple[AlternativeNumber, ...], Meta(description="At most four, in descending order.")]


CANVAS_SIZE = 280
"""Side of the square that strokes are drawn on."""
Coordinate = Annotated[float, Meta(ge=0, le=CANVAS_SIZE)]
Stroke = Annotated[tuple[tuple[Coordinate, Coordinate], ...], Meta(min_length=1)]
"""Points, x from the left and y from the top."""


class LabelledDrawing(msgspec.Struct, frozen=True, kw_only=True):
    """A drawing and the digit that its drawer meant; the page saves and loads JSON lists of these."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
    """Names one drawing: of two with the same name, the later one is a second thought."""
    label: Annotated[str, Meta(pattern="^[0-9]$")]
    strokes: Annotated[tuple[Stroke, ...], Meta(min_length=1, max_length=500)]


class GivenAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the drawer had been told."""

    digit: Annotated[int, Meta(ge=0, le=9)]
    confidence: Annotated[float, Meta(ge=0, le=1)]


QUARANTINE = "quarantine"
"""The folder in which corrections wait to be checked."""


class CorrectionRequest(LabelledDrawing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON body of `POST /feedback`."""

    answered: GivenAnswer | None = None
    """None: nothing had been answered yet."""


class StoredCorrection(LabelledDrawing, frozen=True, kw_only=True):
    """A correction as the server keeps it, alone in a list: nothing about the drawer but the drawing."""

    answered: GivenAnswer | None
    model: str | None
    version: int | None
    """Of the model that answered when the correction came; None: there was none."""
    received: str
    """RFC 3339, UTC."""


class CorrectionReceipt(msgspec.Struct, frozen=True):
    """The answer of `POST /feedback`."""

    receipt: str
    """Names the file in which the correction is kept."""


class FeedbackState(msgspec.Struct, frozen=True):
    """The answer of `GET /feedback`."""

    wanted: bool
    """Whether this server takes corrections."""


class HealthResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /health`."""

    status: Literal["ok", "no model"]
    model: str | None = None
    version: int | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A refusal as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str


class InferenceError(msgspec.Struct, frozen=True):
    """A refusal as the Open Inference Protocol has it."""

    error: str


class ServerMetadata(msgspec.Struct, frozen=True):
    """The answer of `GET /v2`."""

    name: str
    version: str
    extensions: tuple[str, ...]


class LiveResponse(msgspec.Struct, frozen=True):
    """The answer of `GET /v2/health/live`."""

    live: bool


class ReadyResponse(msgspec.Struct, frozen=True):
    """The answer of `GET /v2/health/ready`."""

    ready: bool


class TensorMetadata(msgspec.Struct, frozen=True):
    """An input or output as the Open Inference Protocol describes it; -1 is a size that the caller chooses."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class ModelMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of `GET /v2/models/NAME`."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    properties: dict[str, str]


class ModelReady(msgspec.Struct, frozen=True):
    """The answer of `GET /v2/models/NAME/ready`."""

    name: str
    ready: bool


class IndexRow(msgspec.Struct, frozen=True):
    """A version in the answer of `POST /v2/repository/index`."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class OutputTensor(msgspec.Struct, frozen=True, kw_only=True):
    """An output in the answer of `POST /v2/models/NAME/infer`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None


class InferResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON part of the answer of `POST /v2/models/NAME/infer`."""

    model_name: str
    model_version: str
    id: str
    outputs: tuple[OutputTensor, ...]
