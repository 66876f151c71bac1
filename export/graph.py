"""Surgery on a converted graph: the outputs that the server expects, and nothing that inference does not need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.answers import PROBABILITY_FLOOR, are_fractions, is_distribution, probe_images
from export.errors import CannotExport
from export.evaluator import evaluating, make_evaluator

if TYPE_CHECKING:
    import onnx

    from export.parity import Array

IMAGE = "image"
LOGITS = "logits"
PROBABILITIES = "probabilities"
TRAINING_MODE_INPUT = 3
"""ONNX Dropout is inert unless its third input says otherwise."""
TWO_LOGITS = (-0.5, 0.5)
"""Times the score before a sigmoid: the logits of no and yes. Halving rounds nothing."""
SCORES = ("HardSigmoid", "Sigmoid", "Softmax")
"""Operators whose answers are not raw."""
FRESH_START = ("Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "Log", "MatMul", "RNN")
"""Operators that make raw scores of anything: by weights, or of probabilities their logarithm."""
SHAPING = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that hand on all values of their first input."""
AXIS_NAMES = ("batch", "height", "width", "channels")


def standardize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the graph its interface (`image` to `logits` and `probabilities`) and fold what shapes decide.

    Raises `CannotExport` where there is no softmax classifier to find.
    """
    standard = with_named_input(model)
    bypass_identities(standard)
    expose_logits(standard)
    fold_static_reshapes(standard)
    return standard


def with_named_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model, its input called `image`. Raises `CannotExport`."""
    import onnx

    named = onnx.ModelProto()
    named.CopyFrom(model)
    name_input(named.graph)
    return named


def name_input(graph: onnx.GraphProto) -> None:
    """Leave one input, called `image`, its open dimensions named by what they mean. Raises `CannotExport`."""
    inputs = fed_inputs(graph)
    if len(inputs) != 1:
        raise CannotExport(f"the graph has inputs {names_of(inputs)}; expected one, the image")
    dimensions = inputs[0].type.tensor_type.shape.dim
    if len(dimensions) != len(AXIS_NAMES):
        raise CannotExport(f"the input has {len(dimensions)} dimensions; expected batch, height, width, channels")
    for position, (dimension, meaning) in enumerate(zip(dimensions, AXIS_NAMES, strict=True)):
        if position == 0 or dimension.dim_value <= 0:
            dimension.dim_param = meaning
    rename_tensors(graph, {inputs[0].name: IMAGE})
    inputs[0].name = IMAGE
    del graph.input[:]
    graph.input.extend(inputs)


