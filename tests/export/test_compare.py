"""The comparison as a whole: what it reports, what it skips, and why its limits are what they are."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from export.answers import probe_images
from export.card import describe_parity
from export.census import Weight, is_exact, take_census
from export.compare import compare, describe_environment, prepare_contest
from export.errors import CannotExport, UsageError
from export.inputs import InputSet, edge_inputs, noise_inputs, read_data, read_labelled
from export.near_ties import bisect, search_near_ties
from export.parity import APPROXIMATED_LIMIT_EPS, FOLDED_MEANING_LIMIT, MEANING_LIMIT, ROUNDING_LIMIT_EPS, margins
from export.report import describe_report, to_markdown
from export.runtimes import Answers, TensorFlowRuntime, answer_in_batches, load_tensorflow

onnx = pytest.importorskip("onnx")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def test_the_strict_limits_hold_where_every_weight_arrived(digits: Any) -> None:
    assert digits.contest.meaning_limit == MEANING_LIMIT
    assert digits.contest.rounding_limit == ROUNDING_LIMIT_EPS
    assert digits.contest.twin.kind == "keras"
    assert digits.contest.notes == ()


def test_folded_constants_are_named_and_widen_the_limit(normalized: Any) -> None:
    assert normalized.contest.meaning_limit == FOLDED_MEANING_LIMIT
    assert any("Conv_0.weight_1" in note for note in normalized.contest.notes)


def export_named(zoo: ModuleType, name: str, folder: Path) -> Any:
    from export.conversion import convert_source
    from export.source import trace_keras_model

    source = trace_keras_model(name, zoo.build(getattr(zoo, name), 1), folder)
    converted = convert_source(source)
    return prepare_contest(source, *converted, converted.model)


def test_a_layer_wired_to_float32_falls_back_to_the_graph_s_twin(zoo: ModuleType, tmp_path: Path) -> None:
    contest = export_named(zoo, "resizing", tmp_path)
    assert contest.twin.kind == "graph"
    assert any("resize" in note for note in contest.notes)
    answers = contest.twin.runtime.answer(noise_inputs((40, 30, 3), 2).images)
    assert answers.logits.dtype == np.float64


def test_a_layer_that_tensorflow_resizes_by_area_has_a_twin(tmp_path: Path) -> None:
    import keras

    from export.source import trace_keras_model
    from export.twin import make_twin

    image = keras.layers.Input((12, 12, 1))
    small = keras.layers.Flatten()(keras.layers.Resizing(6, 6, interpolation="area")(image))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(small))
    source = trace_keras_model("area", model, tmp_path)
    tensorflow = load_tensorflow(source.saved_model, source.signature)
    twin = make_twin(source, tensorflow, probe_images((12, 12, 1)))
    assert twin.single_operators
    assert twin.runtime.answer(noise_inputs((12, 12, 1), 2).images).logits.dtype == np.float64


def test_images_of_any_size_suit_a_model_that_takes_any(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((2, 48, 40, 3)), y=np.array([0, 1]))
    assert read_data(tmp_path / "data.npz", (0, 0, 3), None).images.shape == (2, 48, 40, 3)
    assert read_labelled(tmp_path / "data.npz", (0, 0, 3), 2).images.shape == (2, 48, 40, 3)
    with pytest.raises(UsageError, match=r"\(\?, 32, 3\)"):
        read_data(tmp_path / "data.npz", (0, 32, 3), None)


def test_approximated_operators_are_named(zoo: ModuleType, tmp_path: Path) -> None:
    contest = export_named(zoo, "squeeze_and_excite", tmp_path)
    assert contest.rounding_limit == APPROXIMATED_LIMIT_EPS
    assert any("Sigmoid" in note for note in contest.notes)


def test_mixed_precision_is_exported_in_float32(zoo: ModuleType, tmp_path: Path) -> None:
    contest = export_named(zoo, "mixed_precision", tmp_path)
    model = onnx.load_from_string(contest.data)
    assert not [tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16]


class Overflowing:
    """Answers with infinity where an image is too bright."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime

    def answer(self, images: np.ndarray) -> Answers:
        logits, probabilities = self.runtime.answer(images)
        too_bright = images.reshape(len(images), -1).max(axis=1) > 10
        return Answers(np.where(too_bright[:, np.newaxis], np.inf, logits), probabilities)


