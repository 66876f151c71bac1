"""Everything that can answer for a model, behind one small interface: images in, logits and probabilities out.

TensorFlow and ONNX Runtime answer in float32, as users meet them. Two more answer in float64, where rounding all but
vanishes and what remains is the function itself: `export.twin` makes one of the Keras model, `ReferenceRuntime` is
one of the ONNX graph.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from export.answers import PROBABILITY_FLOOR, is_distribution, probe_images
from export.errors import ArtifactError, CannotExport, Disagreement, one_line
from export.evaluator import evaluating, make_evaluator
from export.graph import IMAGE, LOGITS, PROBABILITIES, TWO_LOGITS
from export.quiet import import_tensorflow, silent_stderr

if TYPE_CHECKING:
    import onnx

IDENTITIES = ("Identity", "Cast")
SHAPING = (*IDENTITIES, "ExpandDims", "Reshape", "Squeeze")
"""TensorFlow operators that hand on all values of their first input, in order."""
Images = NDArray[np.float32]
"""(N, H, W, C) float32, in the range that the model was trained on."""


class Answers(NamedTuple):
    """What a runtime makes of N images; both (N, classes), in the runtime's precision."""

    logits: NDArray[Any]
    probabilities: NDArray[Any]


def choose_rows(answers: Answers, rows: NDArray[np.intp]) -> Answers:
    """Take the answers to some of the images."""
    return Answers(answers.logits[rows], answers.probabilities[rows])


class Runtime(Protocol):
    """Answers for a model."""

    def answer(self, images: Images) -> Answers:
        """Classify one batch."""


def answer_in_batches(runtime: Runtime, images: Images, size: int) -> Answers:
    """Classify in batches of `size`; the last may be smaller."""
    parts = [runtime.answer(images[start : start + size]) for start in range(0, len(images), size)]
    return Answers(
        np.concatenate([part.logits for part in parts]), np.concatenate([part.probabilities for part in parts])
    )


class OnnxRuntime:
    """ONNX Runtime on the CPU with the service's settings. Raises `ArtifactError` where it refuses the model."""

    def __init__(self, model: bytes, optimize: bool = True) -> None:
        # Since 1.29 it reports its use to its maker unless told otherwise before it is imported.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        if not optimize:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions have no public base
            raise ArtifactError(f"ONNX Runtime refuses the model: {one_line(error)}") from error

    def answer(self, images: Images) -> Answers:
        """Classify one batch in float32. Raises `Disagreement` where the graph does not take it."""
        try:
            return Answers(*self.session.run([LOGITS, PROBABILITIES], {IMAGE: images}))
        except Exception as error:  # ONNX Runtime's exceptions have no public base
            raise Disagreement(
                f"the file cannot be run at batch {len(images)}, images of {images.shape[1:]}: {one_line(error)}"
            ) from error


class ReferenceRuntime:
    """The ONNX graph in float64, operator by operator as the standard spells them out; slow and exact.

    Raises `CannotExport` where the evaluator lacks an operator.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        with evaluating():
            self.evaluator = make_evaluator(in_double(model))

    def answer(self, images: Images) -> Answers:
        """Classify one batch in float64. Raises `CannotExport`."""
        with evaluating():
            answers = self.evaluator.run([LOGITS, PROBABILITIES], {IMAGE: images.astype(np.float64)})
        return Answers(*map(np.asarray, answers))


def in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite every float16 and float32 of a graph as float64: weights, constants, casts, inputs and outputs."""
    import onnx
    from onnx import numpy_helper

    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    double = onnx.ModelProto()
    double.CopyFrom(model)
    attributes = [attribute for node in double.graph.node for attribute in node.attribute]
    constants = [attribute.t for attribute in attributes if attribute.type == onnx.AttributeProto.TENSOR]
    for tensor in (*double.graph.initializer, *constants):
        if tensor.data_type in floats:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for value in (*double.graph.input, *double.graph.output):
        if value.type.tensor_type.elem_type in floats:
            value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    for attribute in attributes:
        if attribute.name in ("to", "dtype") and attribute.i in floats:
            attribute.i = onnx.TensorProto.DOUBLE
    del double.graph.value_info[:]
    return double


class TensorFlowRuntime:
    """A frozen TensorFlow graph, cut to logits and probabilities."""

    def __init__(self, function: Any, dtype: type[np.floating[Any]] = np.float32) -> None:
        self.function = function
        self.dtype = dtype

    def answer(self, images: Images) -> Answers:
        """Classify one batch in the graph's precision."""
        tf = import_tensorflow()
        logits, probabilities = self.function(tf.constant(images, self.dtype))
        return Answers(logits.numpy(), probabilities.numpy())


