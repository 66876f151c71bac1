"""A smaller form is published only if it decides alike."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from export.compare import compare
from export.errors import Disagreement, UsageError
from export.inputs import LabelledImages, noise_inputs, read_labelled
from export.parity import Promise
from export.pipeline_check import read_artifact
from export.runtimes import Answers
from export.variants import CALIBRATION_IMAGES, EVALUATION_IMAGES, LOGIT_BOUND, MAKERS, build_variant, judge_variant
from export.verifying import find_promise
from service.cli import livedigit
from service.contract import ParityFigures, VariantRecord

onnx = pytest.importorskip("onnx")

SHAPE = (28, 28, 1)


def logits_for(labels: np.ndarray, margin: float) -> np.ndarray:
    return margin * np.eye(4)[labels]


LABELS = np.arange(1000) % 4
CALIBRATION = logits_for(LABELS[:100], 5.0)


def judge(small: np.ndarray, moved: float, margin: float = 5.0) -> Any:
    return judge_variant(CALIBRATION, CALIBRATION + moved, logits_for(LABELS, margin), small, LABELS)


def test_equal_decisions_pass() -> None:
    judgement = judge(logits_for(LABELS, 4.9), moved=0.1)
    assert judgement.passed
    assert (judgement.accuracy, judgement.turned) == (1.0, 0)


def test_one_image_in_a_thousand_may_be_lost_within_the_bound() -> None:
    small = logits_for(LABELS, 0.1)
    small[0] = small[1]
    assert judge(small, moved=0.1, margin=0.1).passed
    small[1] = small[2]
    assert not judge(small, moved=0.1, margin=0.1).passed


def test_a_decision_turned_beyond_the_bound_fails_even_if_accuracy_rises() -> None:
    small = logits_for(LABELS, 5.0)
    small[0] = small[1]
    judgement = judge(small, moved=0.1)
    assert judgement.accuracy == 0.999
    assert judgement.turned_beyond_bound == 1
    assert not judgement.passed


@pytest.mark.tensorflow
def test_too_few_images_are_refused(digits: Any) -> None:
    few = LabelledImages(np.zeros((300, *SHAPE), np.float32), np.zeros(300, np.int64))
    with pytest.raises(UsageError, match="300"):
        build_variant("fp16", digits.converted, few)


@pytest.mark.tensorflow
def test_a_variant_that_decides_otherwise_is_refused(digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose filters were cut to a quarter, in the place of a quantizer's."""

    def ruin(model: Any, calibration: np.ndarray) -> Any:
        ruined = onnx.ModelProto()
        ruined.CopyFrom(model)
        for tensor in ruined.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype == np.float32:
                tensor.CopyFrom(onnx.numpy_helper.from_array(values[::-1].copy(), tensor.name))
        return ruined

    monkeypatch.setitem(MAKERS, "int8", ruin)
    count = CALIBRATION_IMAGES + EVALUATION_IMAGES
    images = np.random.default_rng(0).random((count, *SHAPE), dtype=np.float32)
    labels = digits.contest.onnx.answer(images).logits.argmax(axis=1)
    with pytest.raises(Disagreement, match="decisions turned"):
        build_variant("int8", digits.converted, LabelledImages(images, labels))


@pytest.mark.tensorflow
@pytest.mark.parametrize(("bound", "verdict"), [(1e6, "agree"), (0.0, "disagree")])
def test_a_variant_is_held_to_the_bound_that_it_was_published_with(digits: Any, bound: float, verdict: str) -> None:
    """One that answers with the next label's logits."""

    class Turned:
        def answer(self, images: np.ndarray) -> Answers:
            logits, probabilities = digits.contest.onnx.answer(images)
            return Answers(np.roll(logits, 1, axis=1), np.roll(probabilities, 1, axis=1))

    contest = digits.contest._replace(onnx=Turned(), promise=Promise("int8", bound))
    report = compare(contest, [noise_inputs(SHAPE, 4)], (1, 2))
    assert report.verdict == verdict
    assert f"{bound:.2g}" in report.summary
    assert {result.gate for result in report.results} == {"decision"}


@pytest.mark.tensorflow
def test_nothing_is_promised_of_other_weights_or_in_float32(digits: Any, published: Path) -> None:
    manifest = read_artifact(published / "model.onnx")
    assert manifest is not None
    assert find_promise(digits.source, manifest) is None
    figures = ParityFigures(verdict="agree", report="", figures={LOGIT_BOUND: 0.1})
    record = VariantRecord(kind="fp16", calibration_sha256="0" * 64)
    small = msgspec.structs.replace(manifest, variant=record, parity=figures)
    assert find_promise(digits.source, small) == Promise("fp16", 0.1)
    assert find_promise(digits.source, msgspec.structs.replace(small, weights_sha256="0" * 64)) is None


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((2, 28, 28, 1))}, "labels"),
        ({"x": np.zeros((2, 28, 28, 1)), "y": np.zeros(2)}, "labels"),
        ({"x": np.zeros((2, 9, 9, 1)), "y": np.zeros(2, np.int64)}, "28, 28"),
        ({"x": np.zeros((2, 28, 28, 1)), "y": np.array([0, 10])}, "0 to 9"),
        ({"y": np.zeros(2, np.int64)}, "array"),
    ],
)
def test_labelled_images_that_do_not_fit(tmp_path: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(UsageError, match=words):
        read_labelled(tmp_path / "data.npz", SHAPE, 10)


@pytest.mark.tensorflow
def test_a_variant_without_data_is_a_usage_error(digits: Any, tmp_path: Path) -> None:
    arguments = ["export", str(digits.keras_file), "--name", "d", "--out", str(tmp_path), "--variant", "int8"]
    result = CliRunner().invoke(livedigit, arguments)
    assert getattr(result.exception, "exit_code", 0) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.data
@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(("kind", "largest"), [("int8", 200_000), ("fp16", 350_000)])
def test_variants_of_the_committed_model_are_published_and_served(
    repo_root: Path, data_dir: Path, tmp_path: Path, kind: str, largest: int
) -> None:
    from service.artifacts import load_classifier

    images = gzip.decompress((data_dir / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((data_dir / "mnist" / "t10k-labels-idx1-ubyte.gz").read_bytes())
    np.savez(
        tmp_path / "mnist.npz",
        images=np.frombuffer(images, np.uint8, offset=16).reshape(-1, *SHAPE)[:3000].astype(np.float32) / 255,
        labels=np.frombuffer(labels, np.uint8, offset=8)[:3000],
    )
    model = repo_root / "artifacts" / "saved_models" / "digits" / "1"
    arguments = ["--name", "digits", "--out", str(tmp_path), "--variant", kind, "--data", str(tmp_path / "mnist.npz")]
    result = CliRunner().invoke(livedigit, ["export", str(model), "--json", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    folder = tmp_path / f"digits-{kind}" / "1"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["variant"]["kind"] == kind
    assert json.loads(result.stdout)["sha256"] == manifest["model"]["sha256"]
    assert manifest["model"]["size_bytes"] < largest
    assert manifest["parity"]["figures"]["variant_accuracy"] > 0.99
    assert load_classifier(folder).manifest.name == f"digits-{kind}"
    verified = CliRunner().invoke(livedigit, ["verify", str(model), str(folder / "model.onnx"), "--batch", "1,7"])
    assert verified.exit_code == 0, verified.output
    assert verified.stdout.startswith(f"They agree as published: the rounding of {kind}")
