"""The reference evaluator on resizing, where float32 scales stand for quotients of whole sides."""

from __future__ import annotations

import numpy as np
import pytest

from export.evaluator import make_evaluator

onnx = pytest.importorskip("onnx")


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
