"""Do two models compute the same? Three gates, arrays in, report out.

A fixed tolerance cannot answer: TensorFlow differs from itself across batch sizes by as much as from ONNX Runtime,
and 7e-7 has been reported as a bug while a wrong weight can hide below it. So the question is split:

- *meaning*: in float64 on both sides rounding all but vanishes, and what remains is a different function;
- *rounding*: each float32 runtime's distance from float64, in units of eps times the row's largest logit, the one
  held against the other;
- *decision*: no label differs where the float64 margin exceeds what rounding can move.

Logits are compared, because a saturated softmax hides errors; a fourth check ties the probabilities to them.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

PARITY_FILE = "parity.json"
"""The report's name, in an artifact as in a folder of reports."""
EPS = float(np.finfo(np.float32).eps)
MEANING_LIMIT = 1e-13
"""Of the row's largest logit, where the graph holds the weights as they are. Measured: at most 4.1e-15 over 20 seeds of
each small model of the zoo; one weight off by one ULP moves it to 1e-12 and more."""
FOLDED_MEANING_LIMIT = 32 * EPS
"""The same where the converter folded constants (batch normalization) in float32, and so rounded them."""
ROUNDING_LIMIT_EPS = 64.0
"""ONNX Runtime measured 3.9 to 9.4 eps, TensorFlow 5.6 to 12, over 4096 rows of digits; up to 23 on the zoo."""
APPROXIMATED_LIMIT_EPS = 256.0
"""The same where ONNX Runtime approximates a function: its sigmoid alone moved flat images by up to 120 eps. Kernels
that multiply in half precision or less are 8192 eps off."""
ROUNDING_RATIO = 2.0
"""Past the limit, ONNX Runtime may still be at most this much worse than TensorFlow on the same rows."""
ROUNDING_CEILING_EPS = 16384.0
"""However TensorFlow rounds: twice what half precision does. Past that it is another function."""
PROBABILITY_LIMIT = 16 * EPS
"""Absolute, between the probabilities and the softmax of the logits beside them; probabilities are at most 1."""
SMALLEST_SCALE = 1e-30
"""Logits below this are as good as zero: their relative error says nothing."""
MASKED_BELOW = 100.0
"""A label whose logit lies further than this below every row's largest is masked: in float32 its probability is 0."""
NEAR_TIES_LISTED = 20
NOT_FINITE = "rows of infinity or not-a-number"
"""The unit of a gate that has no error to measure; JSON has no such numbers."""

Gate = Literal["interface", "pipeline", "meaning", "rounding", "decision", "probabilities"]


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """One gate on one input set at one batch size."""

    gate: Gate
    input_set: str
    batch: int
    passed: bool
    measured: float
    limit: float
    unit: str
    worst_row: int
    """Index into the input set."""
    detail: str = ""

    @property
    def excess(self) -> float:
        """How far the measured value went towards its limit, or past it."""
        return np.inf if self.unit == NOT_FINITE else self.measured / (self.limit or 1)


class NearTie(msgspec.Struct, frozen=True, kw_only=True):
    """A row whose decision rounding may turn; listed, not counted."""

    input_set: str
    batch: int
    row: int
    margin: float
    """Between the two largest float64 logits."""
    bound: float
    """Margins up to this may turn."""
    flipped: bool


class Promise(NamedTuple):
    """What a variant was published with."""

    kind: str
    bound: float
    """No label may turn whose margin, between the two largest logits, is more."""


def finite_rows(*arrays: Array) -> NDArray[np.intp]:
    """Number the rows of (N, classes) arrays that are finite in all."""
    return np.flatnonzero(np.all([np.isfinite(array).all(axis=1) for array in arrays], axis=0))


def row_scale(logits: Array, floor: float = SMALLEST_SCALE) -> NDArray[np.float64]:
    """Largest magnitude in each row of (N, classes), or `floor` where all of the row is smaller; (N,) float64.

    Logits that nearly cancel carry the rounding of the sums that they came from; their own size says nothing of it.
    A masked label counts as `MASKED_BELOW` under the largest: measured by a mask of -1e9, any two models are equal.
    """
    lowest = np.where(masked_labels(logits), logits.max(axis=1, keepdims=True) - MASKED_BELOW, -np.inf)
    return np.asarray(np.maximum(np.abs(np.maximum(logits, lowest)).max(axis=1), floor), np.float64)


def masked_labels(logits: Array) -> NDArray[np.bool_]:
    """Find the labels that no row of (N, classes) can get; (classes,) bool."""
    return np.asarray((logits.max(axis=1, keepdims=True) - logits > MASKED_BELOW).all(axis=0))


