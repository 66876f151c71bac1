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
from export.answers import probe_images
from export.census import model_weights, take_census
from export.errors import CannotExport
from export.inputs import (
    InputSet,
    Shape,
    answered_shape,
    drawn_inputs,
    edge_inputs,
    image_sides,
    level_inputs,
    noise_inputs,
    read_drawings,
)
from export.near_ties import search_near_ties
from export.parity import EPS, Differences, GateResult, InputSummary, NearTie, ParityReport, Promise
from export.runtimes import (
    Answers,
    Images,
    OnnxRuntime,
    ReferenceRuntime,
    Runtime,
    answer_in_batches,
    choose_rows,
    load_tensorflow,
)
from export.source import Source
from export.twin import Twin, make_twin
from service.contract import SCHEMA_VERSION, PreprocessingSpec

if TYPE_CHECKING:
    import onnx

BATCHES = (1, 2, 7, 64)
MEANING_ROWS = 12
"""Of each input set: the reference evaluator takes some 30 ms for one digit, seconds for a large model."""
TRUTH_BATCH = 64
STEADY_EPS = 32.0
"""TensorFlow's own error on `levels` up to which a row counts: past it the range is not the model's, and the constants
that a conversion rounds may move the answer as far as a fault does. Sound models measured up to 23 eps on the zoo."""
FLOOR_IMAGES = 8
FLOOR_SHARE = 0.1
"""Of the logits that noise gets, or typical images: a model that is taught to doubt has hardly any for noise."""
APPROXIMATED = ("Elu", "Erf", "Exp", "Gelu", "GRU", "Log", "LSTM", "Mish", "Pow", "Selu", "Sigmoid", "Softplus", "Tanh")
"""Operators that ONNX Runtime computes by polynomials, a few roundings off and always to the same side."""
AMPLIFYING = ("Div", "GroupNormalization", "InstanceNormalization", "LayerNormalization", "Reciprocal", "Sqrt")
"""Operators that divide by a deviation, next to nothing on a flat image: group normalization reached 81 eps."""

Progress = Callable[[str], None]


class Contest(NamedTuple):
    """One model in four runtimes, and the limits that hold for it."""

    source: Source
    data: bytes
    """The ONNX file under test."""
    shape: Shape
    """Of the images that are made for it."""
    tensorflow: Runtime
    onnx: Runtime
    reference: Runtime
    twin: Twin
    meaning_limit: float
    rounding_limit: float
    logit_floor: float
    """Rows whose logits are all smaller are measured against this instead."""
    notes: tuple[str, ...]
    """Why the limits are not the strictest."""
    promise: Promise | None = None
    """Of a published variant, which computes another function: of the gates, that of decisions alone can hold."""


class Judgement(NamedTuple):
    """What the gates say about one input set."""

    summary: InputSummary
    results: list[GateResult]
    near_ties: list[NearTie]
    differences: Differences


def prepare_contest(source: Source, model: onnx.ModelProto, data: bytes, converted: onnx.ModelProto) -> Contest:
    """Load a model into every runtime; `converted` is our own conversion of it, which `model` may be.

    Gate A's limit depends on what a conversion has to round. That is read from our own, not from the graph under
    test: there a wrong weight would pass for a rounded one. Raises `CannotExport` or `ArtifactError`.
    """
    tensorflow = load_tensorflow(source.saved_model, source.signature)
    twin = make_twin(source, tensorflow, probe_images(image_sides(converted)))
    shape = answered_shape(converted, twin.runtime)
    noise = noise_inputs(shape, FLOOR_IMAGES).images
    rounded = take_census(converted, model_weights(source)).rounded
    approximated = sorted({node.op_type for node in converted.graph.node} & {*APPROXIMATED, *AMPLIFYING})
    strict = not rounded and not twin.single_operators
    meaning_limit = parity.MEANING_LIMIT if strict else parity.FOLDED_MEANING_LIMIT
    together, alone = (answer_in_batches(twin.runtime, noise, batch).logits for batch in (FLOOR_IMAGES, 1))
    logit_floor = find_floor(together)
    refuse_mixed_rows(source.name, together, alone, meaning_limit, logit_floor)
    return Contest(
        source=source,
        data=data,
        shape=shape,
        tensorflow=tensorflow,
        onnx=OnnxRuntime(data),
        reference=ReferenceRuntime(model),
        twin=twin,
        meaning_limit=meaning_limit,
        rounding_limit=parity.APPROXIMATED_LIMIT_EPS if approximated else parity.ROUNDING_LIMIT_EPS,
        logit_floor=logit_floor,
        notes=explain_limits(twin, rounded, tuple(approximated)),
    )