def load_tensorflow(folder: Path, signature: str) -> TensorFlowRuntime:
    """Load a SavedModel's signature, cut to its answers. Raises `CannotExport` or `ArtifactError`."""
    loaded = load_saved_model(folder)
    return runtime_of_function(loaded.signatures[signature])


def answer_as_saved(folder: Path, signature: str, images: Images) -> NDArray[Any]:
    """Classify one batch with a SavedModel as it is, whether it answers with probabilities or with raw scores."""
    tf = import_tensorflow()
    loaded = load_saved_model(folder)
    function = loaded.signatures[signature]
    (name,) = function.structured_input_signature[1]
    answers = function(**{name: tf.constant(images)})
    return np.asarray(answers[PROBABILITIES if PROBABILITIES in answers else min(answers)].numpy())


def load_saved_model(folder: Path) -> Any:
    """Load a SavedModel; its signatures need it for as long as they are called. Raises `ArtifactError`."""
    tf = import_tensorflow()
    try:
        with silent_stderr():
            return tf.saved_model.load(str(folder))
    except (OSError, tf.errors.OpError) as error:
        raise ArtifactError(f"{folder}: TensorFlow cannot load it: {one_line(error)}") from error


def runtime_of_function(function: Any, dtype: type[np.floating[Any]] = np.float32) -> TensorFlowRuntime:
    """Freeze a concrete function and cut it to its answers. Raises `CannotExport`."""
    outputs = function.structured_outputs
    names = sorted(outputs) if isinstance(outputs, dict) else [""]
    return TensorFlowRuntime(cut_to_answers(freeze(function), names), dtype)


def freeze(function: Any) -> Any:
    """Inline calls and turn variables into constants; the outputs stay in the order of their names."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    with silent_stderr():
        return convert_variables_to_constants_v2(function)


def cut_to_answers(frozen: Any, names: list[str]) -> Any:
    """Prune a frozen function to (logits, probabilities), found as `export.graph` finds them.

    Raises `CannotExport`.
    """
    tf = import_tensorflow()
    if len(names) > 1 and not {LOGITS, PROBABILITIES} >= set(names):
        raise CannotExport(f"the model has outputs {', '.join(names)}; expected one, or logits and probabilities")
    answer = frozen.outputs[names.index(PROBABILITIES) if PROBABILITIES in names else 0]
    source = behind_identities(answer)
    if source.op.type == "Softmax":
        return cut(frozen, frozen.inputs[0], [source.op.inputs[0], source])
    shaped = behind_identities(answer, SHAPING)
    is_finished = is_distribution(probe_answer(frozen, answer))
    with frozen.graph.as_default():
        if source.op.type == "Sigmoid" and source.shape[1:] == [1]:
            logits = source.op.inputs[0] * tf.constant(TWO_LOGITS, source.dtype)
            probabilities = tf.concat([1 - source, source], axis=1)
        elif is_finished and shaped.op.type == "Softmax":
            logits, probabilities = tf.reshape(shaped.op.inputs[0], tf.shape(answer)), answer
        elif is_finished:
            logits, probabilities = tf.math.log(tf.maximum(answer, PROBABILITY_FLOOR)), answer
        else:
            logits, probabilities = answer, tf.nn.softmax(answer)
    return cut(frozen, frozen.inputs[0], [logits, probabilities])


def cut(function: Any, image: Any, answers: list[Any]) -> Any:
    """Prune a function to what leads from one tensor of its graph to others.

    It is told what it takes: without that, TensorFlow writes an error with the whole input in it at each call, and
    then calls it all the same (seen with 2.21), which takes longer than most answers.
    """
    tf = import_tensorflow()
    taken = tf.TensorSpec(image.shape, image.dtype, IMAGE)
    return function.prune(image, answers, input_signature=((taken,), {}))


def probe_answer(frozen: Any, answer: Any) -> NDArray[Any]:
    """Run a frozen function on a few images; (N, classes)."""
    tf = import_tensorflow()
    image = frozen.inputs[0]
    (answers,) = cut(frozen, image, [answer])(tf.cast(probe_images(image.shape[1:]), image.dtype))
    return np.asarray(answers.numpy())


def behind_identities(tensor: Any, identities: tuple[str, ...] = IDENTITIES) -> Any:
    """Follow a tensor to the operator that computes it."""
    while tensor.op.type in identities:
        tensor = tensor.op.inputs[0]
    return tensor
