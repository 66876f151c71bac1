"""What an ONNX file must be before we publish it or judge it: one file of standard operators that our server loads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from export.errors import ArtifactError, CannotExport, one_line
from export.graph import IMAGE, LOGITS, PROBABILITIES, names_of
from export.runtimes import OnnxRuntime

if TYPE_CHECKING:
    import onnx

CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
CONTROL_FLOW_REASON = "are control flow: give recurrent layers, as GRU or ConvLSTM2D, `unroll=True`"
RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
WINDOWED = ("Conv", "MaxPool", "AveragePool")
GAPS_REASON = (
    "step further than their windows reach and pad as the image's size asks, which is open: ONNX Runtime refuses some "
    "sizes or answers otherwise than TensorFlow: give the model images of one size"
)
"""Seen with 1.31, where the last window would end before the image does; a Conv of one pixel is right."""
MAX_BYTES = 500 * 2**20
"""Of the file; protobuf ends at 2 GiB, our server's memory before that."""


def read_onnx(path: Path) -> onnx.ModelProto:
    """Parse a file. Raises `ArtifactError`."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: {error.strerror}") from error
    try:
        model = onnx.load_from_string(data)
    except DecodeError as error:
        raise ArtifactError(f"{path}: damaged, incomplete, or no ONNX file") from error
    if not model.graph.node:
        raise ArtifactError(f"{path}: damaged, incomplete, or no ONNX file: it holds no graph")
    return model


def check_portable(model: onnx.ModelProto) -> None:
    """Refuse what our server would not run as it stands. Raises `CannotExport` with the operator or tensor named."""
    refuse_external_data(model)
    foreign = [node for node in model.graph.node if node.domain not in ("", "ai.onnx")]
    refuse_nodes(foreign, "are of no standard domain")
    refuse_nodes([node for node in model.graph.node if node.op_type in CONTROL_FLOW], CONTROL_FLOW_REASON)
    refuse_nodes([node for node in model.graph.node if node.op_type in RANDOM], "are random: inference must not be")
    if has_open_sides(model.graph):
        refuse_nodes([node for node in model.graph.node if leaves_gaps(node)], GAPS_REASON)
    if model.functions:
        raise CannotExport(f"the file defines functions ({names_of(model.functions)}); expected plain operators")


def has_open_sides(graph: onnx.GraphProto) -> bool:
    """Say whether the size of the images is for the caller to choose."""
    return any(not dim.HasField("dim_value") for each in graph.input for dim in each.type.tensor_type.shape.dim[1:])


def leaves_gaps(node: onnx.NodeProto) -> bool:
    """Say whether windows with room between them are padded by what the image's size asks."""
    if node.op_type not in WINDOWED:
        return False
    import onnx

    attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
    sizes, strides = attributes.get("kernel_shape", ()), attributes.get("strides", ())
    is_plain = node.op_type == "Conv" and max(sizes, default=1) == 1
    has_gaps = any(stride > size for size, stride in zip(sizes, strides, strict=False))
    return has_gaps and not is_plain and attributes.get("auto_pad", b"").startswith(b"SAME")


def refuse_nodes(nodes: list[onnx.NodeProto], reason: str) -> None:
    """Raise `CannotExport` where there are any."""
    if nodes:
        named = ", ".join(sorted({f"{node.domain}:{node.op_type}".lstrip(":") for node in nodes}))
        raise CannotExport(f"operators {named} {reason}")


def refuse_external_data(model: onnx.ModelProto) -> None:
    """Refuse weights that lie in other files. Raises `CannotExport`."""
    import onnx

    for tensor in walk_tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise CannotExport(f"the tensor {tensor.name} lies in another file; expected one file with all weights")


def walk_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Find every tensor that a graph holds: initializers, attributes of nodes, and those of subgraphs."""
    yield from graph.initializer
    yield from sparse_parts(graph.sparse_initializer)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors, *sparse_parts([attribute.sparse_tensor]))
        yield from sparse_parts(attribute.sparse_tensors)
        for subgraph in (attribute.g, *attribute.graphs):
            yield from walk_tensors(subgraph)


def sparse_parts(tensors: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    """List the two tensors that each sparse one is made of."""
    for tensor in tensors:
        yield from (tensor.values, tensor.indices)


def check_interface(model: onnx.ModelProto) -> None:
    """Refuse other inputs or outputs than `image` to `logits` and `probabilities`. Raises `CannotExport`."""
    inputs, outputs = model.graph.input, model.graph.output
    if [value.name for value in inputs] != [IMAGE]:
        raise CannotExport(f"the graph has inputs {names_of(inputs)}; expected `{IMAGE}`")
    if {value.name for value in outputs} != {LOGITS, PROBABILITIES}:
        raise CannotExport(f"the graph has outputs {names_of(outputs)}; expected `{LOGITS}` and `{PROBABILITIES}`")


def check_valid(model: onnx.ModelProto, data: bytes) -> None:
    """Let ONNX's checker and ONNX Runtime, plain and optimized, accept the file. Raises `CannotExport`."""
    import onnx

    if len(data) > MAX_BYTES:
        raise CannotExport(f"the file has {len(data):,} bytes; at most {MAX_BYTES:,} are served")
    try:
        onnx.checker.check_model(model, full_check=True)
        OnnxRuntime(data, optimize=False)
        OnnxRuntime(data)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ArtifactError) as error:
        raise CannotExport(f"the converted graph is not valid: {one_line(error)}") from error
