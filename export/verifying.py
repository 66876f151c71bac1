"""Holds any ONNX file against the Keras model that it is said to be."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from export.answers import probe_images
from export.check import check_portable, read_onnx
from export.compare import (
    BATCHES,
    Contest,
    Progress,
    choose_inputs,
    compare,
    describe_environment,
    drawn_sets,
    prepare_contest,
)
from export.conversion import Converted, convert_source
from export.errors import Disagreement, UsageError
from export.inputs import InputSet, image_sides, read_data
from export.interface import Prepared, judge_answer, prepare_file
from export.localize import Culprit, localize, name_culprit, worst_images
from export.parity import NO_DIFFERENCES, GateResult, ParityReport, Promise, judge_faults, summarize
from export.pipeline_check import check_properties, judge_pipeline, read_artifact
from export.runtimes import Images, answer_as_saved
from export.source import Source, open_source, signature_input, trace_keras_model, weights_sha256
from export.variants import LOGIT_BOUND
from service.contract import SCHEMA_VERSION, Manifest, PreprocessingSpec
from service.preprocessing import DIGITS

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, kw_only=True)
class VerifyOrder:
    """What to compare with what, on what."""

    model: str | keras.Model
    """A model at hand is traced as it is, with whatever state saving would lose."""
    onnx: Path
    data: Path | None = None
    batches: tuple[int, ...] = BATCHES
    signature: str | None = None


class Verified(NamedTuple):
    """A comparison, and what a reproduction needs."""

    report: ParityReport
    model: Prepared | None
    images: Images | None
    """The rows that went furthest past a limit, or the first ones."""
    culprit: Culprit | None = None
    """The first layer that differs, where the graph does and Keras can show its layers."""


def verify_model(order: VerifyOrder, progress: Progress = lambda _: None) -> Verified:
    """Compare an ONNX file with a model. A disagreement is in the report, not raised.

    Raises `UsageError`, `CannotExport` (either cannot be compared) or `ArtifactError`.
    """
    given = read_onnx(order.onnx)
    check_portable(given)
    manifest = read_artifact(order.onnx)
    if manifest is not None:
        check_properties(order.onnx, given, manifest)
    with tempfile.TemporaryDirectory(prefix="livedigit-verify-") as work:
        source = open_model(order, Path(work), progress)
        progress("converting the model anew, to learn what a conversion has to round")
        converted = convert_source(source)
        prepared = prepare_file(given, order.onnx.read_bytes(), converted.model, signature_input(source))
        if not prepared.runnable:
            return Verified(refuse_interface(source, prepared), None, None)
        promise = find_promise(source, manifest)
        # A variant is another function in float64 too, and ONNX's evaluator lacks the operators of int8 at opset 18.
        judged = converted.model if promise else prepared.model
        contest = prepare_contest(source, judged, prepared.data, converted.model)._replace(promise=promise)
        probes = probe_images(contest.shape)
        answer_probes = partial(answer_as_saved, source.saved_model, source.signature, probes)
        earlier = [
            prepared.result,
            *judge_answer(given, answer_probes),
            *judge_published(order.onnx.parent, manifest, contest),
        ]
        input_sets = gather_inputs(order, contest, converted, manifest)
        try:
            report = compare(contest, input_sets, order.batches, tuple(earlier), progress)
        except Disagreement as error:
            unasked = prepared._replace(result=judge_faults("interface", [str(error)]))
            return Verified(refuse_interface(source, unasked), None, None)
        images = worst_images(report, input_sets)
        culprit = localize(report, contest, prepared.model, images, progress)
        return Verified(name_culprit(report, culprit), prepared, images, culprit)


def open_model(order: VerifyOrder, work: Path, progress: Progress) -> Source:
    """Open what the order names, or trace the model that it brings. Raises `UsageError` or `CannotExport`."""
    if not isinstance(order.model, str):
        return trace_keras_model(order.model.name, order.model, work)
    progress(f"opening {order.model}")
    return open_source(order.model, work, order.signature)


def refuse_interface(source: Source, prepared: Prepared) -> ParityReport:
    """Report a file that cannot even be asked."""
    return ParityReport(
        schema_version=SCHEMA_VERSION,
        verdict="disagree",
        summary=summarize([prepared.result], NO_DIFFERENCES),
        model=source.name,
        onnx_sha256=hashlib.sha256(prepared.data).hexdigest(),
        float64_twin="",
        notes=(),
        inputs=(),
        batches=(),
        differences=NO_DIFFERENCES,
        results=(prepared.result,),
        near_ties=(),
        environment=describe_environment(),
        duration_s=0.0,
    )


def judge_published(folder: Path, manifest: Manifest | None, contest: Contest) -> list[GateResult]:
    """Check the labels and the pipeline of a published artifact; nothing for a lone file."""
    if manifest is None:
        return []
    answering = contest.onnx if contest.promise else contest.tensorflow
    result = judge_pipeline(folder, manifest, contest.source.run, answering)
    return [result] if result else []


def gather_inputs(
    order: VerifyOrder, contest: Contest, converted: Converted, manifest: Manifest | None
) -> list[InputSet]:
    """Gather the images to compare on; the user's own come first. Raises `UsageError`.

    A variant is made for typical images alone: past the range of its calibration int8 clips, and fp16 overflows.
    """
    spec = choose_spec(contest.source, manifest, contest.shape)
    given = [read_data(order.data, image_sides(converted.model), spec)] if order.data else []
    if not contest.promise:
        return [*given, *choose_inputs(contest, spec)]
    typical = [*given, *drawn_sets(spec)]
    if not typical:
        raise UsageError(
            f"{order.onnx}: the {contest.promise.kind} form of a model that takes tensors is compared on such images "
            "as it was calibrated for: give them with --data"
        )
    return typical


def find_promise(source: Source, manifest: Manifest | None) -> Promise | None:
    """Read what a variant of these very weights was published with; None for float32, and where nothing is promised."""
    if manifest is None or manifest.variant is None or manifest.weights_sha256 != weights_sha256(source):
        return None
    bound = manifest.parity.figures.get(LOGIT_BOUND)
    return None if bound is None else Promise(manifest.variant.kind, bound)


def choose_spec(source: Source, manifest: Manifest | None, shape: tuple[int, int, int]) -> PreprocessingSpec | None:
    """Take the pipeline that the run or the manifest names; else the digits' own, where the model takes its frame."""
    if source.run is not None:
        return source.run.preprocessing
    if manifest is not None:
        return manifest.preprocessing
    return DIGITS if shape == (DIGITS.frame_size, DIGITS.frame_size, 1) else None