def refuse_mixed_rows(name: str, together: parity.Array, alone: parity.Array, limit: float, floor: float) -> None:
    """Refuse a model that answers an image otherwise in a batch than alone; (N, classes). Raises `CannotExport`."""
    rows = parity.finite_rows(together, alone)
    off = float(parity.relative_errors(together[rows], alone[rows], floor).max(initial=0))
    if off > limit:
        raise CannotExport(
            f"{name}: its answer to an image depends on the others of the batch, by {off:.0e} of the largest logit: "
            "look for a softmax, a mean or another normalization over the batch axis"
        )


def first_logits(twin: Twin, inputs: InputSet) -> parity.Array:
    """Ask the twin about the first images of a set; (N, classes)."""
    return twin.runtime.answer(inputs.images[:TRUTH_BATCH]).logits


def find_floor(logits: parity.Array) -> float:
    """Measure how small logits (N, classes) are next to nothing; 0 where none is finite."""
    finite = logits[parity.finite_rows(logits)]
    return FLOOR_SHARE * float(np.median(parity.row_scale(finite))) if len(finite) else 0.0


def explain_limits(twin: Twin, rounded: tuple[str, ...], approximated: tuple[str, ...]) -> tuple[str, ...]:
    """Say why the limits are not the strictest; empty where they are."""
    reasons = (
        ("the float64 twin is the TensorFlow graph's, not Keras'", (twin.note,) if twin.note else ()),
        ("constants folded or rounded in float32", rounded),
        ("TensorFlow computes in float32 always", twin.single_operators),
        ("operators that are approximated or amplify rounding", approximated),
    )
    return tuple(f"{reason}: {shorten(names)}" for reason, names in reasons if names)


def shorten(names: tuple[str, ...], at_most: int = 3) -> str:
    """List a few names and count the rest."""
    rest = len(names) - at_most
    return ", ".join(names[:at_most]) + (f" and {rest} more" if rest > 0 else "")


def choose_inputs(contest: Contest, spec: PreprocessingSpec | None) -> list[InputSet]:
    """Gather the images to compare on: drawings where there is a pipeline, edges, noise, and searched near-ties.

    Noise at other ranges, and near-ties searched from it, where the model is steady.
    """
    drawn = drawn_sets(spec)
    noise = noise_inputs(contest.shape)
    levels = level_inputs(contest.shape)
    start = (drawn or [noise])[0].images
    bright_ties = search_near_ties(contest.twin.runtime, levels.images)._replace(
        name="near-ties of levels", logit_floor=find_floor(first_logits(contest.twin, levels))
    )
    steady = [keep_steady(contest, inputs) for inputs in (levels, bright_ties)]
    return [
        *drawn,
        edge_inputs(contest.shape),
        noise,
        *(inputs for inputs in steady if len(inputs.images)),
        search_near_ties(contest.twin.runtime, start),
    ]


def drawn_sets(spec: PreprocessingSpec | None) -> list[InputSet]:
    """Take our drawings through a pipeline, where there is one."""
    return [] if spec is None else [drawn_inputs(read_drawings(), spec)]


