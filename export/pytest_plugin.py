"""A pytest fixture that proves an ONNX file against its Keras model.

    def test_export(parity):
        parity("model.keras", "model.onnx")

Loaded through the entry point `pytest11`, or with `-p export.pytest_plugin`. Nothing heavy is imported before the
fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from export.parity import ParityReport


@pytest.fixture
def parity() -> Callable[..., ParityReport]:
    """Compare a model with an ONNX file: a Keras model as it is, or as `livedigit verify` takes it.

    Fails the test with the verdict, gate by gate, where they disagree; returns the report where they agree.
    Takes `data`, a folder of images or an .npz of tensors, and `batches`, a tuple of batch sizes.
    """

    def check(model: Any, onnx: str | Path, data: str | Path | None = None, **options: Any) -> ParityReport:
        __tracebackhide__ = True
        from export.report import describe_report
        from export.verifying import VerifyOrder, verify_model

        named = str(model) if isinstance(model, Path) else model
        order = VerifyOrder(model=named, onnx=Path(onnx), data=Path(data) if data else None, **options)
        report = verify_model(order).report
        if report.verdict != "agree":
            pytest.fail(describe_report(report), pytrace=False)
        return report

    return check
