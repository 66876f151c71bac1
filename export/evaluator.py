"""ONNX's reference evaluator, which spells out each operator as the standard has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.errors import CannotExport, one_line

if TYPE_CHECKING:
    import onnx
    from onnx.reference import ReferenceEvaluator


def make_evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """Load a graph. Raises what its operators like."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(model, new_ops=[exact_resize()])


@contextmanager
def evaluating() -> Iterator[None]:
    """Say in one line what the evaluator does not take; infinity and not-a-number it takes. Raises `CannotExport`."""
    try:
        with np.errstate(all="ignore"):
            yield
    except Exception as error:  # each operator raises what it likes
        raise CannotExport(
            f"the graph cannot be compared in float64: ONNX's reference evaluator stops with {type(error).__name__}, "
            f"{one_line(error)}"
        ) from error


def exact_resize() -> Any:
    """Make a Resize that reads float32 scales as the quotients of whole sides that they round.

    As they stand, 100 pixels times 0.64 are 63 in float64.
    """
    from onnx.reference.ops.op_resize import Resize as Standard

    class Resize(Standard):
        op_domain = ""

        def _run(  # type: ignore[override]
            self, x: Any, roi: Any, scales: Any = None, sizes: Any = None, **attributes: Any
        ) -> Any:
            axes = attributes.get("axes") or range(x.ndim)
            if sizes is None:
                sizes = whole_sizes(np.array([x.shape[axis] for axis in axes]), scales)
            return super()._run(x, roi, scales if sizes is None else None, sizes, **attributes)

    return Resize


def whole_sizes(sides: NDArray[np.int64], scales: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Find the sides that were divided by `sides` to get `scales`; None where they were chosen otherwise."""
    sizes = np.rint(sides * scales)
    exact = np.array_equal((sizes / sides).astype(np.float32), scales.astype(np.float32))
    return sizes.astype(np.int64) if exact else None
