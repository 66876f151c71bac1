"""Files that are no plain, single-file ONNX graph are refused by name before anything runs."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.check import check_interface, check_portable, check_valid, read_onnx
from export.errors import ArtifactError, CannotExport

onnx = pytest.importorskip("onnx")
helper = onnx.helper


def make_model(nodes: list[Any] | None = None, weights: list[Any] | None = None, **options: Any) -> Any:
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3])
        for name in ("image", "logits", "probabilities")
    ]
    default = [
        helper.make_node("Relu", ["image"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    graph = helper.make_graph(nodes or default, "g", values[:1], values[1:], weights or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8, **options)


def test_a_plain_graph_passes(tmp_path: Path) -> None:
    model = make_model()
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    read = read_onnx(tmp_path / "m.onnx")
    check_portable(read)
    check_interface(read)
    check_valid(read, read.SerializeToString())


def test_a_custom_domain_is_named() -> None:
    model = make_model([helper.make_node("Crystal", ["image"], ["logits"], domain="com.example")])
    with pytest.raises(CannotExport, match=r"com\.example:Crystal"):
        check_portable(model)


def test_control_flow_is_named() -> None:
    with pytest.raises(CannotExport, match=r"Loop.*control flow.*unroll=True"):
        check_portable(make_model([helper.make_node("Loop", ["", "", "image"], ["logits"])]))


def test_random_operators_are_named() -> None:
    with pytest.raises(CannotExport, match=r"RandomNormalLike.*random"):
        check_portable(make_model([helper.make_node("RandomNormalLike", ["image"], ["logits"])]))


@pytest.mark.parametrize(
    ("operator", "size", "stride", "side", "is_refused"),
    [
        ("MaxPool", 2, 3, None, True),
        ("AveragePool", 1, 3, None, True),
        ("Conv", 2, 5, None, True),
        ("Conv", 1, 2, None, False),
        ("MaxPool", 3, 2, None, False),
        ("MaxPool", 2, 3, 9, False),
    ],
)
def test_gaps_between_windows_are_refused_where_padding_depends_on_the_size(
    operator: str, size: int, stride: int, side: int | None, is_refused: bool
) -> None:
    node = helper.make_node(
        operator, ["image"], ["logits"], kernel_shape=[size, size], strides=[stride, stride], auto_pad="SAME_UPPER"
    )
    model = make_model([node])
    del model.graph.input[:]
    model.graph.input.append(helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [None, 1, side, side]))
    with pytest.raises(CannotExport, match=f"{operator} step further") if is_refused else nullcontext():
        check_portable(model)


def test_weights_in_another_file_are_named() -> None:
    tensor = onnx.numpy_helper.from_array(np.ones(3, np.float32), "kernel")
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secrets")
    with pytest.raises(CannotExport, match="kernel"):
        check_portable(make_model(weights=[tensor]))


def external_tensor(name: str) -> Any:
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=[3])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secrets")
    return tensor


@pytest.mark.parametrize("place", ["t", "tensors", "sparse_tensor", "sparse_tensors", "sparse_initializer", "subgraph"])
def test_tensors_in_another_file_are_named_wherever_they_are(place: str) -> None:
    model = make_model()
    attribute = model.graph.node[0].attribute.add(name="value")
    hidden = {
        "t": lambda: attribute.t,
        "tensors": attribute.tensors.add,
        "sparse_tensor": lambda: attribute.sparse_tensor.values,
        "sparse_tensors": lambda: attribute.sparse_tensors.add().indices,
        "sparse_initializer": lambda: model.graph.sparse_initializer.add().values,
        "subgraph": lambda: attribute.g.node.add().attribute.add().t,
    }
    hidden[place]().CopyFrom(external_tensor("kernel"))
    with pytest.raises(CannotExport, match="kernel"):
        check_portable(model)


def test_local_functions_are_named() -> None:
    model = make_model()
    model.functions.add(name="hidden", domain="local")
    with pytest.raises(CannotExport, match="hidden"):
        check_portable(model)


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a protobuf at all", b"\xff" * 64])
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"m\.onnx"):
        read_onnx(tmp_path / "m.onnx")


def test_a_file_cut_short(tmp_path: Path) -> None:
    weights = [onnx.numpy_helper.from_array(np.ones((50, 50), np.float32), "kernel")]
    whole = make_model(weights=weights).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match=r"m\.onnx"):
        read_onnx(tmp_path / "m.onnx")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="No such file"):
        read_onnx(tmp_path / "m.onnx")


def test_other_outputs_are_refused() -> None:
    model = make_model()
    model.graph.output[0].name = "scores"
    with pytest.raises(CannotExport, match="`scores`"):
        check_interface(model)


def test_a_graph_that_does_not_type_check_is_refused() -> None:
    model = make_model([helper.make_node("Softmax", ["nowhere"], ["probabilities"], axis=-1)])
    with pytest.raises(CannotExport, match="not valid"):
        check_valid(model, model.SerializeToString())