def test_rows_that_the_model_itself_cannot_answer_are_skipped_and_counted(digits: Any) -> None:
    images = noise_inputs((28, 28, 1), 3).images.copy()
    images[1] = 100
    contest = digits.contest._replace(tensorflow=Overflowing(digits.contest.tensorflow))
    report = compare(contest, [InputSet("bright", images)], (1, 2))
    assert (report.inputs[0].images, report.inputs[0].skipped) == (3, 1)
    assert report.verdict == "agree"
    assert report.results
    assert "bright (2 of 3)" in describe_report(report)
    assert "bright (2 of 3)" in to_markdown(report)
    assert "bright (2 of 3)" in describe_parity(report)


def test_where_the_model_itself_answers_no_row_nothing_agrees(digits: Any) -> None:
    """As one that masks a label with -inf, or data that are not-a-number throughout."""
    contest = digits.contest._replace(tensorflow=Overflowing(digits.contest.tensorflow))
    sets = [noise_inputs((28, 28, 1), 2), InputSet("bright", np.full((3, 28, 28, 1), 100, np.float32))]
    with pytest.raises(CannotExport, match="every image of `bright`"):
        compare(contest, sets, (1, 2))


class Doubting:
    """Rounds as its runtime does, and leaves hardly any logits on images that are not bright."""

    def __init__(self, runtime: Any) -> None:
        self.runtime = runtime

    def answer(self, images: np.ndarray) -> Answers:
        logits, probabilities = self.runtime.answer(images)
        is_bright = images.reshape(len(images), -1).max(axis=1) > 1
        middle = np.where(is_bright, 0, logits.dtype.type(1e4))[:, np.newaxis]
        return Answers((logits + middle) - middle, probabilities)


@pytest.mark.parametrize("typical", [True, False])
def test_rounding_next_to_nothing_is_measured_against_the_logits_of_typical_images(digits: Any, typical: bool) -> None:
    """A model that is taught to doubt has sums that all but cancel where it sees no digit; their rounding stays."""
    contest = digits.contest._replace(onnx=Doubting(digits.contest.onnx), logit_floor=0.0)
    noise = noise_inputs((28, 28, 1), 4).images
    sets = [InputSet("bright", 1e5 * noise, is_typical=typical), InputSet("noise", noise)]
    report = compare(contest, sets, (1,))
    rounding = [result for result in report.results if result.gate == "rounding" and result.input_set == "noise"]
    assert all(result.passed for result in rounding) == typical


def test_a_runtime_that_hides_what_is_no_number_is_named(digits: Any) -> None:
    class Confident:
        def answer(self, images: np.ndarray) -> Answers:
            return Answers(np.tile([1.0, 0.0], (len(images), 1)), np.tile([0.7, 0.3], (len(images), 1)))

    from export.compare import describe_non_finite

    image = np.zeros((28, 28, 1), np.float32)
    note = describe_non_finite(digits.contest._replace(tensorflow=Confident()), image)
    assert note.startswith("TensorFlow gives finite probabilities")


def test_batches_put_together_are_the_whole(digits: Any) -> None:
    images = noise_inputs((28, 28, 1), 5).images
    whole = digits.contest.onnx.answer(images)
    for size in (1, 2, 5, 9):
        parts = answer_in_batches(digits.contest.onnx, images, size)
        assert np.allclose(parts.logits, whole.logits, rtol=0, atol=1e-5)
        assert parts.probabilities.shape == whole.probabilities.shape


def test_the_search_finds_smaller_margins(digits: Any) -> None:
    start = noise_inputs((28, 28, 1), 4).images
    found = search_near_ties(digits.contest.twin.runtime, start)
    before, after = (margins(digits.contest.twin.runtime.answer(images).logits) for images in (start, found.images))
    assert np.median(after) < np.median(before) / 10
    assert found.images.min() >= start.min()
    assert found.images.max() <= start.max()


