"""ONNX's reference evaluator, which spells out each operator as the standard has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.errors import CannotExport, one_line

if TYPE_CHECKING:
    import onnx
    from onnx.reference import ReferenceEvaluator


def make_evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """Load a graph. Raises what its operators like."""
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(model, new_ops=[exact_resize(), *quick_pools()])


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


def quick_pools() -> list[Any]:
    """Make a MaxPool and an AveragePool that reduce whole arrays: the standard's own go number by number, in Python.

    That took a quarter of an export of ours. What TensorFlow's converter does not write is left to them.
    """
    from onnx.reference.ops.op_average_pool import AveragePool_19 as StandardAverage
    from onnx.reference.ops.op_max_pool import MaxPool as StandardMax

    class MaxPool(StandardMax):
        op_domain = ""

        def _run(self, x: Any, **attributes: Any) -> Any:  # type: ignore[override]
            window = None if len(self.output) > 1 or x.dtype.kind != "f" else pool_window(x.shape[2:], **attributes)
            if window is None:
                return super()._run(x, **attributes)  # type: ignore[no-untyped-call]
            return (max_pool(x, window),)

    class AveragePool(StandardAverage):
        op_domain = ""

        def _run(self, x: Any, **attributes: Any) -> Any:  # type: ignore[override]
            window = pool_window(x.shape[2:], **attributes)
            if window is None:
                return super()._run(x, **attributes)  # type: ignore[no-untyped-call]
            return (average_pool(x, window),)

    return [MaxPool, AveragePool]


class PoolWindow(NamedTuple):
    """What is pooled of each axis of an image."""

    sizes: Sequence[int]
    strides: Sequence[int]
    padding: Sequence[tuple[int, int]]
    """Before and behind."""


def pool_window(
    sides: Sequence[int],
    kernel_shape: Sequence[int],
    strides: Sequence[int] | None = None,
    auto_pad: str | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    ceil_mode: int | None = None,
    storage_order: int | None = None,
    count_include_pad: int | None = None,
) -> PoolWindow | None:
    """Read the attributes of a MaxPool or AveragePool; None where it does more than most."""
    rank = len(kernel_shape)
    strides, pads = strides or (1,) * rank, pads or (0,) * 2 * rank
    if auto_pad == "SAME_UPPER":
        # Never less than nothing, as it is where strides are wider than the window: the standard's own crops there.
        missing = [
            max((-(-side // stride) - 1) * stride + size - side, 0)
            for side, size, stride in zip(sides, kernel_shape, strides, strict=True)
        ]
        pads = (*(each // 2 for each in missing), *(each - each // 2 for each in missing))
    padding = list(zip(pads[:rank], pads[rank:], strict=True))
    if auto_pad == "SAME_LOWER" or max(dilations or (1,)) > 1 or ceil_mode or storage_order or count_include_pad:
        return None
    room = [side + sum(more) - size for side, more, size in zip(sides, padding, kernel_shape, strict=True)]
    if min(*pads, *room) < 0:
        return None
    return PoolWindow(kernel_shape, strides, padding)


def max_pool(images: NDArray[Any], window: PoolWindow) -> NDArray[Any]:
    """Take the largest number of each window of (N, C, sides...) that fits."""
    return np.asarray(slide(images, window, -np.inf).max(axis=kernel_axes(window)))


def average_pool(images: NDArray[Any], window: PoolWindow) -> NDArray[Any]:
    """Take the mean of each window of (N, C, sides...) that fits, of what lies within the image."""
    sums, counts = (
        slide(each, window, 0).sum(axis=kernel_axes(window)) for each in (images, np.ones_like(images[:1, :1]))
    )
    return np.asarray(sums / counts)


def slide(images: NDArray[Any], window: PoolWindow, outside: float) -> NDArray[Any]:
    """Give every window of (N, C, sides...) that fits: (N, C, places..., sizes...)."""
    rank = len(window.sizes)
    padded = np.pad(images, [(0, 0), (0, 0), *window.padding], constant_values=outside)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window.sizes, axis=tuple(range(2, 2 + rank)))
    return windows[(slice(None), slice(None), *(slice(None, None, stride) for stride in window.strides))]


def kernel_axes(window: PoolWindow) -> tuple[int, ...]:
    """Name the axes of `slide` that a pool reduces."""
    return tuple(range(-len(window.sizes), 0))


def whole_sizes(sides: NDArray[np.int64], scales: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Find the sides that were divided by `sides` to get `scales`; None where they were chosen otherwise."""
    sizes = np.rint(sides * scales)
    exact = np.array_equal((sizes / sides).astype(np.float32), scales.astype(np.float32))
    return sizes.astype(np.int64) if exact else None
