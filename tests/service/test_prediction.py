from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from service.artifacts import load_classifier
from service.classifier import MOST_AT_ONCE, UNCERTAIN_THRESHOLD, Classifier
from service.errors import ModelUnavailable
from service.prediction import BRIEF_BYTES, StageClock, is_brief, predict_image, predict_steps
from service.preprocessing import FORMATS, MAX_PIXELS
from service.questions import work_alone


@pytest.fixture
def model(published: Path) -> Classifier:
    return load_classifier(published)


def with_manifest(model: Classifier, **changes: object) -> Classifier:
    model.manifest = msgspec.structs.replace(model.manifest, **changes)
    return model


@pytest.mark.parametrize(("threshold", "uncertain"), [(0.0, False), (1.1, True)])
def test_an_answer_below_the_calibrated_confidence_is_uncertain(model, seven, encode, threshold, uncertain):
    run = model.manifest.training
    calibrated = msgspec.structs.replace(run, metrics={**run.metrics, UNCERTAIN_THRESHOLD: threshold})
    answer = predict_image(with_manifest(model, training=calibrated), encode(seven), MAX_PIXELS)
    assert (answer.digit, answer.uncertain) == (7, uncertain)


def test_without_a_calibration_nothing_is_uncertain(model, seven, encode):
    assert not predict_image(with_manifest(model, training=None), encode(seven), MAX_PIXELS).uncertain


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"preprocessing": None}, "takes tensors"), ({"labels": tuple("abcdefghij")}, "does not read digits")],
)
def test_a_model_of_another_kind_sends_the_user_to_v2(model, seven, encode, changes, words):
    with pytest.raises(ModelUnavailable, match=f"{words}.*use /v2"):
        predict_image(with_manifest(model, **changes), encode(seven), MAX_PIXELS)


@pytest.mark.parametrize("count", [1, MOST_AT_ONCE, MOST_AT_ONCE + 1, 3 * MOST_AT_ONCE])
def test_a_batch_of_any_size_is_answered_row_by_row_in_its_order(model, count):
    images = np.random.default_rng(count).random((count, 28, 28, 1), np.float32)
    together, alone = model.run(images), [model.run(image[np.newaxis]) for image in images]
    for batch, rows in zip(together, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(batch, np.concatenate(rows), rtol=1e-5, atol=1e-5)


def test_onnx_runtime_is_never_given_more_images_than_pay(model, monkeypatch):
    sizes = []
    run_at_once = model._run_at_once
    monkeypatch.setattr(model, "_run_at_once", lambda images: sizes.append(len(images)) or run_at_once(images))
    model.run(np.zeros((2 * MOST_AT_ONCE + 3, 28, 28, 1), np.float32))
    assert sizes == [MOST_AT_ONCE, MOST_AT_ONCE, 3]


def test_the_clock_names_every_stage_once_and_in_order(model, seven, encode):
    clock = StageClock()
    work_alone(predict_steps(model, encode(seven), MAX_PIXELS, False, clock))
    assert list(clock.stages) == ["queue", "decode", "preprocess", "gather", "infer"]
    assert all(seconds >= 0 for seconds in clock.stages.values())


@pytest.mark.parametrize("chunk", ["iCCP", "zTXt", "iTXt", "eXIf"])
def test_a_png_with_chunks_that_unpack_to_much_is_not_brief(seven, encode, chunk):
    data = encode(seven)
    assert not is_brief(data[:33] + b"\0\0\0\0" + chunk.encode() + b"\0\0\0\0" + data[33:])


def test_a_canvas_is_brief_to_read(seven, encode):
    assert is_brief(encode(seven))
    assert is_brief(encode(seven.convert("RGBA")))


def test_an_image_of_many_pixels_or_bytes_is_not_brief(seven, encode):
    assert not is_brief(encode(Image.new("L", (600, 600))))
    assert not is_brief(encode(seven) + bytes(BRIEF_BYTES))


@pytest.mark.parametrize("kind", sorted({*FORMATS} - {"PNG"}))
def test_formats_whose_size_is_not_at_a_fixed_place_are_not_brief(seven, encode, kind):
    assert not is_brief(encode(seven, kind))


@pytest.mark.parametrize("length", [0, 8, 16, 20, 23])
def test_a_header_cut_short_is_not_brief(seven, encode, length):
    assert not is_brief(encode(seven)[:length])