def fed_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """List the inputs that a caller feeds; older files list the weights among them."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def expose_logits(model: onnx.ModelProto) -> None:
    """Make the softmax's input and output the graph's two outputs. Raises `CannotExport`.

    The logits of a softmax that is given another shape, as by Flatten, get that shape too. Of probabilities that
    something else made, as the mean of an ensemble, the logits are the logarithm.
    """
    graph = model.graph
    answer = find_answer(graph)
    source = producers(graph).get(answer)
    if source is not None and source.op_type == "Cast":
        source = producers(graph).get(source.input[0])
    made_by = source.op_type if source is not None else "no operator"
    if source is not None and made_by == "Softmax":
        logits, probabilities = as_float(model, source.input[0]), as_float(model, source.output[0])
    elif source is not None and made_by == "Sigmoid" and has_one_column(model, source.input[0]):
        logits = append_two_logits(graph, as_float(model, source.input[0]))
        probabilities = append_softmax(graph, logits)
    elif is_distribution(answers := probe_answer(model, answer)):
        probabilities = as_float(model, answer)
        reshaped = reshaped_softmax(graph, answer)
        logits = (
            as_float(model, append_reshaped(graph, reshaped)) if reshaped else append_logarithm(graph, probabilities)
        )
    elif answer == PROBABILITIES or are_fractions(answers) or is_made_of_scores(graph, answer):
        raise CannotExport(
            f"the output `{answer}` is made by {made_by}, not by a softmax over classes, and is no distribution: "
            "end the model in a softmax, or in the raw scores before it"
        )
    else:
        logits = as_float(model, answer)
        probabilities = append_softmax(graph, logits)
    classes = count_classes(model, logits, answer)
    rename_tensors(graph, {logits: LOGITS, probabilities: PROBABILITIES})
    declare_outputs(graph, classes)


def find_answer(graph: onnx.GraphProto) -> str:
    """Name the output that carries the classification. Raises `CannotExport` where that is a guess."""
    outputs = {value.name for value in graph.output}
    if PROBABILITIES in outputs and outputs <= {PROBABILITIES, LOGITS}:
        return PROBABILITIES
    if len(outputs) == 1:
        return str(outputs.pop())
    raise CannotExport(
        f"the graph has outputs {names_of(graph.output)}; expected one, or `{PROBABILITIES}` and `{LOGITS}`"
    )


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """Map each tensor to the node that computes it."""
    return {name: node for node in graph.node for name in node.output}


def as_float(model: onnx.ModelProto, tensor: str) -> str:
    """Name the tensor in float32; mixed precision may compute it in float16."""
    import onnx

    if element_types(model).get(tensor) == onnx.TensorProto.FLOAT:
        return tensor
    name = f"{tensor}/float32"
    model.graph.node.append(onnx.helper.make_node("Cast", [tensor], [name], to=onnx.TensorProto.FLOAT))
    return name


def probe_answer(model: onnx.ModelProto, answer: str) -> Array:
    """Run the graph on a few images, one by one; (N, classes) float, where the classes are in the last axis.

    Raises `CannotExport` where the evaluator lacks an operator.
    """
    import onnx

    kind = next(value.type.tensor_type for value in model.graph.input if value.name == IMAGE)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    images = probe_images([side.dim_value for side in kind.shape.dim[1:]]).astype(dtype)
    with evaluating():
        evaluator = make_evaluator(model)
        runs = [evaluator.run([answer], {IMAGE: image[np.newaxis]}) for image in images]
    answers = [np.asarray(each) for run in runs for each in run]
    return np.concatenate([each.reshape(-1, each.shape[-1] if each.ndim else 1) for each in answers])


def is_made_of_scores(graph: onnx.GraphProto, tensor: str) -> bool:
    """Say whether a softmax or sigmoid lies before a tensor, with nothing between that makes raw scores again.

    A product with something raw, as in a swish, is raw.
    """
    made_by = producers(graph)
    verdicts: dict[str, bool] = {}

    def look(name: str) -> bool:
        if name not in verdicts:
            node = made_by[name]
            before = [look(each) for each in node.input if each in made_by and made_by[each].op_type != "Constant"]
            together = all if node.op_type == "Mul" else any
            verdicts[name] = node.op_type in SCORES or (
                node.op_type not in FRESH_START and bool(before) and together(before)
            )
        return verdicts[name]

    return tensor in made_by and look(tensor)


def reshaped_softmax(graph: onnx.GraphProto, tensor: str) -> list[onnx.NodeProto]:
    """List the nodes from a softmax to a tensor where they only give it another shape; else none."""
    made_by = producers(graph)
    nodes: list[onnx.NodeProto] = []
    while (node := made_by.get(tensor)) is not None:
        nodes.insert(0, node)
        if node.op_type not in SHAPING:
            break
        tensor = node.input[0]
    return nodes if nodes and nodes[0].op_type == "Softmax" else []


def append_reshaped(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> str:
    """Give what a softmax is made of the shape that `nodes` give the softmax."""
    logits = nodes[0].input[0]
    for node in nodes[1:]:
        name = f"{node.output[0]}/logits"
        copy = graph.node.add()
        copy.CopyFrom(node)
        copy.name, copy.input[0], copy.output[0] = name, logits, name
        logits = name
    return str(logits)


def append_logarithm(graph: onnx.GraphProto, probabilities: str) -> str:
    """Give probabilities their logits: the softmax of the logarithm is what they were."""
    import onnx

    floor, kept, name = (f"{probabilities}/{what}" for what in ("floor", "kept", "log"))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(PROBABILITY_FLOOR, np.float32), floor))
    graph.node.append(onnx.helper.make_node("Max", [probabilities, floor], [kept]))
    graph.node.append(onnx.helper.make_node("Log", [kept], [name]))
    return name


def append_softmax(graph: onnx.GraphProto, logits: str) -> str:
    """Add the softmax that a model with raw outputs leaves to its loss."""
    import onnx

    name = f"{logits}/softmax"
    graph.node.append(onnx.helper.make_node("Softmax", [logits], [name], axis=-1))
    return name


def has_one_column(model: onnx.ModelProto, tensor: str) -> bool:
    """Tell a yes-or-no score, (batch, 1), from independent scores of several labels."""
    shape = inferred_shapes(model).get(tensor)
    return shape is not None and shape[1:] == [1]


def append_two_logits(graph: onnx.GraphProto, score: str) -> str:
    """Give no and yes a logit each, (batch, 2), such that their softmax is the sigmoid of the one score."""
    import onnx

    halves, name = f"{score}/halves", f"{score}/two"
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(TWO_LOGITS, np.float32), halves))
    graph.node.append(onnx.helper.make_node("Mul", [score, halves], [name]))
    return name


def count_classes(model: onnx.ModelProto, logits: str, answer: str) -> int:
    """Read the number of classes from the logits' shape, or where that cannot be inferred, the stated answer's.

    Raises `CannotExport`.
    """
    shapes = inferred_shapes(model)
    known = [shapes[name] for name in (logits, answer) if name in shapes]
    shape = next((each for each in known if None not in each[1:]), known[0] if known else None)
    if shape is None or len(shape) != 2 or shape[1] is None:
        raise CannotExport(f"the output has shape {shape}; expected (batch, classes)")
    if shape[1] < 2:
        raise CannotExport(
            "the output has one column, a raw score; expected one per class, or a sigmoid that tells no from yes"
        )
    return shape[1]


def declare_outputs(graph: onnx.GraphProto, classes: int) -> None:
    """Replace the graph's outputs by logits and probabilities, each (batch, classes) float32."""
    import onnx

    del graph.output[:]
    for name in (LOGITS, PROBABILITIES):
        graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [AXIS_NAMES[0], classes]))


