"""The reference evaluator where it is not the standard's own: resizing by float32 scales, pooling whole arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from export.evaluator import make_evaluator

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnx.reference")


def resize(side: int, scale: float, **attributes: object) -> np.ndarray:
    """Resize a ramp of one row in float64; the scale is what a float32 constant holds."""
    helper = onnx.helper
    axes = attributes.get("axes")
    scales = np.float64([np.float32(scale)] if axes else [1, 1, 1, np.float32(scale)])
    node = helper.make_node("Resize", ["image", "", "scales"], ["resized"], mode="linear", **attributes)
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, [1, 1, 1, None]) for name in ("image", "resized")
    ]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [onnx.numpy_helper.from_array(scales, "scales")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    return np.asarray(
        make_evaluator(model).run(None, {"image": np.arange(side, dtype=np.float64).reshape(1, 1, 1, -1)})[0]
    )


@pytest.mark.parametrize(("side", "resized"), [(100, 64), (50, 32), (49, 1), (48, 224), (30, 21), (20, 40)])
@pytest.mark.parametrize("attributes", [{}, {"axes": [3]}])
def test_a_scale_that_float32_rounds_gives_the_side_that_was_meant(
    side: int, resized: int, attributes: dict[str, object]
) -> None:
    answer = resize(side, resized / side, **attributes)
    middles = (np.arange(resized) + 0.5) * side / resized - 0.5
    np.testing.assert_allclose(answer.ravel(), np.clip(middles, 0, side - 1), rtol=0, atol=1e-12)


def test_a_scale_that_is_no_quotient_is_taken_as_it_is() -> None:
    np.testing.assert_allclose(resize(5, 1.5).ravel(), np.clip((np.arange(7) + 0.5) / 1.5 - 0.5, 0, 4), atol=1e-12)


POOLS: dict[str, dict[str, object]] = {
    "halves": {"kernel_shape": [2, 2], "strides": [2, 2]},
    "overlapping": {"kernel_shape": [3, 2], "strides": [2, 1]},
    "without strides": {"kernel_shape": [3, 3]},
    "apart": {"kernel_shape": [1, 2], "strides": [2, 3]},
    "padded": {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 1, 2, 1]},
    "same": {"kernel_shape": [3, 2], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
    "same, one by one": {"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER"},
    "valid": {"kernel_shape": [2, 2], "strides": [2, 2], "auto_pad": "VALID"},
    "one axis": {"kernel_shape": [3], "strides": [2]},
    "three axes": {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]},
    # These are left to the standard's own.
    "dilated": {"kernel_shape": [2, 2], "dilations": [2, 2]},
    "rounded up": {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
}
AVERAGES: list[dict[str, object]] = [
    *POOLS.values(),
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    {"kernel_shape": [3, 7]},
]
"""The last is wider than the image."""
CASES = [
    *((18, "MaxPool", outputs, each) for each in POOLS.values() for outputs in (["pooled"], ["pooled", "indices"])),
    *((19, "AveragePool", ["pooled"], each) for each in AVERAGES),
    (18, "AveragePool", ["pooled"], POOLS["same"]),
]
"""Opset, operator, outputs, attributes."""


@pytest.mark.parametrize(("opset", "operator", "outputs", "attributes"), CASES)
def test_pooling_gives_what_the_standard_gives(
    opset: int, operator: str, outputs: list[str], attributes: dict[str, object]
) -> None:
    helper = onnx.helper
    sides = [9, 6, 5][: len(attributes["kernel_shape"])]
    node = helper.make_node(operator, ["image"], outputs, **attributes)
    types = {"image": onnx.TensorProto.DOUBLE, "pooled": onnx.TensorProto.DOUBLE, "indices": onnx.TensorProto.INT64}
    image, *pooled = [helper.make_tensor_value_info(each, types[each], None) for each in ["image", *outputs]]
    model = helper.make_model(
        helper.make_graph([node], "g", [image], pooled), opset_imports=[helper.make_opsetid("", opset)]
    )
    images = np.random.default_rng(3).normal(size=(2, 3, *sides))

    ours = make_evaluator(model).run(None, {"image": images})
    standard = onnx.reference.ReferenceEvaluator(model).run(None, {"image": images})

    for found, expected in zip(ours, standard, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15 if operator == "AveragePool" else 0)
        assert found.dtype == expected.dtype


@pytest.mark.parametrize("sides", [(9, 6), (30, 7)])
@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize(("operator", "reduce"), [("MaxPool", np.max), ("AveragePool", np.mean)])
def test_pooling_in_strides_wider_than_the_window_starts_at_the_edge(
    sides: tuple[int, int], size: int, operator: str, reduce: Callable[..., np.ndarray]
) -> None:
    """As TensorFlow has it; the standard's own pads by less than nothing."""
    helper, kind = onnx.helper, onnx.TensorProto.DOUBLE
    node = helper.make_node(
        operator, ["image"], ["pooled"], kernel_shape=[size, size], strides=[3, 3], auto_pad="SAME_UPPER"
    )
    image, pooled = (helper.make_tensor_value_info(name, kind, [1, 2, None, None]) for name in ("image", "pooled"))
    graph = helper.make_graph([node], "g", [image], [pooled])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    images = np.random.default_rng(3).normal(size=(1, 2, *sides))

    (found,) = make_evaluator(model).run(None, {"image": images})

    starts = [range(0, side, 3) for side in sides]
    expected = [[reduce(images[..., y : y + size, x : x + size], axis=(2, 3)) for x in starts[1]] for y in starts[0]]
    np.testing.assert_allclose(found, np.moveaxis(expected, (0, 1), (2, 3)), rtol=0, atol=1e-15)
