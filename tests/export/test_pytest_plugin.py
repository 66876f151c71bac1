"""The `parity` fixture, as somebody else's test suite uses it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def test_it_returns_the_report_where_the_two_agree(parity: Callable[..., Any], digits: Any, published: Path) -> None:
    report = parity(digits.model, published / "model.onnx", batches=(1,))
    assert report.verdict == "agree"
    assert report.batches == (1,)


def test_it_fails_the_test_with_the_verdict_where_they_do_not(
    parity: Callable[..., Any], digits: Any, published: Path, tmp_path: Path
) -> None:
    model = onnx.load(published / "model.onnx")
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    onnx.save(model, tmp_path / "retyped.onnx")
    with pytest.raises(pytest.fail.Exception, match="Yes, a bug: the input"):
        parity(str(digits.keras_file), tmp_path / "retyped.onnx")
