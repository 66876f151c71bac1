from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.errors import ModelUnreadable
from training.runners import load_runner


def write_model(folder: Path, name: str = "image", sides: tuple[int, ...] = (28, 28, 1), classes: int = 10) -> None:
    """A classifier that adds the pixels up, with weights for so many classes."""
    nodes = [
        helper.make_node("Flatten", [name], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *sides])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(np.ones((np.prod(sides), classes), np.float32), "weights")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), folder / "model.onnx"
    )


def test_a_model_of_ten_digits_is_asked(tmp_path: Path) -> None:
    write_model(tmp_path)
    answers = load_runner(tmp_path)(np.zeros((3, 28, 28, 1), np.float32))
    np.testing.assert_allclose(answers, np.full((3, 10), 0.1))


@pytest.mark.parametrize(
    "change",
    [{"name": "pixels"}, {"sides": (1, 28, 28)}, {"classes": 3}, {"classes": 26}],
    ids=["other input", "channels first", "3 classes", "26 classes"],
)
def test_a_model_that_does_not_tell_digits_apart_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    write_model(tmp_path, **change)
    with pytest.raises(ModelUnreadable, match="expected a model") as caught:
        load_runner(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_saved_model_of_other_classes_is_refused(tmp_path: Path) -> None:
    import keras

    from training.saved_model import write_saved_model

    image = keras.Input((28, 28, 1), name="image")
    probabilities = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(image))
    write_saved_model(keras.Model(image, {"probabilities": probabilities}), tmp_path)
    with pytest.raises(ModelUnreadable, match=r"\(1, 3\)"):
        load_runner(tmp_path)
