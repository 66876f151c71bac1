"""Equal weights give equal bytes, whatever the exporter's moods."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.canonical import canonicalize, to_bytes

onnx = pytest.importorskip("onnx")

FLOAT = onnx.TensorProto.FLOAT


def make_graph(shuffle: random.Random | None = None, prefix: str = "") -> Any:
    """Two branches that meet; names, order and commentary as `shuffle` and `prefix` will have them."""
    weights = [
        onnx.numpy_helper.from_array(np.full((3, 3), value, np.float32), f"{prefix}w{value}") for value in (1, 2, 9)
    ]
    nodes = [
        onnx.helper.make_node("MatMul", ["image", f"{prefix}w1"], [f"{prefix}a"], name=f"{prefix}left"),
        onnx.helper.make_node("MatMul", ["image", f"{prefix}w2"], [f"{prefix}b"], name=f"{prefix}right"),
        onnx.helper.make_node("Relu", [f"{prefix}b"], [f"{prefix}unused"]),
        onnx.helper.make_node("Add", [f"{prefix}a", f"{prefix}b"], ["logits"], doc_string=prefix),
        onnx.helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    if shuffle is not None:
        shuffle.shuffle(weights)
        shuffle.shuffle(nodes)
    values = {
        name: onnx.helper.make_tensor_value_info(name, FLOAT, ["batch", 3])
        for name in ("image", "logits", "probabilities")
    }
    graph = onnx.helper.make_graph(
        nodes, prefix, [values.pop("image")], list(values.values()), weights, doc_string=prefix
    )
    return onnx.helper.make_model(graph, producer_name=prefix, opset_imports=[onnx.helper.make_opsetid("", 18)])


@pytest.mark.parametrize("seed", range(5))
def test_names_order_and_commentary_do_not_matter(seed: int) -> None:
    expected = to_bytes(canonicalize(make_graph()))
    shuffle = random.Random(seed)
    assert to_bytes(canonicalize(make_graph(shuffle, prefix=f"/here/{seed}/"))) == expected


def test_another_weight_gives_other_bytes() -> None:
    other = make_graph()
    other.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.full((3, 3), 1.5, np.float32), "w1"))
    assert to_bytes(canonicalize(other)) != to_bytes(canonicalize(make_graph()))


def test_the_canonical_form_is_a_fixed_point() -> None:
    once = canonicalize(make_graph())
    assert to_bytes(canonicalize(once)) == to_bytes(once)


def test_what_is_not_used_is_dropped() -> None:
    graph = canonicalize(make_graph()).graph
    assert [node.op_type for node in graph.node] == ["MatMul", "MatMul", "Add", "Softmax"]
    assert len(graph.initializer) == 2


def test_the_graph_computes_what_it_did() -> None:
    from onnx.reference import ReferenceEvaluator

    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    before, after = (
        ReferenceEvaluator(model).run(["logits"], {"image": image})[0]
        for model in (make_graph(), canonicalize(make_graph()))
    )
    assert np.array_equal(before, after)


@pytest.mark.tensorflow
def test_two_processes_two_folders_and_two_hash_seeds_give_the_same_bytes(digits: Any, tmp_path: Path) -> None:
    """This process is one of them; it has converted other models before."""
    shutil.copy(digits.keras_file, tmp_path / "copied.keras")
    script = (
        "import sys, pathlib; from export.source import open_source; from export.conversion import convert_source;"
        "folder = pathlib.Path(sys.argv[1]);"
        "source = open_source(str(folder / 'copied.keras'), folder);"
        "(folder / 'model.onnx').write_bytes(convert_source(source).data)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4242"}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], env=environment, check=True, timeout=280)
    assert (tmp_path / "model.onnx").read_bytes() == digits.converted.data
