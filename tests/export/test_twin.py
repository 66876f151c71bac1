"""What the float64 twin stands for is TensorFlow's own answer, not what Keras makes of a configuration."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from export.answers import probe_images
from export.compare import Contest, compare, prepare_contest
from export.conversion import convert_source
from export.errors import ArtifactError, CannotExport
from export.exporting import ExportOrder, export_model
from export.inputs import noise_inputs
from export.runtimes import Answers, TensorFlowRuntime
from export.source import open_source, trace_keras_model
from export.twin import make_twin
from export.verifying import VerifyOrder, verify_model

pytest.importorskip("onnx")
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SHAPE = (6, 6, 1)


@pytest.fixture(scope="module")
def build(zoo: ModuleType) -> Callable[[float], Any]:
    """Make a linear classifier, always the same, but for a temperature that no configuration holds."""
    layers, keras = zoo.layers, zoo.keras

    @keras.saving.register_keras_serializable("test_twin")
    class Temperature(layers.Layer):
        value = 1.0

        def call(self, inputs: Any) -> Any:
            return inputs / self.value

    def build(temperature: float) -> Any:
        keras.utils.set_random_seed(0)
        layer = Temperature()
        layer.value = temperature
        image = layers.Input(SHAPE)
        scores = layers.Dense(3)(layers.Flatten()(layers.Lambda(lambda x: 2 * x - 1)(image)))
        return keras.Model(image, layers.Softmax()(layer(scores)))

    return build


def convert(model: Any, folder: Path) -> tuple[Contest, Path]:
    """The contest of a live model with its own conversion, and the file."""
    source = trace_keras_model("live", model, folder)
    converted = convert_source(source)
    (folder / "model.onnx").write_bytes(converted.data)
    return prepare_contest(source, *converted, converted.model), folder / "model.onnx"


def test_a_model_with_state_outside_its_configuration_agrees_with_its_own_export(build: Any, tmp_path: Path) -> None:
    contest, _ = convert(build(2.5), tmp_path)
    assert contest.twin.kind == "graph"
    assert any("more state" in note for note in contest.notes)
    assert compare(contest, [noise_inputs(SHAPE)], (1,)).verdict == "agree"


def test_the_fixture_takes_a_live_model_as_it_is(parity: Callable[..., Any], build: Any, tmp_path: Path) -> None:
    _, warm = convert(build(2.5), tmp_path)
    assert parity(build(2.5), warm, batches=(1,)).verdict == "agree"
    with pytest.raises(pytest.fail.Exception, match="Yes, a bug"):
        parity(build(1.0), warm, batches=(1,))


def test_no_layer_is_named_where_keras_cannot_rebuild_them_all(build: Any, tmp_path: Path) -> None:
    _, warm = convert(build(2.5), tmp_path)
    report = verify_model(VerifyOrder(model=build(4.0), onnx=warm, batches=(1,))).report
    assert (report.verdict, report.first_difference) == ("disagree", "")


def test_a_saved_model_beside_other_weights_is_refused(digits: Any, zoo: ModuleType, tmp_path: Path) -> None:
    shutil.copytree(digits.source.saved_model, tmp_path / "m")
    zoo.build(zoo.digits, seed=4).save(tmp_path / "m" / "model.keras")
    source = open_source(str(tmp_path / "m"), tmp_path)
    with pytest.raises(ArtifactError, match=r"model\.keras"):
        prepare_contest(source, *digits.converted, digits.converted.model)


def test_a_graph_that_tensorflow_itself_contradicts_is_refused(digits: Any) -> None:
    class Rough(TensorFlowRuntime):
        def answer(self, images: np.ndarray) -> Answers:
            logits, probabilities = super().answer(images)
            return Answers(logits * 1.1, probabilities)

    rough = Rough(digits.contest.tensorflow.function)
    with pytest.raises(CannotExport, match="largest logit"):
        make_twin(digits.source, rough, probe_images((28, 28, 1)))


@pytest.mark.parametrize("kind", ["softmax", "mean"])
def test_a_model_that_mixes_the_rows_of_a_batch_is_refused(zoo: ModuleType, tmp_path: Path, kind: str) -> None:
    """Compared in batches of different sizes it would differ, and no converter be at fault."""
    layers, keras = zoo.layers, zoo.keras
    image = layers.Input(SHAPE)
    flat = layers.Flatten()(image)
    if kind == "softmax":
        answer = layers.Softmax(axis=0)(layers.Dense(3)(flat))
    else:
        answer = layers.Dense(3, "softmax")(flat - keras.ops.mean(flat, axis=0, keepdims=True))
    model = keras.Model(image, answer)
    model.save(tmp_path / "mixing.keras")
    with pytest.raises(CannotExport, match="others of the batch"):
        export_model(ExportOrder(model=str(tmp_path / "mixing.keras"), name="mixing", out=tmp_path / "models"))
    source = trace_keras_model("mixing", model, tmp_path)
    (tmp_path / "model.onnx").write_bytes(convert_source(source).data)
    with pytest.raises(CannotExport, match="others of the batch"):
        verify_model(VerifyOrder(model=model, onnx=tmp_path / "model.onnx"))
