"""The same model in float64, to tell a wrong graph from rounding.

First choice is the Keras model rebuilt from its configuration, because that owes nothing to the tracing and the
conversion under test. Where a layer is hard-wired to float32, or only a SavedModel is at hand, the frozen TensorFlow
graph is rewritten instead: that still judges the conversion, though no longer the tracing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from export.errors import ArtifactError, CannotExport, one_line
from export.parity import finite_rows, relative_errors, row_scale
from export.precision import default_precision, rebuild
from export.quiet import import_tensorflow, silent_stderr
from export.runtimes import Images, Runtime, TensorFlowRuntime, cut, runtime_of_function
from export.source import KERAS_FILE, Source
from export.tracing import input_shape, without_xla

if TYPE_CHECKING:
    import keras

DOUBLE = "float64"
SINGLES = ("float32", "float16", "bfloat16")
SINGLE_OPERATORS = ("ResizeBilinear", "ResizeBicubic", "ResizeArea", "ScaleAndTranslate", "CropAndResize")
"""TensorFlow operators that answer in float32 whatever they are given."""

KERAS_LIMIT = 1e-4
"""Of the largest logit, between TensorFlow and the Keras model: rounding is less than 1e-5, another function more."""
GRAPH_LIMIT = 1e-2
"""The same for the graph's own twin; a graph in half precision is 1e-3 off."""


class Twin(NamedTuple):
    """A float64 runtime, and how it came about."""

    runtime: TensorFlowRuntime
    kind: str
    """`keras`, rebuilt from the configuration, or `graph`, rewritten from the frozen TensorFlow graph."""
    note: str
    """Why it is not the Keras twin; empty if it is."""
    shows_layers: bool = True
    """Whether Keras can rebuild the model's layers in float64."""

    @property
    def single_operators(self) -> tuple[str, ...]:
        """Name the operators that TensorFlow computes in float32 even here."""
        operations = self.runtime.function.graph.get_operations()
        return tuple(operation.name for operation in operations if operation.type in SINGLE_OPERATORS)


class HardWired(Exception):
    """A layer computes in float32 whatever its policy says."""


def make_twin(source: Source, tensorflow: TensorFlowRuntime, images: Images) -> Twin:
    """Build the best float64 twin that the source allows; on `images` it answers as TensorFlow does, but for rounding.

    Raises `CannotExport`, or `ArtifactError` where a SavedModel and the Keras model beside it differ.
    """
    if source.keras_model is None:
        twin = graph_twin(tensorflow, "only a SavedModel is at hand, without its Keras configuration")
    else:
        check_keras_file(source, source.keras_model, tensorflow, images)
        twin = make_keras_twin(source.keras_model, tensorflow, images)
    off = distance(tensorflow, twin.runtime, images)
    if off > GRAPH_LIMIT:
        raise CannotExport(
            f"{source.name}: TensorFlow's answers are {off:.0e} of the largest logit off its own graph in float64, "
            "so there is nothing to hold ONNX against: look for numbers that float32 cannot hold"
        )
    return twin


def check_keras_file(source: Source, model: keras.Model, tensorflow: Runtime, images: Images) -> None:
    """Compare a SavedModel with the Keras model that lies beside it. Raises `ArtifactError`."""
    if not (source.saved_model / KERAS_FILE).is_file():
        return
    tf = import_tensorflow()
    off = distance(tensorflow, trace(model, model, tf.float32), images)
    if off > KERAS_LIMIT:
        raise ArtifactError(
            f"{source.name}: {KERAS_FILE} and the SavedModel beside it differ by {off:.0e} of the largest logit: "
            f"save both anew, or remove {KERAS_FILE}"
        )


def make_keras_twin(model: keras.Model, tensorflow: TensorFlowRuntime, images: Images) -> Twin:
    """Build the Keras twin or, where that is another function, the graph's."""
    try:
        runtime = keras_twin(model)
        off = distance(tensorflow, runtime, images)
    except HardWired as error:
        return graph_twin(tensorflow, str(error))
    except Exception as error:  # noqa: BLE001 - a user's layer may raise anything
        reason = f"Keras cannot rebuild the model in float64: {one_line(error)}"
        return graph_twin(tensorflow, reason)._replace(shows_layers=False)
    if off <= KERAS_LIMIT:
        return Twin(runtime, "keras", "")
    reason = f"rebuilt from its configuration the model is {off:.0e} of the largest logit off, as if it held more state"
    return graph_twin(tensorflow, reason)._replace(shows_layers=False)


def distance(tensorflow: Runtime, other: Runtime, images: Images) -> float:
    """Measure the largest difference of logits, relative to the largest logit; rows that are no numbers do not count.

    Single rows may have next to no logits, and rounding all the same.
    """
    single, double = (runtime.answer(images).logits for runtime in (tensorflow, other))
    if single.shape != double.shape:
        return np.inf
    rows = finite_rows(single, double)
    if not len(rows):
        return 0.0
    largest = float(row_scale(double[rows]).max())
    return float(relative_errors(single[rows], double[rows], largest).max())


def keras_twin(model: keras.Model) -> TensorFlowRuntime:
    """Rebuild a Keras model in float64, with the same weights. Raises `HardWired`."""
    tf = import_tensorflow()
    with silent_stderr(), without_xla(tf), default_precision(DOUBLE):
        runtime = trace(rebuild(model, DOUBLE), model, tf.float64)
    refuse_singles(runtime.function.graph)
    return runtime


def trace(model: keras.Model, shaped: keras.Model, dtype: Any) -> TensorFlowRuntime:
    """Run a Keras model as a frozen graph; `shaped` knows its input's shape."""
    tf = import_tensorflow()
    specification = tf.TensorSpec(input_shape(shaped), dtype)
    with silent_stderr(), without_xla(tf):
        function = tf.function(lambda image: model(image, training=False)).get_concrete_function(specification)
    return runtime_of_function(function, dtype.as_numpy_dtype)


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


def graph_twin(tensorflow: TensorFlowRuntime, reason: str) -> Twin:
    """Rewrite the frozen TensorFlow graph in float64."""
    return Twin(TensorFlowRuntime(double_function(tensorflow.function), np.float64), "graph", reason)


def double_function(function: Any) -> Any:
    """Rebuild a frozen function with every float32 and float16 of its graph as float64."""
    tf = import_tensorflow()
    definition = double_definition(function.graph.as_graph_def())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    tensor = wrapped.graph.get_tensor_by_name
    return cut(wrapped, tensor(function.inputs[0].name), [tensor(output.name) for output in function.outputs])


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
