"""The way of a model from Keras to a published artifact: open, convert, check, compare, publish."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from export.canonical import canonicalize, to_bytes
from export.card import write_card
from export.check import check_interface, check_portable, check_valid
from export.compare import Contestants, compare, gather_contestants, image_shape, judge_exactness
from export.convert import DEFAULT_OPSET, convert_saved_model
from export.errors import Disagreement, UsageError
from export.golden import write_golden, write_golden_tensors
from export.graph import standardize
from export.inputs import InputSet, drawn_inputs, edge_inputs, noise_inputs, read_drawings
from export.parity import ParityReport
from export.publish import check_destination, next_version, publish
from export.source import Source, open_source, weights_sha256
from service.contract import (
    SCHEMA_VERSION,
    GoldenFile,
    Manifest,
    ModelFile,
    ParityFigures,
    PreprocessingSpec,
    TensorSpec,
)

if TYPE_CHECKING:
    import onnx

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
PARITY_FILE = "parity.json"
CARD_FILE = "MODEL_CARD.md"
TOOLS = ("keras", "onnx", "onnxruntime", "tensorflow", "tf2onnx")

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class ExportOrder:
    """What to export, and where to."""

    model: str
    name: str
    out: Path
    version: int | None = None
    """None: the next free one."""
    labels: tuple[str, ...] | None = None
    """None: those of `run.json`, else the numbers of the columns."""
    preprocessing: PreprocessingSpec | None = None
    """Where `run.json` names none."""
    signature: str | None = None
    opset: int = DEFAULT_OPSET
    dry_run: bool = False

    @property
    def folder(self) -> Path:
        """Where the versions of this model lie."""
        return self.out / self.name


class Converted(NamedTuple):
    """A model in its canonical ONNX form."""

    model: onnx.ModelProto
    data: bytes


class Finished(NamedTuple):
    """An export that came to its end."""

    folder: Path | None
    """None after a dry run."""
    version: int
    sha256: str
    nodes: int
    report: ParityReport


def export_model(order: ExportOrder, progress: Progress = lambda _: None) -> Finished:
    """Export a model; what is published agrees with TensorFlow.

    Raises `UsageError`, `CannotExport`, `Disagreement`, `ArtifactError` or `PublishFailed`; then nothing is published.
    """
    if not order.dry_run:
        check_destination(order.folder, order.version)
    with tempfile.TemporaryDirectory(prefix="livedigit-export-") as work:
        progress(f"opening {order.model}")
        source = open_source(order.model, Path(work), order.signature)
        progress("converting")
        converted = convert(source, order)
        contestants = gather_contestants(source, converted.model, converted.data)
        input_sets = choose_inputs(converted.model, choose_preprocessing(source, order))
        exactness = judge_exactness(source, contestants.twin, converted.model)
        report = compare(source, contestants, exactness, converted.data, input_sets, progress=progress)
        if report.verdict != "agree":
            raise Disagreement(f"{order.model}: {report.summary} Nothing was published")
        sha256, nodes = report.onnx_sha256, len(converted.model.graph.node)
        if order.dry_run:
            return Finished(None, order.version or next_version(order.folder), sha256, nodes, report)
        progress("publishing")
        artifact = Artifact(order, source, contestants, converted, input_sets, report)
        folder = publish(order.folder, order.version, partial(write_artifact, artifact))
        return Finished(folder, int(folder.name), sha256, nodes, report)


def convert(source: Source, order: ExportOrder) -> Converted:
    """Convert, give the graph its interface, spell it canonically, and check it. Raises `CannotExport`."""
    raw = convert_saved_model(source.saved_model, source.signature, order.opset)
    check_portable(raw)
    model = canonicalize(standardize(raw))
    add_properties(model, source, order)
    data = to_bytes(model)
    check_interface(model)
    check_valid(model, data)
    return Converted(model, data)


def add_properties(model: onnx.ModelProto, source: Source, order: ExportOrder) -> None:
    """Write into the file itself what it needs to be understood alone; no times, no places."""
    import onnx

    labels = choose_labels(source, order, class_count(model))
    spec = choose_preprocessing(source, order)
    properties = {
        "labels": msgspec.json.encode(labels).decode(),
        "preprocessing": msgspec.json.encode(spec).decode(),
        "weights_sha256": weights_sha256(source),
    }
    onnx.helper.set_model_props(model, properties)


def class_count(model: onnx.ModelProto) -> int:
    """Read the number of classes from the graph's output."""
    return int(model.graph.output[0].type.tensor_type.shape.dim[1].dim_value)


