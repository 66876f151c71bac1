"""The same model in float64, to tell a wrong graph from rounding.

First choice is the Keras model rebuilt from its configuration, because that owes nothing to the tracing and the
conversion under test. Where a layer is hard-wired to float32, or only a SavedModel is at hand, the frozen TensorFlow
graph is rewritten instead: that still judges the conversion, though no longer the tracing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from export.errors import one_line
from export.precision import default_precision, rebuild
from export.quiet import import_tensorflow, silent_stderr
from export.runtimes import TensorFlowRuntime, load_tensorflow, runtime_of_function
from export.source import Source
from export.tracing import input_shape, without_xla

if TYPE_CHECKING:
    import keras

DOUBLE = "float64"
SINGLES = ("float32", "float16", "bfloat16")
SINGLE_OPERATORS = ("ResizeBilinear", "ResizeBicubic", "ResizeArea", "ScaleAndTranslate", "CropAndResize")
"""TensorFlow operators that answer in float32 whatever they are given."""


class Twin(NamedTuple):
    """A float64 runtime, and how it came about."""

    runtime: TensorFlowRuntime
    kind: str
    """`keras`, rebuilt from the configuration, or `graph`, rewritten from the frozen TensorFlow graph."""
    note: str
    """Why it is not the Keras twin; empty if it is."""

    @property
    def single_operators(self) -> tuple[str, ...]:
        """Name the operators that TensorFlow computes in float32 even here."""
        operations = self.runtime.function.graph.get_operations()
        return tuple(operation.name for operation in operations if operation.type in SINGLE_OPERATORS)


class HardWired(Exception):
    """A layer computes in float32 whatever its policy says."""


def make_twin(source: Source) -> Twin:
    """Build the best float64 twin that the source allows. Raises `CannotExport`."""
    if source.keras_model is None:
        return graph_twin(source, "only a SavedModel is at hand, without its Keras configuration")
    try:
        return Twin(keras_twin(source.keras_model), "keras", "")
    except HardWired as error:
        return graph_twin(source, str(error))
    except Exception as error:  # noqa: BLE001 - a user's layer may raise anything
        return graph_twin(source, f"Keras cannot rebuild the model in float64: {one_line(error)}")


def keras_twin(model: keras.Model) -> TensorFlowRuntime:
    """Rebuild a Keras model in float64, with the same weights. Raises `HardWired`."""
    tf = import_tensorflow()
    with silent_stderr(), without_xla(tf), default_precision(DOUBLE):
        twin = rebuild(model, DOUBLE)
        specification = tf.TensorSpec(input_shape(model), tf.float64)
        function = tf.function(lambda image: twin(image, training=False)).get_concrete_function(specification)
    runtime = runtime_of_function(function, np.float64)
    refuse_singles(runtime.function.graph)
    return runtime


def refuse_singles(graph: Any) -> None:
    """Raise `HardWired` where an operator of the twin still computes in less than float64.

    Constants in float32 are no such case: the graph under test holds the same ones.
    """
    constant: set[str] = set()
    for operation in graph.get_operations():
        sources = [tensor.op.name for tensor in operation.inputs]
        if operation.type == "Const" or (sources and constant.issuperset(sources)):
            constant.add(operation.name)
        elif any(tensor.dtype.name in SINGLES for tensor in operation.outputs):
            raise HardWired(f"{operation.name} computes in float32 whatever the policy")


def graph_twin(source: Source, reason: str) -> Twin:
    """Rewrite the frozen TensorFlow graph in float64."""
    runtime = load_tensorflow(source.saved_model, source.signature)
    return Twin(TensorFlowRuntime(double_function(runtime.function), np.float64), "graph", reason)


def double_function(function: Any) -> Any:
    """Rebuild a frozen function with every float32 and float16 of its graph as float64."""
    tf = import_tensorflow()
    definition = double_definition(function.graph.as_graph_def())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    tensor = wrapped.graph.get_tensor_by_name
    return wrapped.prune(tensor(function.inputs[0].name), [tensor(output.name) for output in function.outputs])


def double_definition(definition: Any) -> Any:
    """Rewrite types and constants of a GraphDef; operators that only answer in float32 get a cast behind them."""
    tf = import_tensorflow()
    from tensorflow.core.framework import types_pb2

    singles = (types_pb2.DT_FLOAT, types_pb2.DT_HALF, types_pb2.DT_BFLOAT16)
    double = type(definition)()
    double.CopyFrom(definition)
    for attribute in (attribute for node in double.node for attribute in node.attr.values()):
        if attribute.HasField("type") and attribute.type in singles:
            attribute.type = types_pb2.DT_DOUBLE
        for position, each in enumerate(attribute.list.type):
            if each in singles:
                attribute.list.type[position] = types_pb2.DT_DOUBLE
        if attribute.HasField("tensor") and attribute.tensor.dtype in singles:
            array = tf.make_ndarray(attribute.tensor).astype(np.float64)
            attribute.tensor.CopyFrom(tf.make_tensor_proto(array))
    cast_singles(double)
    return double


def cast_singles(definition: Any) -> None:
    """Lift the answer of operators whose output type is fixed (image resizing) to float64."""
    from tensorflow.core.framework import types_pb2

    fixed = [node for node in definition.node if node.op in SINGLE_OPERATORS]
    for node in fixed:
        name = f"{node.name}/float64"
        for other in definition.node:
            for position, source in enumerate(other.input):
                if source in (node.name, f"{node.name}:0"):
                    other.input[position] = name
        cast = definition.node.add(name=name, op="Cast", input=[node.name])
        cast.attr["SrcT"].type = types_pb2.DT_FLOAT
        cast.attr["DstT"].type = types_pb2.DT_DOUBLE