def keep_steady(contest: Contest, inputs: InputSet) -> InputSet:
    """Keep the rows on which TensorFlow in float32 stays near float64, whatever ONNX says; maybe none."""
    truth = answer_in_batches(contest.twin.runtime, inputs.images, TRUTH_BATCH).logits
    theirs = answer_in_batches(contest.tensorflow, inputs.images, TRUTH_BATCH).logits
    finite = parity.finite_rows(truth, theirs)
    if not len(finite):
        return inputs._replace(images=inputs.images[:0], labels=())
    floor = max(contest.logit_floor, inputs.logit_floor)
    errors = parity.relative_errors(theirs[finite], truth[finite], floor)
    rows = finite[errors <= STEADY_EPS * EPS]
    return inputs._replace(images=inputs.images[rows], labels=tuple(inputs.labels[row] for row in rows))


def compare(
    contest: Contest,
    input_sets: list[InputSet],
    batches: tuple[int, ...] = BATCHES,
    earlier: tuple[GateResult, ...] = (),
    progress: Progress = lambda _: None,
) -> ParityReport:
    """Judge a graph on every input set at every batch size; `earlier` results join the report.

    Raises `CannotExport` where the model itself answers no image of a set with numbers, and `Disagreement` where ONNX
    Runtime does not take a batch.
    """
    start = time.monotonic()
    floors = [find_floor(first_logits(contest.twin, inputs)) for inputs in input_sets if inputs.is_typical]
    contest = contest._replace(logit_floor=max([contest.logit_floor, *floors]))
    judgements = []
    for inputs in input_sets:
        progress(f"comparing on {inputs.name}")
        judgements.append(judge_inputs(contest, inputs, batches))
    results = [*earlier, *(result for judgement in judgements for result in judgement.results)]
    differences = widest([judgement.differences for judgement in judgements])
    return ParityReport(
        schema_version=SCHEMA_VERSION,
        verdict="agree" if all(result.passed for result in results) else "disagree",
        summary=(
            parity.summarize_variant(results, differences, contest.promise)
            if contest.promise
            else parity.summarize(results, differences)
        ),
        model=contest.source.name,
        onnx_sha256=hashlib.sha256(contest.data).hexdigest(),
        float64_twin=contest.twin.kind,
        notes=tuple(filter(None, (*contest.notes, describe_non_finite(contest, input_sets[0].images[0])))),
        inputs=tuple(judgement.summary for judgement in judgements),
        batches=batches,
        differences=differences,
        results=tuple(results),
        near_ties=tuple(tie for judgement in judgements for tie in judgement.near_ties),
        environment=describe_environment(),
        duration_s=round(time.monotonic() - start, 3),
    )


def describe_non_finite(contest: Contest, image: Images) -> str:
    """Say what each runtime makes of an image that is no number, (H, W, C): TensorFlow's graph mode may hide it."""
    broken = np.full_like(image, np.nan)[np.newaxis]
    answers = {"TensorFlow": contest.tensorflow.answer(broken), "ONNX Runtime": contest.onnx.answer(broken)}
    hiding = [name for name, answer in answers.items() if np.isfinite(answer.probabilities).all()]
    if not hiding:
        return ""
    return (
        f"{' and '.join(hiding)} gives finite probabilities for an image of not-a-number: refuse such input before it"
    )


