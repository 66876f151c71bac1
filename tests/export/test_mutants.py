"""Every way in which an exported model has been known to be wrong is told from rounding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.compare import choose_inputs, compare, prepare_contest
from export.errors import CannotExport
from export.inputs import InputSet, noise_inputs
from export.interface import prepare_file
from export.localize import find_culprit
from export.parity import ParityReport
from export.pipeline_check import judge_pipeline, read_artifact
from export.runtimes import ReferenceRuntime
from export.source import read_run

onnx = pytest.importorskip("onnx")
pytestmark = [
    pytest.mark.tensorflow,
    # Keras 3.15 against NumPy 2.4, within Keras.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

Mutation = Callable[[Any], None]
BATCHES = (1, 7)


def mutate(model: Any, mutation: Mutation) -> Any:
    mutant = onnx.ModelProto()
    mutant.CopyFrom(model)
    mutation(mutant.graph)
    return mutant


def judge(exported: Any, mutation: Mutation) -> ParityReport:
    """Compare a mutant with the model that it was; noise is enough."""
    mutant = mutate(exported.converted.model, mutation)
    contest = prepare_contest(exported.source, mutant, mutant.SerializeToString(), exported.converted.model)
    shape = tuple(side.dim_value for side in mutant.graph.input[0].type.tensor_type.shape.dim[1:])
    return compare(contest, [noise_inputs(shape, 8)], BATCHES)


def failed_gates(report: ParityReport) -> set[str]:
    return {result.gate for result in report.results if not result.passed}


def find_nodes(graph: Any, kind: str) -> list[Any]:
    return [node for node in graph.node if node.op_type == kind]


def edit_weight(graph: Any, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    changed = np.ascontiguousarray(change(onnx.numpy_helper.to_array(tensor).copy()))
    tensor.CopyFrom(onnx.numpy_helper.from_array(changed, name))


def edit_conv(graph: Any, position: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
    edit_weight(graph, find_nodes(graph, "Conv")[position].input[1], change)


def insert_after_input(graph: Any, node: Any) -> None:
    for other in graph.node:
        for position, name in enumerate(other.input):
            if name == "image":
                other.input[position] = node.output[0]
    graph.node.insert(0, node)


def one_weight_by_one_ulp(graph: Any) -> None:
    def nudge(kernel: np.ndarray) -> np.ndarray:
        kernel[3, 2, 1, 1] = np.nextafter(kernel[3, 2, 1, 1], np.float32(np.inf))
        return kernel

    edit_conv(graph, 1, nudge)


def one_filter_by_a_thousandth(graph: Any) -> None:
    def scale(kernel: np.ndarray) -> np.ndarray:
        kernel[5] *= np.float32(1.001)
        return kernel

    edit_conv(graph, 1, scale)


def two_labels_swapped(graph: Any) -> None:
    order = [1, 0, *range(2, 10)]
    add = next(node for node in graph.node if node.output[0] == "logits")
    product = next(node for node in graph.node if node.output[0] == add.input[0])
    edit_weight(graph, add.input[1], lambda bias: bias[order])
    edit_weight(graph, product.input[1], lambda kernel: kernel[:, order])


def a_bias_missing(graph: Any) -> None:
    del find_nodes(graph, "Conv")[0].input[2]


def kernel_axes_transposed(graph: Any) -> None:
    edit_conv(graph, 1, lambda kernel: kernel.transpose(0, 1, 3, 2))


def dropout_left_on(graph: Any) -> None:
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.25, np.float32), "ratio"))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "training"))
    insert_after_input(graph, onnx.helper.make_node("Dropout", ["image", "ratio", "training"], ["dropped"], seed=1))


def softmax_twice(graph: Any) -> None:
    softmax = find_nodes(graph, "Softmax")[0]
    softmax.output[0] = "once"
    graph.node.append(onnx.helper.make_node("Softmax", ["once"], ["probabilities"], axis=-1))


def softmax_missing(graph: Any) -> None:
    softmax = find_nodes(graph, "Softmax")[0]
    softmax.op_type = "Identity"
    del softmax.attribute[:]


def input_times_255(graph: Any) -> None:
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(255, np.float32), "levels"))
    insert_after_input(graph, onnx.helper.make_node("Mul", ["image", "levels"], ["scaled"]))


@pytest.mark.parametrize(
    ("mutation", "gate"),
    [
        (one_weight_by_one_ulp, "meaning"),
        (one_filter_by_a_thousandth, "meaning"),
        (two_labels_swapped, "meaning"),
        (a_bias_missing, "meaning"),
        (kernel_axes_transposed, "meaning"),
        (dropout_left_on, "meaning"),
        (input_times_255, "meaning"),
        (softmax_twice, "probabilities"),
        (softmax_missing, "probabilities"),
    ],
)
def test_a_wrong_graph_is_told_from_rounding(digits: Any, mutation: Mutation, gate: str) -> None:
    report = judge(digits, mutation)
    assert gate in failed_gates(report)
    assert report.verdict == "disagree"
    assert report.summary.startswith("Yes, a bug")


def test_one_ulp_is_caught_by_float64_alone(digits: Any) -> None:
    """In float32 it drowns in rounding, which is why gate A exists."""
    assert failed_gates(judge(digits, one_weight_by_one_ulp)) == {"meaning"}


def test_the_model_itself_passes(digits: Any) -> None:
    assert judge(digits, lambda graph: None).verdict == "agree"


def test_same_padding_made_valid(normalized: Any) -> None:
    def unpad(graph: Any) -> None:
        for node in find_nodes(graph, "Conv"):
            for attribute in [each for each in node.attribute if each.name in ("pads", "auto_pad")]:
                node.attribute.remove(attribute)

    assert "meaning" in failed_gates(judge(normalized, unpad))


def test_another_epsilon_in_batch_normalization(normalized: Any, tmp_path: Path) -> None:
    from export.conversion import convert_source
    from export.source import open_source

    keras = pytest.importorskip("keras")
    other = keras.models.clone_model(normalized.model)
    for layer in other.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.epsilon = 2 * layer.epsilon
    other.set_weights(normalized.model.get_weights())
    other.save(tmp_path / "other.keras")
    mutant = convert_source(open_source(str(tmp_path / "other.keras"), tmp_path))
    contest = prepare_contest(normalized.source, *mutant, normalized.converted.model)
    assert "meaning" in failed_gates(compare(contest, [noise_inputs((32, 32, 3), 8)], BATCHES))


def test_a_kernel_that_only_pixels_up_to_255_reach(tmp_path: Path) -> None:
    """Within [0, 1) the biases keep every unit of such a model at zero."""
    import keras

    from export.conversion import convert_source
    from export.source import trace_keras_model

    keras.utils.set_random_seed(5)
    dead = keras.initializers.Constant(-0.05)
    layers = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, activation="relu", bias_initializer=dead),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3, activation="softmax", bias_initializer="random_normal"),
    ]
    source = trace_keras_model("scaled", keras.Sequential([keras.Input((12, 12, 3)), *layers]), tmp_path)
    converted = convert_source(source)

    def blur(graph: Any) -> None:
        name = next(tensor.name for tensor in graph.initializer if tuple(tensor.dims) == (4, 3, 3, 3))
        edit_weight(graph, name, lambda kernel: kernel * 0 + kernel.mean(axis=(1, 3), keepdims=True))

    mutant = mutate(converted.model, blur)
    contest = prepare_contest(source, mutant, mutant.SerializeToString(), converted.model)
    report = compare(contest, choose_inputs(contest, None), BATCHES)
    assert {result.input_set for result in report.results if not result.passed} >= {"levels", "near-ties of levels"}
    sound = prepare_contest(source, *converted, converted.model)
    assert compare(sound, choose_inputs(sound, None), BATCHES).verdict == "agree"


def test_the_input_renamed(digits: Any) -> None:
    def rename(graph: Any) -> None:
        graph.input[0].name = find_nodes(graph, "Reshape")[0].input[0] = "picture"

    mutant = mutate(digits.converted.model, rename)
    result = prepare_file(mutant, mutant.SerializeToString(), digits.converted.model, "image").result
    assert not result.passed
    assert "`picture`" in result.detail


def test_weights_listed_before_the_image_are_no_inputs(digits: Any) -> None:
    """Files of the oldest IR versions list every weight among the inputs."""

    def list_weights(graph: Any) -> None:
        make = onnx.helper.make_tensor_value_info
        weights = [make(tensor.name, tensor.data_type, tensor.dims) for tensor in graph.initializer]
        inputs = [*weights, *graph.input]
        del graph.input[:]
        graph.input.extend(inputs)

    mutant = mutate(digits.converted.model, list_weights)
    prepared = prepare_file(mutant, mutant.SerializeToString(), digits.converted.model, "image")
    assert prepared.result.passed
    assert [value.name for value in prepared.model.graph.input] == ["image"]


@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT16", "UINT8"])
def test_the_wrong_type(digits: Any, kind: str) -> None:
    def retype(graph: Any) -> None:
        graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.DataType.Value(kind)

    mutant = mutate(digits.converted.model, retype)
    prepared = prepare_file(mutant, mutant.SerializeToString(), digits.converted.model, "image")
    assert not prepared.runnable
    assert kind.lower() in prepared.result.detail


def test_other_classes_under_an_output_of_another_name(digits: Any) -> None:
    def repeat(graph: Any) -> None:
        graph.node.append(onnx.helper.make_node("Concat", ["logits"] * 2, ["output_0"], axis=1))
        del graph.output[:]
        graph.output.append(onnx.helper.make_tensor_value_info("output_0", onnx.TensorProto.FLOAT, ["batch", 20]))

    mutant = mutate(digits.converted.model, repeat)
    prepared = prepare_file(mutant, mutant.SerializeToString(), digits.converted.model, "image")
    assert not prepared.runnable
    assert "(?, 20)" in prepared.result.detail


def test_an_operator_that_the_reference_lacks(digits: Any) -> None:
    mutant = mutate(digits.converted.model, lambda graph: setattr(find_nodes(graph, "Relu")[0], "op_type", "Relu9"))
    with pytest.raises(CannotExport, match="Relu9"):
        ReferenceRuntime(mutant)


def resize_bilinear(crop: np.ndarray, fit_size: int) -> np.ndarray:
    from PIL import Image

    scale = fit_size / max(crop.shape)
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BILINEAR))


def center_by_box(digit: np.ndarray, frame_size: int) -> np.ndarray:
    frame = np.zeros((frame_size, frame_size), np.uint8)
    top, left = ((frame_size - side) // 2 for side in digit.shape)
    frame[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return frame


def clear_paper_at_30(grey: np.ndarray, ink_threshold: int) -> np.ndarray:
    return np.where(grey < 30, np.uint8(0), grey)


def keep_polarity(grey: np.ndarray, _: Any) -> np.ndarray:
    return grey


@pytest.mark.parametrize(
    ("step", "replacement"),
    [
        ("lighten_ink", keep_polarity),
        ("clear_paper", clear_paper_at_30),
        ("resize_to_fit", resize_bilinear),
        ("center_by_mass", center_by_box),
    ],
)
def test_a_changed_preprocessing_step(
    published: Path, digits: Any, monkeypatch: pytest.MonkeyPatch, step: str, replacement: Callable[..., Any]
) -> None:
    manifest = read_artifact(published / "model.onnx")
    monkeypatch.setattr(f"service.preprocessing.{step}", replacement)
    result = judge_pipeline(published, manifest, None, digits.contest.tensorflow)
    assert result is not None
    assert not result.passed


@pytest.fixture
def run(published: Path, repo_root: Path) -> Any:
    """A training run that fits the published model."""
    manifest = read_artifact(published / "model.onnx")
    committed = read_run(repo_root / "artifacts" / "saved_models" / "digits" / "1" / "run.json")
    return with_changes(committed, preprocessing=manifest.preprocessing)


def test_an_unchanged_pipeline_passes(published: Path, digits: Any, run: Any) -> None:
    manifest = read_artifact(published / "model.onnx")
    result = judge_pipeline(published, manifest, run, digits.contest.tensorflow)
    assert result is not None
    assert result.passed


def test_a_manifest_with_another_threshold(published: Path, digits: Any, run: Any) -> None:
    manifest = read_artifact(published / "model.onnx")
    trained_with = with_changes(run.preprocessing, ink_threshold=30)
    result = judge_pipeline(
        published, manifest, with_changes(run, preprocessing=trained_with), digits.contest.tensorflow
    )
    assert result is not None
    assert "ink_threshold=30" in result.detail


@pytest.mark.parametrize("takes_images", [True, False])
def test_a_manifest_with_other_labels(published: Path, digits: Any, run: Any, takes_images: bool) -> None:
    manifest = read_artifact(published / "model.onnx")
    if not takes_images:
        manifest, run = with_changes(manifest, preprocessing=None), with_changes(run, preprocessing=None)
    trained_with = with_changes(run, labels=run.labels[::-1])
    result = judge_pipeline(published, manifest, trained_with, digits.contest.tensorflow)
    assert result is not None
    assert not result.passed
    assert "labels" in result.detail


def with_changes(struct: Any, **changes: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(struct, **changes)


@pytest.mark.parametrize(("position", "layer"), [(0, 0), (1, 3), (2, 6)])
def test_the_first_layer_that_differs_is_named(digits: Any, position: int, layer: int) -> None:
    def scale(graph: Any) -> None:
        edit_conv(graph, position, lambda kernel: kernel * np.float32(1.001))

    mutant = mutate(digits.converted.model, scale)
    culprit = find_culprit(digits.model, mutant, noise_inputs((28, 28, 1), 2).images, digits.contest.meaning_limit)
    assert culprit is not None
    assert culprit.layer == digits.model.layers[layer].name


def test_no_layer_is_named_where_none_differs(digits: Any, normalized: Any) -> None:
    """Not even where batch normalization was folded into the layer before."""
    for exported, shape in ((digits, (28, 28, 1)), (normalized, (32, 32, 3))):
        images: InputSet = noise_inputs(shape, 2)
        limit = exported.contest.meaning_limit
        assert find_culprit(exported.model, exported.converted.model, images.images, limit) is None
