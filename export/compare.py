"""Runs a model in every runtime on every input set, and lets the gates judge."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from export import parity
from export.census import model_weights, take_census
from export.inputs import OPEN_SIDE, InputSet
from export.parity import EPS, Differences, GateResult, InputSummary, NearTie, ParityReport
from export.runtimes import Answers, OnnxRuntime, ReferenceRuntime, Runtime, answer_in_batches, load_tensorflow
from export.source import Source
from export.twin import Twin, make_twin
from service.contract import SCHEMA_VERSION

if TYPE_CHECKING:
    import onnx

BATCHES = (1, 2, 7, 64)
MEANING_ROWS = 24
"""Of each input set: the reference evaluator takes some 30 ms for one digit, seconds for a large model."""
TRUTH_BATCH = 64

Progress = Callable[[str], None]


class Contestants(NamedTuple):
    """One model in four runtimes."""

    tensorflow: Runtime
    onnx: Runtime
    reference: Runtime
    twin: Twin


class Exactness(NamedTuple):
    """How exactly the graph can repeat the twin."""

    meaning_limit: float
    notes: tuple[str, ...]


class Judgement(NamedTuple):
    """What the gates say about one input set."""

    summary: InputSummary
    results: list[GateResult]
    near_ties: list[NearTie]
    differences: Differences


def gather_contestants(source: Source, model: onnx.ModelProto, model_bytes: bytes) -> Contestants:
    """Load a model into every runtime. Raises `CannotExport` or `ArtifactError`."""
    return Contestants(
        tensorflow=load_tensorflow(source.saved_model, source.signature),
        onnx=OnnxRuntime(model_bytes),
        reference=ReferenceRuntime(model),
        twin=make_twin(source),
    )


def image_shape(model: onnx.ModelProto) -> tuple[int, int, int]:
    """Read (H, W, C) from the graph's input; an open side gets one that we choose."""
    height, width, channels = (side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim[1:])
    return height or OPEN_SIDE, width or OPEN_SIDE, channels


def compare(
    source: Source,
    contestants: Contestants,
    exactness: Exactness,
    model_bytes: bytes,
    input_sets: list[InputSet],
    batches: tuple[int, ...] = BATCHES,
    progress: Progress = lambda _: None,
) -> ParityReport:
    """Judge a graph on every input set at every batch size."""
    start = time.monotonic()
    judgements = []
    for inputs in input_sets:
        progress(f"comparing on {inputs.name}")
        judgements.append(judge_inputs(contestants, inputs, batches, exactness.meaning_limit))
    results = [result for judgement in judgements for result in judgement.results]
    differences = widest([judgement.differences for judgement in judgements])
    first_difference = ""
    return ParityReport(
        schema_version=SCHEMA_VERSION,
        verdict="agree" if all(result.passed for result in results) else "disagree",
        summary=parity.summarize(results, differences, first_difference),
        model=source.name,
        onnx_sha256=hashlib.sha256(model_bytes).hexdigest(),
        float64_twin=contestants.twin.kind,
        notes=exactness.notes,
        inputs=tuple(judgement.summary for judgement in judgements),
        batches=batches,
        differences=differences,
        results=tuple(results),
        near_ties=tuple(tie for judgement in judgements for tie in judgement.near_ties),
        first_difference=first_difference,
        environment=describe_environment(),
        duration_s=round(time.monotonic() - start, 3),
    )


def judge_exactness(source: Source, twin: Twin, converted: onnx.ModelProto) -> Exactness:
    """Choose gate A's limit from what our own conversion of the model had to round, and say why.

    Not from the graph under test: there a wrong weight would pass for a rounded one.
    """
    reasons = [f"the float64 twin is the TensorFlow graph's, not Keras': {twin.note}"] if twin.note else []
    rounded = take_census(converted, model_weights(source)).rounded
    if rounded:
        reasons.append(f"constants folded or rounded in float32: {shorten(rounded)}")
    if twin.single_operators:
        reasons.append(f"TensorFlow computes in float32 always: {shorten(twin.single_operators)}")
    strict = not rounded and not twin.single_operators
    limit = parity.MEANING_LIMIT if strict else parity.FOLDED_MEANING_LIMIT
    return Exactness(limit, tuple(reasons))


def shorten(names: tuple[str, ...], at_most: int = 3) -> str:
    """List a few names and count the rest."""
    rest = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {rest} more" if rest > 0 else "")


def judge_inputs(contestants: Contestants, inputs: InputSet, batches: tuple[int, ...], limit: float) -> Judgement:
    """Pass one input set through all gates."""
    truth = answer_in_batches(contestants.twin.runtime, inputs.images, TRUTH_BATCH)
    usable = np.isfinite(truth.logits).all(axis=1)
    usable &= np.isfinite(answer_in_batches(contestants.tensorflow, inputs.images, TRUTH_BATCH).logits).all(axis=1)
    rows = np.flatnonzero(usable)
    summary = InputSummary(name=inputs.name, images=len(usable), skipped=int((~usable).sum()))
    if not len(rows):
        return Judgement(summary, [], [], NO_DIFFERENCES)
    images, truth = inputs.images[rows], Answers(truth.logits[rows], truth.probabilities[rows])
    first = slice(None, MEANING_ROWS)
    graph = answer_in_batches(contestants.reference, images[first], TRUTH_BATCH)
    results = [parity.judge_meaning(inputs.name, TRUTH_BATCH, graph.logits, truth.logits[first], limit)]
    near_ties: list[NearTie] = []
    differences = []
    for batch in batches:
        wrapped = np.resize(np.arange(len(images)), max(len(images), batch))
        expected = Answers(truth.logits[wrapped], truth.probabilities[wrapped])
        theirs = answer_in_batches(contestants.tensorflow, images[wrapped], batch)
        ours = answer_in_batches(contestants.onnx, images[wrapped], batch)
        rounding = parity.judge_rounding(inputs.name, batch, ours.logits, theirs.logits, expected.logits)
        decision, ties = parity.judge_decision(inputs.name, batch, ours.logits, expected.logits, rounding.limit)
        results += [
            rounding,
            decision,
            parity.judge_probabilities(inputs.name, batch, ours.probabilities, ours.logits),
        ]
        near_ties += ties
        differences.append(measure_differences(ours, theirs, expected))
    return Judgement(summary, results, near_ties, widest(differences))


NO_DIFFERENCES = Differences(largest_logit=0, logits=0, probabilities=0, onnx_eps=0, tensorflow_eps=0)


def measure_differences(ours: Answers, theirs: Answers, truth: Answers) -> Differences:
    """Take the plain figures of one input set at one batch size."""
    return Differences(
        largest_logit=float(np.abs(truth.logits).max()),
        logits=float(np.abs(ours.logits - theirs.logits).max()),
        probabilities=float(np.abs(ours.probabilities - theirs.probabilities).max()),
        onnx_eps=float(parity.relative_errors(ours.logits, truth.logits).max() / EPS),
        tensorflow_eps=float(parity.relative_errors(theirs.logits, truth.logits).max() / EPS),
    )


def widest(differences: list[Differences]) -> Differences:
    """Combine figures by their largest."""
    fields = Differences.__struct_fields__
    return Differences(**{name: max(getattr(each, name) for each in differences) for name in fields})


def describe_environment() -> dict[str, str]:
    """Record what rounding depends on: the processor and the versions of the runtimes."""
    packages = ("keras", "numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx")
    tools = {name: version(name) for name in packages}
    return tools | {"python": platform.python_version(), "machine": platform.machine(), "processor": cpu_name()}


def cpu_name() -> str:
    """Name the processor, where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - a device, not a file
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