def choose_labels(source: Source, order: ExportOrder, classes: int) -> tuple[str, ...]:
    """Take the labels given, else those trained with, else numbers. Raises `UsageError` where the count is wrong."""
    labels = order.labels or (source.run.labels if source.run else None) or tuple(map(str, range(classes)))
    if len(labels) != classes:
        raise UsageError(f"{len(labels)} labels were given, but the model has {classes} outputs")
    if len(set(labels)) != len(labels):
        raise UsageError("two labels are the same; each names one output")
    return labels


def choose_preprocessing(source: Source, order: ExportOrder) -> PreprocessingSpec | None:
    """Take the pipeline that the model was trained with, else the one given."""
    return (source.run.preprocessing if source.run else None) or order.preprocessing


def choose_inputs(model: onnx.ModelProto, spec: PreprocessingSpec | None) -> list[InputSet]:
    """Gather the images to compare on."""
    shape = image_shape(model)
    drawn = [] if spec is None else [drawn_inputs(read_drawings(), spec)]
    return [*drawn, edge_inputs(shape), noise_inputs(shape)]


class Artifact(NamedTuple):
    """Everything that goes into the folder of a version."""

    order: ExportOrder
    source: Source
    contestants: Contestants
    converted: Converted
    input_sets: list[InputSet]
    report: ParityReport


def write_artifact(artifact: Artifact, folder: Path, version: int) -> None:
    """Fill the folder of one version."""
    (folder / MODEL_FILE).write_bytes(artifact.converted.data)
    (folder / PARITY_FILE).write_bytes(encode(artifact.report))
    manifest = describe(artifact, version, write_examples(artifact, folder))
    (folder / MANIFEST_FILE).write_bytes(encode(manifest))
    (folder / CARD_FILE).write_text(write_card(manifest, artifact.report), encoding="utf-8")


def write_examples(artifact: Artifact, folder: Path) -> GoldenFile:
    """Write drawings where the model reads images, else tensors."""
    tensorflow = artifact.contestants.tensorflow
    spec = choose_preprocessing(artifact.source, artifact.order)
    labels = choose_labels(artifact.source, artifact.order, class_count(artifact.converted.model))
    if spec is None:
        return write_golden_tensors(folder, tensorflow, labels, artifact.input_sets[-1])
    return write_golden(folder, tensorflow, labels, read_drawings(), spec)


def describe(artifact: Artifact, version: int, golden: GoldenFile) -> Manifest:
    """Compose the manifest."""
    order, source, (model, data), report = artifact.order, artifact.source, artifact.converted, artifact.report
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=order.name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        model=ModelFile(file=MODEL_FILE, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)),
        weights_sha256=weights_sha256(source),
        labels=choose_labels(source, order, class_count(model)),
        inputs=tuple(map(describe_tensor, model.graph.input)),
        outputs=tuple(map(describe_tensor, model.graph.output)),
        preprocessing=choose_preprocessing(source, order),
        opset=model.opset_import[0].version,
        ir_version=model.ir_version,
        tools={name: package_version(name) for name in TOOLS},
        training=source.run,
        parity=ParityFigures(verdict=report.verdict, report=PARITY_FILE, figures=parity_figures(report)),
        golden=golden,
    )


def describe_tensor(value: onnx.ValueInfoProto) -> TensorSpec:
    """Name, type and shape of a graph input or output."""
    import onnx

    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    shape = tuple(side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim)
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)


def parity_figures(report: ParityReport) -> dict[str, float]:
    """Choose the figures that the manifest repeats."""
    meaning = max((result.measured for result in report.results if result.gate == "meaning"), default=0.0)
    return {
        "images": float(sum(inputs.images for inputs in report.inputs)),
        "max_logit_difference": report.differences.logits,
        "max_probability_difference": report.differences.probabilities,
        "meaning_relative": meaning,
        "rounding_eps": report.differences.onnx_eps,
        "tensorflow_rounding_eps": report.differences.tensorflow_eps,
    }


def encode(value: msgspec.Struct) -> bytes:
    """Encode as JSON that people read too."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
