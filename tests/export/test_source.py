"""What a user may name is opened; what cannot be exported is refused in one clear line with the right exit code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from export.answers import probe_images
from export.card import write_card
from export.conversion import convert_source
from export.errors import ArtifactError, CannotExport, LiveDigitError, UsageError
from export.parity import ParityReport
from export.runtimes import load_tensorflow
from export.source import Source, digest_arrays, open_source, read_evaluation, weights_sha256
from export.twin import make_twin
from service.contract import Manifest, TrainingRun

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="session")
def tf(zoo: ModuleType) -> Any:
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="session")
def keras(zoo: ModuleType) -> Any:
    return pytest.importorskip("keras")


def save_module(tf: Any, folder: Path, functions: dict[str, Callable[[Any], Any]], **options: Any) -> Path:
    """Save a plain TensorFlow module with one signature per function."""
    module = tf.Module()
    specification = tf.TensorSpec((None, 6, 6, 1), options.pop("dtype", tf.float32), name=options.pop("input", "image"))
    signatures = {name: tf.function(body, input_signature=[specification]) for name, body in functions.items()}
    for name, signature in signatures.items():
        setattr(module, name, signature)
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return folder


def flat(tf: Any) -> Callable[[Any], dict[str, Any]]:
    """A linear classifier of 36 pixels into three classes."""
    kernel = np.random.default_rng(0).normal(size=(36, 3)).astype(np.float32)
    return lambda image: {"answer": tf.nn.softmax(tf.reshape(image, (-1, 36)) @ kernel)}


def test_a_bare_saved_model_is_exported(tf: Any, tmp_path: Path) -> None:
    source = open_source(str(save_module(tf, tmp_path / "model", {"serve": flat(tf)})), tmp_path)
    assert source.keras_model is None
    graph = convert_source(source).model.graph
    assert [value.name for value in graph.output] == ["logits", "probabilities"]


def test_the_only_signature_is_taken_whatever_its_name(tf: Any, tmp_path: Path) -> None:
    assert open_source(str(save_module(tf, tmp_path / "m", {"classify": flat(tf)})), tmp_path).signature == "classify"


def test_of_several_signatures_serve_is_preferred(tf: Any, tmp_path: Path) -> None:
    folder = save_module(tf, tmp_path / "m", {"other": flat(tf), "serving_default": flat(tf), "serve": flat(tf)})
    assert open_source(str(folder), tmp_path).signature == "serve"
    assert open_source(str(folder), tmp_path, "other").signature == "other"


def test_a_function_of_a_module_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo: ModuleType) -> None:
    (tmp_path / "my_models.py").write_text(
        "import keras\n"
        "def tiny():\n"
        "    layers = keras.layers\n"
        "    return keras.Sequential([layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2, 'softmax')])\n"
    )
    monkeypatch.chdir(tmp_path)
    assert open_source("my_models:tiny", tmp_path).keras_model is not None


def refused(source: Callable[[], Source], error: type[LiveDigitError], *words: str) -> None:
    with pytest.raises(error) as caught:
        convert_source(source())
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["not/there", "nothing.keras", "", "module:"])
def test_what_is_not_there_is_a_usage_error(text: str, tmp_path: Path) -> None:
    refused(lambda: open_source(str(tmp_path / text) if text else "nowhere", tmp_path), UsageError)


def test_an_empty_folder(tmp_path: Path) -> None:
    refused(lambda: open_source(str(tmp_path), tmp_path), UsageError, "saved_model.pb")


def test_a_saved_model_without_a_signature(tf: Any, tmp_path: Path) -> None:
    refused(lambda: open_source(str(save_module(tf, tmp_path / "m", {})), tmp_path), CannotExport, "signature")


def test_several_signatures_none_of_them_usual(tf: Any, tmp_path: Path) -> None:
    folder = save_module(tf, tmp_path / "m", {"one": flat(tf), "two": flat(tf)})
    refused(lambda: open_source(str(folder), tmp_path), UsageError, "one, two", "--signature")
    refused(lambda: open_source(str(folder), tmp_path, "three"), UsageError, "three", "one, two")


def test_a_damaged_saved_model(tf: Any, tmp_path: Path) -> None:
    folder = save_module(tf, tmp_path / "m", {"serve": flat(tf)})
    (folder / "saved_model.pb").write_bytes(b"\xff" * 100)
    refused(lambda: open_source(str(folder), tmp_path), ArtifactError, "damaged")


def test_a_saved_model_cut_short(tf: Any, tmp_path: Path) -> None:
    folder = save_module(tf, tmp_path / "m", {"serve": flat(tf)})
    whole = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    refused(lambda: open_source(str(folder), tmp_path), LiveDigitError)


@pytest.mark.parametrize("size", [None, 10])
def test_a_saved_model_whose_variables_are_gone_or_cut_short(digits: Any, tmp_path: Path, size: int | None) -> None:
    folder = shutil.copytree(digits.source.saved_model, tmp_path / "m")
    if size is None:
        shutil.rmtree(folder / "variables")
    else:
        (values,) = (folder / "variables").glob("*.data-*")
        values.write_bytes(values.read_bytes()[:size])
    refused(lambda: open_source(str(folder), tmp_path), ArtifactError, str(folder), "damaged")


def test_a_keras_file_cut_short(digits: Any, tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(digits.keras_file.read_bytes()[:5000])
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), ArtifactError, "damaged")


def test_a_whole_model_in_hdf5(digits: Any, tmp_path: Path) -> None:
    digits.model.save(tmp_path / "m.h5")
    source = open_source(str(tmp_path / "m.h5"), tmp_path)
    assert weights_sha256(source) == weights_sha256(digits.source)


def test_hdf5_that_holds_weights_alone_or_code_or_is_cut_short(digits: Any, keras: Any, tmp_path: Path) -> None:
    digits.model.save_weights(tmp_path / "m.weights.h5")
    refused(lambda: open_source(str(tmp_path / "m.weights.h5"), tmp_path), CannotExport, "module:function")
    layers = keras.layers
    network = [layers.Input((4, 4, 1)), layers.Lambda(lambda x: x + x), layers.Flatten(), layers.Dense(2)]
    keras.Sequential(network).save(tmp_path / "code.h5")
    refused(lambda: open_source(str(tmp_path / "code.h5"), tmp_path), CannotExport, "module:function")
    (tmp_path / "cut.h5").write_bytes((tmp_path / "m.weights.h5").read_bytes()[:5000])
    refused(lambda: open_source(str(tmp_path / "cut.h5"), tmp_path), ArtifactError, "damaged")


def test_a_keras_file_with_a_bit_flipped(digits: Any, tmp_path: Path) -> None:
    data = bytearray(digits.keras_file.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "m.keras").write_bytes(data)
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), ArtifactError, "damaged")


@pytest.mark.parametrize("kind", ["uint8", "float64"])
def test_an_input_of_another_type(tf: Any, tmp_path: Path, kind: str) -> None:
    linear = flat(tf)
    folder = save_module(tf, tmp_path / "m", {"serve": lambda image: linear(tf.cast(image, tf.float32))}, dtype=kind)
    refused(lambda: open_source(str(folder), tmp_path), CannotExport, kind, "float32")


def test_a_signature_for_one_batch_size(tf: Any, tmp_path: Path) -> None:
    module = tf.Module()
    module.answer = tf.function(flat(tf), input_signature=[tf.TensorSpec((3, 6, 6, 1), tf.float32, name="image")])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures={"serve": module.answer})
    refused(lambda: open_source(str(tmp_path / "m"), tmp_path), CannotExport, "batches of 3 only", "open batch")


@pytest.mark.parametrize("kind", ["uint8", "int32"])
def test_a_keras_model_of_whole_numbers(keras: Any, tmp_path: Path, kind: str) -> None:
    """Keras casts what it is given, so noise in [0, 1) would become zeros."""
    layers = keras.layers
    network = [layers.Input((4, 4, 1), dtype=kind), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2)]
    keras.Sequential(network).save(tmp_path / "m.keras")
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), CannotExport, kind, "float32")


def test_two_inputs(keras: Any, tmp_path: Path) -> None:
    inputs = [keras.layers.Input((4, 4, 1), name=name) for name in ("left", "right")]
    head = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(keras.layers.Add()(inputs)))
    keras.Model(inputs, head).save(tmp_path / "m.keras")
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), CannotExport, "2 inputs")


def test_two_outputs(keras: Any, tmp_path: Path) -> None:
    image = keras.layers.Input((4, 4, 1))
    flat = keras.layers.Flatten()(image)
    keras.Model(image, [keras.layers.Dense(2)(flat), keras.layers.Dense(3)(flat)]).save(tmp_path / "m.keras")
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), CannotExport, "output")


@pytest.mark.parametrize("outputs", [1, 2])
def test_outputs_in_a_dictionary(keras: Any, tmp_path: Path, outputs: int) -> None:
    image = keras.layers.Input((4, 4, 1))
    flat = keras.layers.Flatten()(image)
    model = keras.Model(image, {f"head_{number}": keras.layers.Dense(2)(flat) for number in range(outputs)})
    model.save(tmp_path / "m.keras")
    if outputs > 1:
        return refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), CannotExport, "2 outputs")
    source = open_source(str(tmp_path / "m.keras"), tmp_path)
    assert make_twin(source, load_tensorflow(source.saved_model, source.signature), probe_images((4, 4, 1))).note == ""
    return None


def test_the_cause_of_keras_s_errors_is_told(keras: Any, tmp_path: Path) -> None:
    """Keras writes it after the layer that met it, or after the whole configuration."""
    layers = keras.layers

    class Foreign(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

    keras.Sequential([layers.Input((4, 4, 1)), Foreign(), layers.Flatten(), layers.Dense(2)]).save(tmp_path / "m.keras")
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), CannotExport, "locate class 'Foreign'")
    cropping = [layers.Input((4, 4, 1)), layers.RandomCrop(2, 2), layers.Flatten(), layers.Dense(2)]
    keras.Sequential(cropping).save(tmp_path / "crop.keras")
    refused(lambda: open_source(str(tmp_path / "crop.keras"), tmp_path), CannotExport, "axis -1")


def test_five_channels(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    keras.Sequential([layers.Input((4, 4, 5)), layers.Flatten(), layers.Dense(2)]).save(tmp_path / "m.keras")
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), CannotExport, "channels")


def test_a_sigmoid_is_not_a_choice_between_labels(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    network = [layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3, "sigmoid")]
    keras.Sequential(network).save(tmp_path / "m.keras")
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), CannotExport, "Sigmoid", "softmax")


def test_several_sigmoids_side_by_side_are_no_choice_between_labels(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    image = layers.Input((4, 4, 1))
    flat = layers.Flatten()(image)
    heads = [layers.Dense(1, "sigmoid")(flat) for _ in range(3)]
    keras.Model(image, layers.Concatenate()(heads)).save(tmp_path / "m.keras")
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), CannotExport, "Concat", "no distribution")


def test_one_output_column(keras: Any, tmp_path: Path) -> None:
    layers = keras.layers
    keras.Sequential([layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(1)]).save(tmp_path / "m.keras")
    refused(lambda: open_source(str(tmp_path / "m.keras"), tmp_path), CannotExport, "one column")


def test_the_weights_of_a_bare_saved_model_tell_it_from_others(tf: Any, tmp_path: Path) -> None:
    """`tf.saved_model.save` names variables by where the module holds them, not under `variables/`."""

    def save(name: str, value: float) -> Source:
        module = tf.Module()
        module.kernel = tf.Variable(tf.fill((36, 3), value))
        specification = tf.TensorSpec((None, 6, 6, 1), tf.float32, name="image")
        module.answer = tf.function(
            lambda image: {"answer": tf.nn.softmax(tf.reshape(image, (-1, 36)) @ module.kernel)},
            input_signature=[specification],
        )
        tf.saved_model.save(module, str(tmp_path / name), signatures={"serve": module.answer})
        return open_source(str(tmp_path / name), tmp_path)

    assert weights_sha256(save("a", 1.0)) == digest_arrays([np.full((36, 3), 1.0)])
    assert weights_sha256(save("b", 2.0)) == digest_arrays([np.full((36, 3), 2.0)])


def test_an_operator_without_an_onnx_form_is_named(tf: Any, tmp_path: Path) -> None:
    """tf2onnx writes such a file and reports success."""
    functions = {"serve": lambda image: {"answer": tf.linalg.svd(image[..., 0])[0]}}
    folder = save_module(tf, tmp_path / "m", functions)
    refused(lambda: open_source(str(folder), tmp_path), CannotExport, "Svd")


def test_control_flow_is_named(tf: Any, tmp_path: Path) -> None:
    def loop(image: Any) -> dict[str, Any]:
        rows = tf.while_loop(lambda x: tf.reduce_sum(x) < 9.0, lambda x: (x + 1.0,), (tf.reshape(image, (-1, 36)),))
        return {"answer": tf.nn.softmax(rows[0])}

    folder = save_module(tf, tmp_path / "m", {"serve": loop})
    refused(lambda: open_source(str(folder), tmp_path), CannotExport, "Loop", "control flow")


def test_randomness_is_named(tf: Any, tmp_path: Path) -> None:
    def noisy(image: Any) -> dict[str, Any]:
        return {"answer": tf.nn.softmax(tf.reshape(image + tf.random.uniform(tf.shape(image)), (-1, 36)))}

    folder = save_module(tf, tmp_path / "m", {"serve": noisy})
    refused(lambda: open_source(str(folder), tmp_path), CannotExport, "Random")


def test_an_unbuilt_subclassed_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo: ModuleType) -> None:
    (tmp_path / "unbuilt_models.py").write_text(
        "import keras\n"
        "class Unbuilt(keras.Model):\n"
        "    def call(self, inputs):\n"
        "        return inputs\n"
        "def unbuilt():\n"
        "    return Unbuilt()\n"
        "def broken():\n"
        "    raise RuntimeError('no weights here')\n"
        "def nothing():\n"
        "    return None\n"
        "constant = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    refused(lambda: open_source("unbuilt_models:unbuilt", tmp_path), CannotExport, "model.build")
    refused(lambda: open_source("unbuilt_models:broken", tmp_path), CannotExport, "no weights here")
    refused(lambda: open_source("unbuilt_models:nothing", tmp_path), UsageError, "NoneType")
    refused(lambda: open_source("unbuilt_models:constant", tmp_path), UsageError, "int")
    refused(lambda: open_source("unbuilt_models:missing", tmp_path), UsageError, "missing")
    refused(lambda: open_source("no_such_module:missing", tmp_path), UsageError, "no_such_module")


def run_record(weights: str, **changes: Any) -> bytes:
    fields = {
        "schema_version": 1,
        "recipe": "test",
        "command": "livedigit train",
        "created": "2026-01-01T00:00:00Z",
        "seed": 0,
        "epochs": 1,
        "duration_s": 1.0,
        "parameters": 1,
        "weights_sha256": weights,
        "labels": [str(digit) for digit in range(10)],
        "preprocessing": {},
        "config": {},
        "datasets": [],
        "metrics": {},
        "tools": {},
    }
    return json.dumps(fields | changes).encode()


@pytest.fixture
def trained(digits: Any, tmp_path: Path) -> Path:
    """A SavedModel with `model.keras` and `run.json` beside it, as training writes it."""
    folder = tmp_path / "saved" / "digits" / "1"
    shutil.copytree(digits.source.saved_model, folder)
    shutil.copy(digits.keras_file, folder / "model.keras")
    (folder / "run.json").write_bytes(run_record(weights_sha256(digits.source)))
    return folder


def test_what_training_writes_is_opened_with_its_record(trained: Path, digits: Any, tmp_path: Path) -> None:
    source = open_source(str(trained), tmp_path)
    assert isinstance(source.run, TrainingRun)
    assert source.keras_model is not None
    assert convert_source(source).data == digits.converted.data


def test_weights_other_than_the_record_s(trained: Path, tmp_path: Path) -> None:
    (trained / "run.json").write_bytes(run_record("0" * 64))
    refused(lambda: open_source(str(trained), tmp_path), ArtifactError, "000000000000")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema_version": 1}', b'{"recipe": "\xff"}'])
def test_a_damaged_record(trained: Path, tmp_path: Path, content: bytes) -> None:
    (trained / "run.json").write_bytes(content)
    refused(lambda: open_source(str(trained), tmp_path), ArtifactError, "run.json")


def test_a_record_of_a_newer_schema(trained: Path, tmp_path: Path) -> None:
    (trained / "run.json").write_bytes(run_record("0" * 64, schema_version=99))
    refused(lambda: open_source(str(trained), tmp_path), ArtifactError, "99")


def test_weights_are_digested_in_order_as_little_endian_float32() -> None:
    one, two = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, np.float64)
    assert digest_arrays([one, two]) == digest_arrays([np.asfortranarray(one), two.astype(">f4")])
    assert digest_arrays([one, two]) != digest_arrays([two, one])


def test_an_evaluation_beside_a_model_becomes_part_of_its_card(published: Path, tmp_path: Path) -> None:
    manifest = msgspec.json.decode((published / "manifest.json").read_bytes(), type=Manifest)
    report = msgspec.json.decode((published / "parity.json").read_bytes(), type=ParityReport)
    assert read_evaluation(tmp_path / "evaluation.md") is None
    (tmp_path / "evaluation.md").write_text("## Evaluation\n\n99 of 100 → 99%\n", encoding="utf-8")
    card = write_card(manifest, report, read_evaluation(tmp_path / "evaluation.md"))
    assert card.index("## Training") < card.index("99 of 100 → 99%") < card.index("## Agreement")
    assert "\n\n\n" not in card
