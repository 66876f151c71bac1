"""Which weights reached the graph bit for bit, and which of the graph's constants were rounded on the way.

A converter may fold constants (batch normalization into a convolution) and must round what Keras holds as Python
floats (an epsilon of 0.001). Either moves a float64 comparison by some 1e-7, so it has to be known before the strict
limit is applied.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.runtimes import load_tensorflow
from export.source import Source

if TYPE_CHECKING:
    import onnx

EXACT_STEPS = 4096
"""A constant that is a whole number of its leading bit's 4096ths (0.5, 6, 255) was not rounded; 0.001 was."""


class Weight(NamedTuple):
    """A named array of a model."""

    name: str
    values: NDArray[Any]


class Census(NamedTuple):
    """What became of the weights."""

    missing: tuple[str, ...]
    """Weights of the model that the graph does not hold bit for bit, in any layout."""
    rounded: tuple[str, ...]
    """Floating-point constants of the graph that are neither weights nor exact."""


def take_census(model: onnx.ModelProto, weights: list[Weight]) -> Census:
    """Match a graph's constants with a model's weights, whatever their layout."""
    constants = list(float_constants(model))
    held = {fingerprint(constant.values) for constant in constants}
    known = {fingerprint(weight.values) for weight in weights}
    return Census(
        missing=tuple(weight.name for weight in weights if fingerprint(weight.values) not in held),
        rounded=tuple(
            constant.name
            for constant in constants
            if fingerprint(constant.values) not in known and not is_exact(constant.values)
        ),
    )


def model_weights(source: Source) -> list[Weight]:
    """List the weights of the Keras model, or the constants of the frozen graph where there is only a SavedModel."""
    if source.keras_model is not None:
        return [Weight(weight.path, weight.numpy()) for weight in source.keras_model.weights]
    graph = load_tensorflow(source.saved_model, source.signature).function.graph
    return list(graph_constants(graph))


def graph_constants(graph: Any) -> Iterator[Weight]:
    """List the floating-point constants of a TensorFlow graph."""
    import tensorflow as tf

    for operation in graph.get_operations():
        if operation.type == "Const" and operation.outputs[0].dtype.is_floating:
            yield Weight(operation.name, tf.make_ndarray(operation.get_attr("value")))


def float_constants(model: onnx.ModelProto) -> Iterator[Weight]:
    """List a graph's floating-point initializers, constants and attributes."""
    import onnx

    for tensor in model.graph.initializer:
        yield from only_floats(tensor.name, onnx.numpy_helper.to_array(tensor))
    for node in model.graph.node:
        for attribute in node.attribute:
            name = f"{node.name}.{attribute.name}"
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield from only_floats(name, onnx.numpy_helper.to_array(attribute.t))
            elif attribute.type in (onnx.AttributeProto.FLOAT, onnx.AttributeProto.FLOATS):
                yield Weight(name, np.array([attribute.f, *attribute.floats], np.float32))


def only_floats(name: str, values: NDArray[Any]) -> Iterable[Weight]:
    """Wrap an array that holds floating-point numbers."""
    return [Weight(name, values)] if np.issubdtype(values.dtype, np.floating) else []


def fingerprint(values: NDArray[Any]) -> bytes:
    """Digest the float32 values in an order that no layout changes."""
    return np.sort(np.ascontiguousarray(values, np.float32).view(np.int32), axis=None).tobytes()


def is_exact(values: NDArray[Any]) -> bool:
    """Say whether each value has so few significant bits that float32 cannot have rounded it."""
    mantissas, _ = np.frexp(values.astype(np.float64))
    steps = mantissas * EXACT_STEPS
    return bool(np.all(steps == np.rint(steps)))
