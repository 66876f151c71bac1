"""One spelling for every graph, so that equal weights give equal bytes.

An exporter's output depends on Python's hash seed, on the folder that it read and on process-wide counters: through
the order of nodes and initializers, through their names, through `doc_string`. None of them changes what the graph
computes, so each is rewritten from the graph alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

PRODUCER = "livedigit"


def canonicalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite order and names; inputs, outputs and the arithmetic stay. Unused nodes and weights are dropped."""
    import onnx

    canonical = onnx.ModelProto()
    canonical.CopyFrom(model)
    nodes = nodes_in_order_of_need(canonical.graph)
    names = rename_tensors(canonical.graph, nodes)
    write_initializers(canonical.graph, names)
    for node in nodes:
        sort_attributes(node)
    del canonical.graph.node[:]
    canonical.graph.node.extend(nodes)
    clear_provenance(canonical)
    return canonical


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Serialize with map fields in a fixed order."""
    return bytes(model.SerializeToString(deterministic=True))


def nodes_in_order_of_need(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Sort topologically, depth first from the outputs: an order that only the graph's shape decides."""
    producer = {name: node for node in graph.node for name in node.output if name}
    ordered: list[onnx.NodeProto] = []
    done: set[int] = set()
    stack = [(output.name, False) for output in sorted(graph.output, key=lambda value: value.name, reverse=True)]
    while stack:
        tensor, inputs_done = stack.pop()
        node = producer.get(tensor)
        if node is None or id(node) in done:
            continue
        if inputs_done:
            done.add(id(node))
            ordered.append(node)
        else:
            stack.append((tensor, True))
            stack.extend((name, False) for name in reversed(node.input))
    return ordered


def rename_tensors(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> dict[str, str]:
    """Name nodes and tensors after operator and rank (`Conv_2`, `Conv_2.weight_1`); the map from the old names."""
    fixed = {value.name for value in (*graph.input, *graph.output)}
    names = dict.fromkeys(("",), "") | {name: name for name in fixed}
    counts: Counter[str] = Counter()
    for node in nodes:
        node.name = f"{node.op_type}_{counts[node.op_type]}"
        counts[node.op_type] += 1
        for position, name in enumerate(node.input):
            node.input[position] = names.setdefault(name, f"{node.name}.weight_{position}")
        for position, name in enumerate(node.output):
            suffix = f"_{position}" if position else ""
            node.output[position] = names.setdefault(name, f"{node.name}.output{suffix}")
    return names


def write_initializers(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Keep the weights in use, in order of use, all in the same encoding."""
    from onnx import numpy_helper

    rank = {name: position for position, name in enumerate(names)}
    used = sorted((tensor for tensor in graph.initializer if tensor.name in names), key=lambda t: rank[t.name])
    rewritten = [numpy_helper.from_array(numpy_helper.to_array(tensor), names[tensor.name]) for tensor in used]
    del graph.initializer[:]
    graph.initializer.extend(rewritten)


def sort_attributes(node: onnx.NodeProto) -> None:
    """Order attributes by name and drop the commentary."""
    attributes = sorted(node.attribute, key=lambda attribute: attribute.name)
    del node.attribute[:]
    node.attribute.extend(attributes)
    node.doc_string = ""


def clear_provenance(model: onnx.ModelProto) -> None:
    """Remove what says where and how the file was made; the manifest holds it."""
    model.graph.name = "model"
    model.graph.doc_string = model.doc_string = ""
    del model.graph.value_info[:]
    model.producer_name, model.producer_version = PRODUCER, ""
    default_domain = [opset for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    del model.opset_import[:]
    model.opset_import.extend(default_domain)