def judge_inputs(contest: Contest, inputs: InputSet, batches: tuple[int, ...]) -> Judgement:
    """Pass one input set through all gates, but for rows that the model itself answers with inf or not-a-number.

    Raises `CannotExport` where no row is left.
    """
    contest = contest._replace(logit_floor=max(contest.logit_floor, inputs.logit_floor))
    truth = answer_in_batches(contest.twin.runtime, inputs.images, TRUTH_BATCH)
    theirs = answer_in_batches(contest.tensorflow, inputs.images, TRUTH_BATCH)
    rows = parity.finite_rows(truth.logits, theirs.logits)
    summary = InputSummary(name=inputs.name, images=len(truth.logits), skipped=len(truth.logits) - len(rows))
    if not len(rows):
        raise CannotExport(
            f"{contest.source.name}: answers every image of `{inputs.name}` with infinity or not-a-number, so there is "
            "nothing to compare: look for such values in weights and data; mask a label with -1e9, not with -inf"
        )
    images, truth = inputs.images[rows], choose_rows(truth, rows)
    judgements = [judge_batch(contest, inputs.name, images, truth, batch) for batch in batches]
    meaning = [] if contest.promise else [judge_meaning(contest, inputs.name, images[:MEANING_ROWS], truth)]
    return Judgement(
        summary,
        meaning + [result for judgement in judgements for result in judgement.results],
        [tie for judgement in judgements for tie in judgement.near_ties],
        widest([judgement.differences for judgement in judgements]),
    )


def judge_meaning(contest: Contest, name: str, images: Images, truth: Answers) -> GateResult:
    """Hold the graph in float64 against the twin."""
    graph = answer_in_batches(contest.reference, images, TRUTH_BATCH)
    return parity.judge_meaning(
        name, TRUTH_BATCH, graph.logits, truth.logits[: len(images)], contest.meaning_limit, contest.logit_floor
    )


class BatchJudgement(NamedTuple):
    """What the float32 gates say at one batch size."""

    results: list[GateResult]
    near_ties: list[NearTie]
    differences: Differences


def judge_batch(contest: Contest, name: str, images: Images, truth: Answers, batch: int) -> BatchJudgement:
    """Pass images through the float32 gates in batches of one size; too few of them go round again."""
    rows = np.resize(np.arange(len(images)), max(len(images), batch))
    expected = choose_rows(truth, rows)
    theirs = answer_in_batches(contest.tensorflow, images[rows], batch)
    ours = answer_in_batches(contest.onnx, images[rows], batch)
    limit, floor = contest.rounding_limit, contest.logit_floor
    differences = measure_differences(ours, theirs, expected, floor)
    if contest.promise:
        bounds = np.full(len(rows), contest.promise.bound)
        decision, near_ties = parity.judge_decision(name, batch, ours.logits, expected.logits, bounds)
        return BatchJudgement([decision], near_ties, differences)
    rounding = parity.judge_rounding(name, batch, ours.logits, theirs.logits, expected.logits, limit, floor)
    bounds = parity.rounding_bounds(expected.logits, rounding.limit, floor)
    decision, near_ties = parity.judge_decision(name, batch, ours.logits, expected.logits, bounds)
    probabilities = parity.judge_probabilities(name, batch, ours.probabilities, ours.logits)
    return BatchJudgement([rounding, decision, probabilities], near_ties, differences)


def measure_differences(ours: Answers, theirs: Answers, truth: Answers, floor: float) -> Differences:
    """Take the plain figures of one input set at one batch size, of the rows that all answer with numbers."""
    rows = parity.finite_rows(*ours, *theirs)
    if not len(rows):
        return parity.NO_DIFFERENCES
    ours, theirs, truth = (choose_rows(answers, rows) for answers in (ours, theirs, truth))
    return Differences(
        largest_logit=float(np.abs(truth.logits).max()),
        logits=float(np.abs(ours.logits.astype(np.float64) - theirs.logits).max()),
        probabilities=float(np.abs(ours.probabilities - theirs.probabilities).max()),
        onnx_eps=float(parity.relative_errors(ours.logits, truth.logits, floor).max() / EPS),
        tensorflow_eps=float(parity.relative_errors(theirs.logits, truth.logits, floor).max() / EPS),
    )


def widest(differences: list[Differences]) -> Differences:
    """Combine figures by their largest."""
    fields = Differences.__struct_fields__
    return Differences(**{name: max((getattr(each, name) for each in differences), default=0) for name in fields})


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
