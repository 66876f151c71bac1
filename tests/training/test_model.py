from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

TABLE = [
    ("InputLayer", (None, 28, 28, 1)),
    ("Conv2D", (None, 28, 28, 32)),
    ("MaxPooling2D", (None, 14, 14, 32)),
    ("Dropout", (None, 14, 14, 32)),
    ("Conv2D", (None, 14, 14, 64)),
    ("MaxPooling2D", (None, 7, 7, 64)),
    ("Dropout", (None, 7, 7, 64)),
    ("Conv2D", (None, 7, 7, 128)),
    ("MaxPooling2D", (None, 3, 3, 128)),
    ("Dropout", (None, 3, 3, 128)),
    ("Flatten", (None, 1152)),
    ("Dense", (None, 64)),
    ("Dropout", (None, 64)),
    ("Dense", (None, 10)),
    ("Softmax", (None, 10)),
]


def test_the_network_is_the_published_table() -> None:
    from training.model import build_model

    model = build_model()
    found = [(type(layer).__name__, layer.output.shape) for layer in model.layers]
    assert found == TABLE
    assert model.count_params() == 167_114
    convolutions = [layer for layer in model.layers if type(layer).__name__ == "Conv2D"]
    assert all(layer.kernel_size == (3, 3) and layer.activation.__name__ == "relu" for layer in convolutions)
    assert [layer.rate for layer in model.layers if type(layer).__name__ == "Dropout"] == [0.2, 0.3, 0.3, 0.2]


def test_folding_leaves_the_function_unchanged() -> None:
    from training.model import build_model, build_normalised, fold_normalised

    generator = np.random.default_rng(0)
    normalised, model = build_normalised(0.5), build_model()
    for layer in normalised.layers:
        if layer.name.endswith("_norm"):
            shape = layer.get_weights()[0].shape
            layer.set_weights(
                [generator.normal(0, 1, shape), generator.normal(0, 1, shape), generator.uniform(0.1, 4, shape)]
            )
    fold_normalised(normalised, model)
    images = generator.random((16, 28, 28, 1), np.float32)
    before, after = normalised.predict(images, verbose=0), model.predict(images, verbose=0)["logits"]
    np.testing.assert_allclose(after, before, atol=1e-4 * np.abs(before).max())


def test_a_temperature_divides_the_logits_alone() -> None:
    from training.model import build_model, divide_logits

    model = build_model()
    images = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    before = model.predict(images, verbose=0)["logits"]
    divide_logits(model, 2.0)
    np.testing.assert_allclose(model.predict(images, verbose=0)["logits"], before / 2, atol=1e-6)


def test_the_weights_digest_reads_rows_first_and_little_endian() -> None:
    import hashlib

    from training.model import hash_weights

    array = np.arange(6, dtype=">f4").reshape(2, 3)
    expected = hashlib.sha256(np.arange(6, dtype="<f4").tobytes()).hexdigest()
    assert hash_weights([array]) == expected
    assert hash_weights([np.asfortranarray(array)]) == expected