def test_a_gradient_that_is_no_number_does_not_spoil_the_search(zoo: ModuleType) -> None:
    """The root of a score has none at zero."""
    tf = pytest.importorskip("tensorflow")

    @tf.function(input_signature=[tf.TensorSpec((None, 2, 2, 1), tf.float32)])
    def classify(image: Any) -> tuple[Any, Any]:
        scores = tf.sqrt(tf.nn.relu(tf.reshape(image, (-1, 4))[:, :2]))
        return scores, tf.nn.softmax(scores)

    start = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32).reshape(2, 2, 2, 1)
    found = search_near_ties(TensorFlowRuntime(classify.get_concrete_function()), start)
    assert np.isfinite(found.images).all()


def test_the_search_does_without_gradients(digits: Any) -> None:
    start = edge_inputs((28, 28, 1)).images
    runtime = digits.contest.twin.runtime
    found = bisect(runtime, start)
    before, after = (margins(runtime.answer(images).logits) for images in (start, found))
    assert after.min() < before.min() / 100
    assert np.array_equal(runtime.answer(found).logits.argmax(axis=1), runtime.answer(start).logits.argmax(axis=1))


def test_edge_images_have_the_model_s_shape_whatever_it_is() -> None:
    for shape in ((28, 28, 1), (5, 9, 3), (1, 1, 4)):
        inputs = edge_inputs(shape)
        assert inputs.images.shape == (len(inputs.labels), *shape)
        assert inputs.images.dtype == np.float32


def test_probes_have_the_model_s_shape_and_are_not_all_alike() -> None:
    for shape in ((28, 28, 1), (5, 9, 3), (1, 1, 4)):
        images = probe_images(shape)
        assert images.shape[1:] == shape
        assert len(np.unique(images.reshape(len(images), -1), axis=0)) > 3
    assert probe_images((None, 0, 3)).shape[1:] == (256, 256, 3)


@pytest.mark.parametrize("damage", ["empty", "one array", "cut", "flipped", "text", "dates", "complex"])
def test_what_holds_no_images_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "data.npz"
    kinds = {"text": "U3", "dates": "timedelta64[s]", "complex": "complex64"}
    np.savez_compressed(path, images=np.zeros((2, 5, 5, 1), kinds.get(damage, "float32")))
    whole = path.read_bytes()
    if damage == "one array":
        with path.open("wb") as file:
            np.save(file, np.zeros((2, 5, 5, 1)))
    elif damage not in kinds:
        flipped = whole[:60] + bytes([whole[60] ^ 255]) + whole[61:]
        path.write_bytes({"empty": b"", "cut": whole[:-30], "flipped": flipped}[damage])
    with pytest.raises(UsageError, match=r"data\.npz: (not a folder|holds no array)"):
        read_data(path, (5, 5, 1), None)


def test_a_census_sees_a_weight_in_any_layout(digits: Any) -> None:
    weights = [Weight(weight.path, weight.numpy()) for weight in digits.model.weights]
    assert take_census(digits.converted.model, weights) == ((), ())


def test_a_census_names_the_weight_that_did_not_arrive(digits: Any) -> None:
    weights = [Weight(weight.path, weight.numpy()) for weight in digits.model.weights]
    changed = weights[2].values.copy()
    changed.flat[0] = np.nextafter(changed.flat[0], np.float32(9))
    census = take_census(digits.converted.model, [*weights[:2], Weight("changed", changed), *weights[3:]])
    assert census.missing == ("changed",)
    assert len(census.rounded) == 1


@pytest.mark.parametrize(("value", "exact"), [(0.0, True), (0.5, True), (6.0, True), (255.0, True), (0.001, False)])
def test_a_constant_is_exact_if_it_has_few_digits(value: float, exact: bool) -> None:
    assert is_exact(np.array([value], np.float32)) is exact


def test_the_environment_names_what_rounding_depends_on() -> None:
    assert {"onnxruntime", "tensorflow", "machine", "processor"} <= set(describe_environment())
