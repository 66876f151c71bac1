"""Names the first layer at which two models part, so that a reader knows where to look.

Each Keras layer's value in float64 is looked for among all tensors of the ONNX graph, whatever their layout. A layer
whose value is not there may just have been fused with the next one; so a layer is at fault only if neither its own
value nor that of any layer after it is found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from export.compare import Contest, Progress
from export.evaluator import evaluating, make_evaluator
from export.inputs import InputSet
from export.parity import SMALLEST_SCALE, ParityReport, summarize, worst
from export.precision import rebuild
from export.quiet import import_tensorflow, silent_stderr
from export.runtimes import Images, in_double

if TYPE_CHECKING:
    import keras
    import onnx

Array = NDArray[np.float64]

IMAGES = 4
SLACK = 4.0
"""Values inside the network may differ by this much more than logits do."""


class Culprit(NamedTuple):
    """Where two models part."""

    layer: str
    """Of the Keras model."""
    tensor: str
    """Of the ONNX graph: the nearest one of that size; empty if there is none."""
    error: float
    """Between the two, relative to the layer's largest value; infinite where the tensor is no number, or none."""

    def __str__(self) -> str:
        if not self.tensor:
            return f"layer `{self.layer}`, for which the graph has no tensor"
        off = f"{self.error:.1e} off" if np.isfinite(self.error) else "infinity or not-a-number"
        return f"layer `{self.layer}`, the graph's `{self.tensor}` ({off})"


def worst_images(report: ParityReport, input_sets: list[InputSet]) -> Images:
    """Pick the image that went furthest past a limit, and its neighbours."""
    by_name = {inputs.name: inputs.images for inputs in input_sets}
    failed = [result for result in report.results if not result.passed and result.input_set in by_name]
    result = next(
        (found for gate in ("meaning", "probabilities", "rounding", "decision") if (found := worst(failed, gate))), None
    )
    if result is None:
        return input_sets[0].images
    images = by_name[result.input_set]
    return np.roll(images, -(result.worst_row % len(images)), axis=0)


def localize(
    report: ParityReport, contest: Contest, graph: onnx.ModelProto, images: Images, progress: Progress
) -> Culprit | None:
    """Find the first layer that differs; None where the graph does not, or Keras cannot show its layers."""
    model = contest.source.keras_model
    if all(result.passed for result in report.results if result.gate == "meaning"):
        return None
    if model is None or not contest.twin.shows_layers:
        return None
    progress("looking for the first layer that differs")
    return find_culprit(model, graph, images, contest.meaning_limit)


def name_culprit(report: ParityReport, culprit: Culprit | None) -> ParityReport:
    """Add the first layer that differs to a report."""
    if culprit is None:
        return report
    summary = summarize(list(report.results), report.differences, str(culprit))
    return msgspec.structs.replace(report, first_difference=str(culprit), summary=summary)


class Match(NamedTuple):
    """The tensor nearest to a layer's value."""

    tensor: str
    error: float


def find_culprit(model: keras.Model, graph: onnx.ModelProto, images: Images, limit: float) -> Culprit | None:
    """Name the first layer that differs; None where all are found, or where Keras cannot show its layers."""
    values = layer_values(model, images[:IMAGES])
    tensors = tensor_values(graph, images[:IMAGES])
    matches = {layer: nearest_tensor(value, tensors) for layer, value in values.items()}
    tolerance = SLACK * limit
    consumers = layer_consumers(model)
    for layer, match in matches.items():
        if not is_found(layer, matches, consumers, tolerance):
            return Culprit(layer, match.tensor, match.error)
    return None


def layer_values(model: keras.Model, images: Images) -> dict[str, Array]:
    """Compute every layer's output in float64, by layer name, in order; empty for a subclassed model."""
    tf = import_tensorflow()
    import keras

    if not getattr(model, "inputs", None):
        return {}
    with silent_stderr():
        twin = rebuild(model, "float64")
        layers = [layer for layer in twin.layers if isinstance(getattr(layer, "output", None), keras.KerasTensor)]
        show = keras.Model(twin.inputs, [layer.output for layer in layers])
        values = show(tf.constant(images, tf.float64), training=False)
    return {layer.name: np.asarray(value, np.float64) for layer, value in zip(layers, values, strict=True)}


def tensor_values(graph: onnx.ModelProto, images: Images) -> dict[str, Array]:
    """Compute every tensor of a graph in float64."""
    import onnx

    tapped = in_double(graph)
    names = [name for node in tapped.graph.node for name in node.output if name]
    del tapped.graph.output[:]
    tapped.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    with evaluating():
        answers = make_evaluator(tapped).run(None, {tapped.graph.input[0].name: images.astype(np.float64)})
    values = {graph.graph.input[0].name: images.astype(np.float64)} | dict(
        zip(names, map(np.asarray, answers), strict=True)
    )
    return {name: value for name, value in values.items() if value.dtype == np.float64}


def nearest_tensor(value: Array, tensors: dict[str, Array]) -> Match:
    """Find the tensor that comes nearest to a layer's value, in any layout of its axes."""
    candidates = (
        Match(name, layout_error(value, tensor)) for name, tensor in tensors.items() if tensor.size == value.size
    )
    return min(candidates, key=lambda match: match.error, default=Match("", np.inf))


def layout_error(value: Array, tensor: Array) -> float:
    """Measure the largest relative difference, in the layout that suits best: as it is, or channels first.

    Infinite where one of the two is no number.
    """
    layouts = [tensor]
    if tensor.ndim == value.ndim and value.ndim > 2:
        layouts.append(np.moveaxis(tensor, 1, -1))
    scale = max(float(np.abs(value).max()), SMALLEST_SCALE)
    with np.errstate(invalid="ignore"):
        errors = [float(np.abs(layout.reshape(value.shape) - value).max()) / scale for layout in layouts]
    return min(error if np.isfinite(error) else np.inf for error in errors)


def layer_consumers(model: keras.Model) -> dict[str, list[str]]:
    """Map each layer to those that read its output."""
    consumers: dict[str, list[str]] = {layer.name: [] for layer in model.layers}
    for layer in model.layers:
        for node in layer._inbound_nodes:
            for parent in node.parent_nodes:
                consumers.setdefault(parent.operation.name, []).append(layer.name)
    return consumers


def is_found(layer: str, matches: dict[str, Match], consumers: dict[str, list[str]], tolerance: float) -> bool:
    """Say whether the value of a layer, or of any after it, is in the graph."""
    waiting, seen = [layer], set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in matches and matches[name].error <= tolerance:
            return True
        waiting.extend(consumers.get(name, []))
    return False
