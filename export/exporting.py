"""The way of a model from Keras to a published artifact: open, convert, compare, publish."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from export.card import write_card
from export.compare import Contest, Progress, choose_inputs, compare, keep_steady, prepare_contest
from export.conversion import Converted, class_count, convert_source, with_properties
from export.convert import DEFAULT_OPSET
from export.errors import Disagreement, UsageError
from export.golden import write_golden, write_golden_tensors
from export.inputs import (
    InputSet,
    image_sides,
    level_inputs,
    noise_inputs,
    read_drawings,
    read_labelled,
)
from export.localize import localize, name_culprit, worst_images
from export.parity import PARITY_FILE, ParityReport
from export.publish import check_destination, check_version, publish
from export.runtimes import OnnxRuntime
from export.source import Source, open_source, weights_sha256
from export.variants import LOGIT_BOUND, Variant, VariantResult, build_variant
from service.contract import (
    SCHEMA_VERSION,
    GoldenFile,
    Manifest,
    ModelFile,
    ParityFigures,
    PreprocessingSpec,
    TensorSpec,
    VariantRecord,
)
from service.versions import next_version

if TYPE_CHECKING:
    import onnx

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
CARD_FILE = "MODEL_CARD.md"
GOLDEN_LEVELS = 2
"""Of the tensors that are kept as examples."""
TOOLS = ("keras", "onnx", "onnxruntime", "tensorflow", "tf2onnx")


@dataclass(frozen=True, kw_only=True)
class ExportOrder:
    """What to export, and where to."""

    model: str
    name: str
    out: Path
    version: int | None = None
    """None: the next free one."""
    labels: tuple[str, ...] | None = None
    """None: those of `run.json`, which others must not contradict, else the numbers of the columns."""
    preprocessing: PreprocessingSpec | None = None
    """Where `run.json` names none."""
    signature: str | None = None
    opset: int = DEFAULT_OPSET
    variant: Variant | None = None
    """Published beside the float32 model, as `<name>-<variant>`."""
    data: Path | None = None
    """Labelled images, on which a variant is calibrated and judged."""
    dry_run: bool = False

    @property
    def folder(self) -> Path:
        """Where the versions of this model lie."""
        return self.out / self.published_name

    @property
    def published_name(self) -> str:
        """Name of the model as clients see it."""
        return f"{self.name}-{self.variant}" if self.variant else self.name


class Facts(NamedTuple):
    """What a user of the model has to know besides the graph."""

    labels: tuple[str, ...]
    preprocessing: PreprocessingSpec | None
    weights_sha256: str


class Finished(NamedTuple):
    """An export that came to its end."""

    folder: Path | None
    """None after a dry run."""
    version: int
    nodes: int
    sha256: str
    """Of the published file; `report` is about the float32 one, from which a variant is made."""
    report: ParityReport


class Artifact(NamedTuple):
    """Everything that goes into the folder of a version."""

    name: str
    contest: Contest
    converted: Converted
    facts: Facts
    report: ParityReport
    variant: VariantResult | None


def export_model(order: ExportOrder, progress: Progress = lambda _: None) -> Finished:
    """Export a model; what is published agrees with TensorFlow.

    Raises `UsageError`, `CannotExport`, `Disagreement`, `ArtifactError` or `PublishFailed`; then nothing is published.
    """
    if order.variant and order.data is None:
        raise UsageError("--variant needs --data, an .npz with labelled images to calibrate and judge it on")
    if order.data is not None and not order.variant:
        raise UsageError("--data is for --variant alone: leave it out, or say which variant to make")
    check_version(order.folder, order.version)
    if not order.dry_run:
        check_destination(order.folder)
    with tempfile.TemporaryDirectory(prefix="livedigit-export-") as work:
        progress(f"opening {order.model}")
        source = open_source(order.model, Path(work), order.signature)
        progress("converting")
        artifact = build_artifact(order, source, progress)
        if order.dry_run:
            return finish(artifact, None, order.version or next_version(order.folder))
        progress("publishing")
        folder = publish(order.folder, order.version, partial(write_artifact, artifact))
        return finish(artifact, folder, int(folder.name))


def build_artifact(order: ExportOrder, source: Source, progress: Progress) -> Artifact:
    """Convert a source and compare the result.

    Raises `Disagreement`, `CannotExport`, `ArtifactError` or `UsageError`.
    """
    plain = convert_source(source, order.opset)
    facts = gather_facts(order, source, plain.model)
    converted = with_properties(plain.model, properties(facts))
    contest = prepare_contest(source, converted.model, converted.data, converted.model)
    input_sets = choose_inputs(contest, facts.preprocessing)
    report = compare(contest, input_sets, progress=progress)
    if report.verdict != "agree":
        culprit = localize(report, contest, converted.model, worst_images(report, input_sets), progress)
        raise Disagreement(f"{order.model}: {name_culprit(report, culprit).summary} Nothing was published")
    variant = make_variant(order.variant, order.data, converted, progress) if order.variant and order.data else None
    published = with_properties(variant.converted.model, properties(facts)) if variant else converted
    return Artifact(order.published_name, contest, published, facts, report, variant)


def make_variant(kind: Variant, path: Path, converted: Converted, progress: Progress) -> VariantResult:
    """Make and judge the variant that was ordered. Raises `UsageError` or `Disagreement`."""
    progress(f"calibrating and judging {kind}")
    return build_variant(
        kind, converted, read_labelled(path, image_sides(converted.model), class_count(converted.model))
    )


def finish(artifact: Artifact, folder: Path | None, version: int) -> Finished:
    """Sum up an export."""
    model, data = artifact.converted
    return Finished(folder, version, len(model.graph.node), hashlib.sha256(data).hexdigest(), artifact.report)


def gather_facts(order: ExportOrder, source: Source, model: onnx.ModelProto) -> Facts:
    """Combine what the run recorded with what the order says. Raises `UsageError`."""
    preprocessing = (source.run.preprocessing if source.run else None) or order.preprocessing
    if preprocessing is not None:
        check_frame(model, preprocessing)
    return Facts(choose_labels(order, source, class_count(model)), preprocessing, weights_sha256(source))


def check_frame(model: onnx.ModelProto, spec: PreprocessingSpec) -> None:
    """Refuse a pipeline that makes other images than the model takes. Raises `UsageError`."""
    frame = (spec.frame_size, spec.frame_size, 1)
    sides = [side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    if any(side not in (0, expected) for side, expected in zip(sides, frame, strict=True)):
        raise UsageError(f"the preprocessing makes images of {frame}, the model takes {tuple(sides)}")


def choose_labels(order: ExportOrder, source: Source, classes: int) -> tuple[str, ...]:
    """Take the labels trained with, else those given, else numbers. Raises `UsageError` where they do not fit."""
    trained_with = source.run.labels if source.run else None
    if order.labels is not None and trained_with is not None and order.labels != trained_with:
        raise UsageError(
            f"the labels given are {', '.join(order.labels) or 'none'}, run.json says the model was trained with "
            f"{', '.join(trained_with)}: leave --labels out"
        )
    given = order.labels if trained_with is None else trained_with
    labels = tuple(map(str, range(classes))) if given is None else given
    if len(labels) != classes:
        raise UsageError(f"{len(labels)} labels were given, but the model has {classes} outputs")
    if len(set(labels)) != len(labels):
        raise UsageError("two labels are the same; each names one output")
    return labels


def properties(facts: Facts) -> dict[str, str]:
    """Describe the model within its own file; no times and no places, so that the bytes repeat."""
    return {
        "labels": msgspec.json.encode(facts.labels).decode(),
        "preprocessing": msgspec.json.encode(facts.preprocessing).decode(),
        "weights_sha256": facts.weights_sha256,
    }


def write_artifact(artifact: Artifact, folder: Path, version: int) -> None:
    """Fill the folder of one version."""
    (folder / MODEL_FILE).write_bytes(artifact.converted.data)
    (folder / PARITY_FILE).write_bytes(encode(artifact.report))
    manifest = describe(artifact, version, write_examples(artifact, folder))
    (folder / MANIFEST_FILE).write_bytes(encode(manifest))
    (folder / CARD_FILE).write_text(
        write_card(manifest, artifact.report, artifact.contest.source.evaluation), encoding="utf-8"
    )


def write_examples(artifact: Artifact, folder: Path) -> GoldenFile:
    """Write drawings where the model reads images, else tensors."""
    labels, spec, _ = artifact.facts
    answering = OnnxRuntime(artifact.converted.data) if artifact.variant else artifact.contest.tensorflow
    if spec is None:
        return write_golden_tensors(folder, answering, labels, golden_inputs(artifact.contest))
    return write_golden(folder, answering, labels, read_drawings(), spec)


def golden_inputs(contest: Contest) -> InputSet:
    """Take noise of other ranges where the model is steady, then of [0, 1)."""
    noise = noise_inputs(contest.shape)
    bright = keep_steady(contest, level_inputs(contest.shape)).images[:GOLDEN_LEVELS]
    return noise._replace(images=np.concatenate([bright, noise.images]))


def describe(artifact: Artifact, version: int, golden: GoldenFile) -> Manifest:
    """Compose the manifest."""
    (model, data), facts, report = artifact.converted, artifact.facts, artifact.report
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=artifact.name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        model=ModelFile(file=MODEL_FILE, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)),
        weights_sha256=facts.weights_sha256,
        labels=facts.labels,
        inputs=tuple(map(describe_tensor, model.graph.input)),
        outputs=tuple(map(describe_tensor, model.graph.output)),
        preprocessing=facts.preprocessing,
        opset=model.opset_import[0].version,
        ir_version=model.ir_version,
        tools={name: package_version(name) for name in TOOLS},
        training=artifact.contest.source.run,
        parity=ParityFigures(
            verdict=report.verdict,
            report=PARITY_FILE,
            figures=parity_figures(report) | variant_figures(artifact.variant),
        ),
        variant=describe_variant(artifact.variant),
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
        "images": float(sum(inputs.compared for inputs in report.inputs)),
        "max_logit_difference": report.differences.logits,
        "max_probability_difference": report.differences.probabilities,
        "meaning_relative": meaning,
        "rounding_eps": report.differences.onnx_eps,
        "tensorflow_rounding_eps": report.differences.tensorflow_eps,
    }


def variant_figures(variant: VariantResult | None) -> dict[str, float]:
    """Choose the figures that say how a variant decides; none for the float32 model."""
    if variant is None:
        return {}
    judgement = variant.judgement
    return {
        "variant_accuracy": judgement.accuracy,
        "variant_accuracy_float32": judgement.accuracy_float32,
        "variant_decisions_turned": float(judgement.turned),
        LOGIT_BOUND: judgement.bound,
        "variant_images": float(judgement.images),
    }


def describe_variant(variant: VariantResult | None) -> VariantRecord | None:
    """Record what a variant was made with."""
    if variant is None:
        return None
    return VariantRecord(kind=variant.kind, calibration_sha256=variant.calibration_sha256)


def encode(value: msgspec.Struct) -> bytes:
    """Encode as JSON that people read too."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