def relative_errors(logits: Array, truth: Array, floor: float = SMALLEST_SCALE) -> NDArray[np.float64]:
    """Largest difference in each row, relative to the truth's largest magnitude; not-a-number counts as infinite.

    A masked label's is relative to its own.
    """
    scale = np.maximum(row_scale(truth, floor)[:, np.newaxis], np.where(masked_labels(truth), np.abs(truth), 0))
    with np.errstate(invalid="ignore"):
        errors = (np.abs(logits.astype(np.float64) - truth) / scale).max(axis=1)
    return np.asarray(np.where(np.isnan(errors), np.inf, errors))


def margins(logits: Array) -> NDArray[np.float64]:
    """Distance between the two largest logits of each row."""
    top = np.sort(logits.astype(np.float64), axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0])


def softmax(logits: Array) -> NDArray[np.float64]:
    """Probabilities in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def judge_meaning(
    input_set: str,
    batch: int,
    graph: Array,
    twin: Array,
    limit: float = MEANING_LIMIT,
    floor: float = SMALLEST_SCALE,
) -> GateResult:
    """Gate A: the ONNX graph in float64 against the Keras model in float64."""
    errors = relative_errors(graph, twin, floor)
    return judge("meaning", input_set, batch, errors, limit, "of the largest logit")


def judge_rounding(
    input_set: str,
    batch: int,
    onnx: Array,
    tensorflow: Array,
    truth: Array,
    limit: float = ROUNDING_LIMIT_EPS,
    floor: float = SMALLEST_SCALE,
) -> GateResult:
    """Gate B: ONNX Runtime's error, where TensorFlow's own on the same rows sets what is normal."""
    errors = relative_errors(onnx, truth, floor) / EPS
    normal = float((relative_errors(tensorflow, truth, floor) / EPS).max())
    limit = max(limit, min(ROUNDING_RATIO * normal, ROUNDING_CEILING_EPS))
    return judge("rounding", input_set, batch, errors, limit, "eps", f"TensorFlow's own error is {normal:.1f} eps")


def rounding_bounds(truth: Array, limit_eps: float, floor: float = SMALLEST_SCALE) -> NDArray[np.float64]:
    """Take twice the error that rounding may make in each row of (N, classes); (N,) float64."""
    return np.asarray(2 * limit_eps * EPS * row_scale(truth, floor))


def judge_decision(
    input_set: str, batch: int, onnx: Array, truth: Array, bounds: NDArray[np.float64]
) -> tuple[GateResult, list[NearTie]]:
    """Gate C: labels that differ, or are none, although the margin exceeds the row's bound; near-ties beside them."""
    flipped = (onnx.argmax(axis=1) != truth.argmax(axis=1)) | ~np.isfinite(onnx).all(axis=1)
    gaps = margins(truth)
    near = gaps <= bounds
    counted = flipped & ~near
    worst = int(np.argmax(np.where(counted, gaps, -1)))
    detail = f"{int(near.sum())} near-ties, {int((flipped & near).sum())} of them turned"
    result = GateResult(
        gate="decision",
        input_set=input_set,
        batch=batch,
        passed=not counted.any(),
        measured=float(counted.sum()),
        limit=0.0,
        unit="labels turned",
        worst_row=worst,
        detail=detail,
    )
    ties = [
        NearTie(
            input_set=input_set,
            batch=batch,
            row=int(row),
            margin=float(gaps[row]),
            bound=float(bounds[row]),
            flipped=bool(flipped[row]),
        )
        for row in np.flatnonzero(near)[np.argsort(gaps[near])][:NEAR_TIES_LISTED]
    ]
    return result, ties


def judge_probabilities(input_set: str, batch: int, probabilities: Array, logits: Array) -> GateResult:
    """Compare the probabilities with the softmax of the logits that came with them."""
    with np.errstate(invalid="ignore"):
        errors = np.abs(probabilities.astype(np.float64) - softmax(logits)).max(axis=1)
    return judge("probabilities", input_set, batch, np.where(np.isnan(errors), np.inf, errors), PROBABILITY_LIMIT, "")


def judge(
    gate: Gate, input_set: str, batch: int, errors: NDArray[np.float64], limit: float, unit: str, detail: str = ""
) -> GateResult:
    """Hold the worst row against the limit, or count the rows that have no finite error; none may be there."""
    worst = int(errors.argmax())
    measured = float(errors[worst])
    if not np.isfinite(measured):
        measured, limit, unit = float(np.isinf(errors).sum()), 0.0, NOT_FINITE
    return GateResult(
        gate=gate,
        input_set=input_set,
        batch=batch,
        passed=measured <= limit,
        measured=measured,
        limit=limit,
        unit=unit,
        worst_row=worst,
        detail=detail,
    )


class InputSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An input set as it was compared."""

    name: str
    images: int
    skipped: int
    """Rows left out because the model itself answers with infinity or not-a-number."""

    @property
    def compared(self) -> int:
        """Count the rows that were not left out."""
        return self.images - self.skipped

    def __str__(self) -> str:
        return f"{self.name} ({self.compared}{f' of {self.images}' if self.skipped else ''})"


class Differences(msgspec.Struct, frozen=True, kw_only=True):
    """The plain figures, over all input sets and batch sizes, of the rows that all answer with numbers."""

    largest_logit: float
    logits: float
    """Largest absolute difference between ONNX Runtime and TensorFlow."""
    probabilities: float
    onnx_eps: float
    """ONNX Runtime's largest distance from float64."""
    tensorflow_eps: float
    """TensorFlow's own."""


NO_DIFFERENCES = Differences(largest_logit=0, logits=0, probabilities=0, onnx_eps=0, tensorflow_eps=0)


class ParityReport(msgspec.Struct, frozen=True, kw_only=True):
    """`parity.json`: what was compared, how, and the verdict."""

    schema_version: int
    verdict: Literal["agree", "disagree"]
    summary: str
    """Answers in one sentence: is this difference a bug?"""
    model: str
    onnx_sha256: str
    float64_twin: str
    """`keras`: rebuilt from the configuration; `graph`: rewritten from the frozen TensorFlow graph."""
    notes: tuple[str, ...]
    inputs: tuple[InputSummary, ...]
    batches: tuple[int, ...]
    differences: Differences
    results: tuple[GateResult, ...]
    near_ties: tuple[NearTie, ...]
    environment: dict[str, str]
    duration_s: float
    first_difference: str = ""
    """The first layer whose values differ, where the graph does; else empty."""


def worst(results: tuple[GateResult, ...] | list[GateResult], gate: Gate) -> GateResult | None:
    """Pick the result of a gate that came nearest to its limit, or went furthest past it."""
    of_gate = [result for result in results if result.gate == gate]
    return max(of_gate, key=lambda result: (not result.passed, result.excess), default=None)


def judge_faults(gate: Gate, faults: list[str]) -> GateResult:
    """Turn a list of faults into a result; none may be there."""
    return GateResult(
        gate=gate,
        input_set="",
        batch=0,
        passed=not faults,
        measured=float(len(faults)),
        limit=0.0,
        unit="faults",
        worst_row=0,
        detail="; ".join(faults),
    )


def summarize(results: list[GateResult], differences: Differences, first_difference: str = "") -> str:
    """Answer in one sentence: is this difference a bug?"""
    failed = {result.gate: result for result in reversed(results) if not result.passed}
    meaning = worst(results, "meaning")
    broken = describe_broken(worst(results, "rounding"))
    rounds = f"rounds by {differences.onnx_eps:.1f} eps, TensorFlow itself by {differences.tensorflow_eps:.1f}"
    if "interface" in failed:
        return f"Yes, a bug: {failed['interface'].detail}."
    if "meaning" in failed and meaning is not None:
        where = f", first at {first_difference}" if first_difference else ""
        return f"Yes, a bug: in float64, where rounding all but vanishes, the graph {describe_fault(meaning)}{where}."
    if "probabilities" in failed and not broken:
        return "Yes, a bug: the probabilities are not the softmax of the logits beside them."
    if "pipeline" in failed:
        return f"Yes, a bug, around the model: {failed['pipeline'].detail}."
    if "rounding" in failed:
        return (
            "Not in the graph: it is the same function in float64, but ONNX Runtime "
            f"{broken or rounds}; suspect its kernels."
        )
    if "decision" in failed:
        return "Yes, a bug: labels differ although their margin exceeds what rounding can move."
    same = f" ({meaning.measured:.0e} of the largest logit in float64)" if meaning is not None else ""
    return (
        f"They agree: both compute the same function{same}, ONNX Runtime {rounds}, and no decision turns on it; "
        "what differs is rounding, not a bug."
    )


def summarize_variant(results: list[GateResult], differences: Differences, promise: Promise) -> str:
    """Answer in one sentence: is this more than the variant's own rounding?"""
    failed = {result.gate: result for result in reversed(results) if not result.passed}
    if failed.keys() - {"decision"}:
        return summarize(results, differences)
    if failed:
        return (
            f"Yes, a bug: labels differ although their margin exceeds {promise.bound:.2g}, the bound that the "
            f"{promise.kind} form was published with."
        )
    return (
        f"They agree as published: the rounding of {promise.kind} moves logits by up to {differences.logits:.2g}, and "
        f"no label turns whose margin exceeds the published bound of {promise.bound:.2g}."
    )


def describe_fault(meaning: GateResult) -> str:
    """Say how far a graph is from the model."""
    still = f"still differs by {meaning.measured:.1e} of the largest logit (limit {meaning.limit:.0e})"
    return describe_broken(meaning) or still


def describe_broken(result: GateResult | None) -> str:
    """Say which rows are no numbers; empty where all are."""
    if result is None or result.unit != NOT_FINITE:
        return ""
    return f"has {result.unit} on {result.input_set} ({result.measured:.0f}), where the model has numbers"