def rename_tensors(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Rename tensors wherever nodes and weights use them; one that bears a new name already makes way."""
    swap = {new: f"{new}/displaced" for old, new in names.items() if old != new} | names
    for field in (field for node in graph.node for field in (node.input, node.output)):
        for position, name in enumerate(field):
            field[position] = swap.get(name, name)
    for tensor in graph.initializer:
        tensor.name = swap.get(tensor.name, tensor.name)


def fold_static_reshapes(model: onnx.ModelProto) -> None:
    """Replace a computed target shape that leaves only the batch open by a constant.

    Keras' Flatten computes its target shape at run time, with six nodes.
    """
    from onnx import numpy_helper

    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    shapes = inferred_shapes(model)
    for node in graph.node:
        shape = shapes.get(node.output[0])
        if node.op_type != "Reshape" or node.input[1] in constants or shape is None or shape.count(None) > 1:
            continue
        name = f"{node.output[0]}/shape"
        target = np.array([-1 if side is None else side for side in shape], np.int64)
        graph.initializer.append(numpy_helper.from_array(target, name))
        node.input[1] = name


def bypass_identities(model: onnx.ModelProto) -> None:
    """Remove nodes that hand their input on: Identity, Dropout at inference, casts to the type at hand."""
    graph, types = model.graph, element_types(model)
    for node in list(graph.node):
        if not hands_on(node, types):
            continue
        source, target = node.input[0], node.output[0]
        graph.node.remove(node)
        if target in {value.name for value in graph.output}:
            rename_tensors(graph, {source: target})
        else:
            replace_uses(graph, target, source)


def replace_uses(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Let every node read another tensor instead."""
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new


def hands_on(node: onnx.NodeProto, types: dict[str, int]) -> bool:
    """Say whether the node's first output equals its first input."""
    if node.op_type == "Cast":
        return bool(types.get(node.input[0]) == node.attribute[0].i)
    return bool(node.op_type == "Identity") or (node.op_type == "Dropout" and len(node.input) < TRAINING_MODE_INPUT)


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    """Infer every tensor's element type, as `TensorProto.DataType`."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def inferred_shapes(model: onnx.ModelProto) -> dict[str, list[int | None]]:
    """Infer every tensor's shape; None stands for a dimension that the caller chooses."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    return {
        value.name: [
            side.dim_value if side.HasField("dim_value") else None for side in value.type.tensor_type.shape.dim
        ]
        for value in (*graph.value_info, *graph.input, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }


def names_of(values: object) -> str:
    """List names for a message."""
    return ", ".join(f"`{value.name}`" for value in values) or "none"  # type: ignore[attr-defined]
