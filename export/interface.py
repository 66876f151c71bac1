"""Brings a foreign ONNX file to the interface that the runtimes expect, and keeps count of where it differed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from export.answers import is_finished
from export.canonical import to_bytes
from export.errors import CannotExport
from export.graph import (
    IMAGE,
    LOGITS,
    PROBABILITIES,
    fed_inputs,
    find_answer,
    names_of,
    probe_answer,
    standardize,
    with_named_input,
)
from export.inputs import describe_sides
from export.parity import Array, GateResult, judge_faults

if TYPE_CHECKING:
    import onnx


class Prepared(NamedTuple):
    """A file ready to run, or why it cannot."""

    model: onnx.ModelProto
    data: bytes
    result: GateResult
    runnable: bool


def prepare_file(model: onnx.ModelProto, data: bytes, converted: onnx.ModelProto, input_name: str) -> Prepared:
    """Compare a file's inputs and outputs with our own conversion's, and give it the same names.

    The input may be called `image`, or as the model itself calls it.
    """
    faults = type_faults(model, converted, input_name)
    if faults:
        return Prepared(model, data, judge_faults("interface", faults), runnable=False)
    faults = name_faults(model, input_name)
    try:
        ready = model if has_interface(model) else standardize(model)
    except CannotExport as error:
        return Prepared(model, data, judge_faults("interface", [*faults, str(error)]), runnable=False)
    mismatched = output_faults(ready, converted)
    return Prepared(
        ready,
        data if ready is model else to_bytes(ready),
        judge_faults("interface", [*faults, *mismatched]),
        runnable=not mismatched,
    )


def has_interface(model: onnx.ModelProto) -> bool:
    """Say whether the names are ours already."""
    outputs = {value.name for value in model.graph.output}
    return [value.name for value in model.graph.input] == [IMAGE] and outputs == {LOGITS, PROBABILITIES}


def type_faults(model: onnx.ModelProto, converted: onnx.ModelProto, input_name: str) -> list[str]:
    """List differences that leave nothing to compare: another number of inputs, another type or shape."""
    inputs = fed_inputs(model.graph)
    if len(inputs) != 1:
        return [f"the file has inputs {names_of(inputs)}; the model has one, `{input_name}`"]
    found, expected = describe(inputs[0]), describe(converted.graph.input[0])
    if found != expected:
        return [f"the input `{inputs[0].name}` is {found}; the model takes {expected}"]
    return output_faults(model, converted)


def output_faults(model: onnx.ModelProto, converted: onnx.ModelProto) -> list[str]:
    """List outputs called as ours that have another type or shape."""
    return [
        f"the output `{value.name}` is {describe(value)}; the model answers {describe(converted.graph.output[0])}"
        for value in model.graph.output
        if value.name in (LOGITS, PROBABILITIES) and describe(value) != describe(converted.graph.output[0])
    ]


def name_faults(model: onnx.ModelProto, input_name: str) -> list[str]:
    """List differences that a client would stumble over, though the graph can be compared."""
    name = fed_inputs(model.graph)[0].name
    expected = f"`{IMAGE}`" if input_name == IMAGE else f"`{IMAGE}` or, as the model itself says, `{input_name}`"
    return [] if name in (IMAGE, input_name) else [f"the input is called `{name}`; expected {expected}"]


def judge_answer(model: onnx.ModelProto, answer_probes: Callable[[], Array]) -> list[GateResult]:
    """Hold what a file answers with, probabilities or raw scores, against the model's own answers to the probes.

    Where the file says itself which are the probabilities, or answers with no number at all, nothing is judged, and
    the model not asked.
    """
    if PROBABILITIES in {value.name for value in model.graph.output}:
        return []
    name = find_answer(model.graph)
    found = probe_answer(with_named_input(model), name)
    if not np.isfinite(found).any() or is_finished(found) == is_finished(answer_probes()):
        return []
    fault = (
        f"the output `{name}` is probabilities where the model answers with raw scores: a client that expects those "
        "would put a second softmax to them"
        if is_finished(found)
        else f"the output `{name}` is raw scores where the model answers with probabilities: a client would read "
        f"{np.nanmax(found):.1f} as a confidence"
    )
    return [judge_faults("interface", [fault])]


def describe(value: onnx.ValueInfoProto) -> str:
    """Type and shape, with `?` for what the caller chooses."""
    import onnx

    kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    return f"{kind} {describe_sides([side.dim_value for side in value.type.tensor_type.shape.dim])}"
