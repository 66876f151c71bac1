from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from training.assessment import assess, assess_strokes, cross_calibrate
from training.cli import evaluate
from training.errors import ModelUnreadable
from training.protocol import CONDITIONS, PLAIN, draw_condition
from training.runners import load_classifier, read_run
from training.unipen import PenDigit

if TYPE_CHECKING:
    from training.data import Pixels


def answer_threes(images: Pixels) -> np.ndarray:
    """A model that takes everything for a 3, and is surer the more ink there is."""
    certainty = 0.5 + images.mean(axis=(1, 2)) / 600
    probabilities = np.repeat(((1 - certainty) / 9)[:, None], 10, axis=1)
    probabilities[:, 3] = certainty
    return probabilities.astype(np.float32)


def slant_bar(label: int, writer: int) -> tuple[np.ndarray]:
    """A bar that slants in its own way for each label and writer."""
    step = np.arange(8.0)
    return (np.stack([150 + (4 * label + writer) * step, 400 - 30 * step], axis=1),)


def ignore(_: str) -> None:
    pass


def test_figures_cover_both_data_sets_and_every_condition(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.assessment.draw_rest.__defaults__", (16,))
    figures, answered = assess(answer_threes, "threes", tiny_data, all_writers=False, report=ignore)
    assert figures.mnist.accuracy == pytest.approx(0.1)
    assert len(figures.mnist_worst) == 36
    assert figures.strokes is not None
    assert figures.strokes.writers == (5, 10)
    assert figures.strokes.plain.examples == 40
    assert figures.strokes.worst_writer == pytest.approx(0.1)
    assert len(figures.strokes.by_condition) == 8
    assert set(figures.strokes.rejection) == {"all", "taps", "scribble", "symbol", "pair"}
    assert set(figures.strokes.pieces) <= {"all", "piece", "touching"}
    assert figures.strokes.cross_fitted_calibration_error is not None
    assert figures.strokes.cross_fitted_calibration_error < figures.strokes.plain.calibration_error
    assert figures.mnist_disputed is None
    assert set(answered) == {"MNIST", "pen strokes"}


def test_all_writers_can_be_asked_about(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.assessment.draw_rest.__defaults__", (16,))
    figures, _ = assess(answer_threes, "threes", tiny_data, all_writers=True, report=ignore)
    assert figures.strokes is not None
    assert figures.strokes.writers == (1, 2, 5, 10)


def test_figures_tell_writers_placements_conditions_and_what_is_no_digit_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that knows, and is sure of, what writer 5 drew, at its place, and everything drawn with a thin pen."""
    monkeypatch.setattr("training.assessment.draw_rest.__defaults__", (16,))
    monkeypatch.setattr("training.assessment.draw_parts.__defaults__", (16,))
    digits = [PenDigit(label, writer, slant_bar(label, writer)) for writer in (5, 10) for label in (1, 2, 3)]
    thin = next(condition for condition in CONDITIONS if condition.pen_width == 10)
    known = {
        image.tobytes(): label
        for images in (draw_condition(digits, PLAIN)[:3], draw_condition(digits, thin))
        for image, label in zip(images, [1, 2, 3] * 4, strict=False)
    }

    def classify(images: Pixels) -> np.ndarray:
        answers = np.full((len(images), 10), 0.05, np.float32)
        for answer, image in zip(answers, images, strict=True):
            label = known.get(image.tobytes())
            answer[label or 0] = 0.3 if label is None else 0.9
        return answers

    figures, _ = assess_strokes(classify, digits, ignore)
    assert figures.by_writer == {5: 0.5, 10: 0}
    assert figures.worst_writer == 0
    assert (figures.plain.accuracy, figures.as_drawn.accuracy, figures.filling.accuracy) == (0.25, 0.5, 0)
    accuracy = {name: scores.accuracy for name, scores in figures.by_condition.items()}
    assert (accuracy.pop(PLAIN.name), accuracy.pop(thin.name)) == (0.25, 1)
    assert max(accuracy.values()) < 0.25
    # A quarter of the digits is surer than all else, the others are as sure.
    assert figures.rejection == pytest.approx(dict.fromkeys(figures.rejection, 0.25 + 0.75 / 2))
    assert figures.pieces == pytest.approx(dict.fromkeys(figures.pieces, 0.25 + 0.75 / 2))
    assert "all" in figures.rejection
    assert "all" in figures.pieces


def test_one_writer_cannot_judge_another() -> None:
    answers = answer_threes(np.zeros((4, 28, 28), np.uint8))
    assert cross_calibrate(answers, np.array([3, 3, 1, 2]), np.full(4, 5)) is None


def test_pen_strokes_may_be_missing(tiny_mnist: Path) -> None:
    figures, answered = assess(answer_threes, "threes", tiny_mnist, all_writers=False, report=ignore)
    assert figures.strokes is None
    assert set(answered) == {"MNIST"}


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnreadable, match="neither a SavedModel"):
        load_classifier(tmp_path)


def test_a_damaged_onnx_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelUnreadable, match=r"model\.onnx") as caught:
        load_classifier(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.tensorflow
def test_a_damaged_saved_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"no graph")
    with pytest.raises(ModelUnreadable, match="serve"):
        load_classifier(tmp_path)


def test_a_model_without_a_record_comes_from_nowhere_known(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None


@pytest.mark.parametrize("file", ["run.json", "manifest.json"])
@pytest.mark.parametrize("content", [b"{", b'{"recipe": "\xff"}'])
def test_a_damaged_record_is_named(tmp_path: Path, file: str, content: bytes) -> None:
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ModelUnreadable, match="record"):
        read_run(tmp_path)


def test_the_published_artifact_says_how_it_was_trained(repo_root: Path) -> None:
    run = read_run(repo_root / "artifacts/models/digits/1")
    assert run is not None
    assert run.recipe == "baseline"


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_command_reads_a_saved_model_and_writes_report_and_picture(tiny_mnist: Path, tmp_path: Path) -> None:
    from PIL import Image

    from training.model import build_model
    from training.saved_model import write_saved_model

    model = tmp_path / "bars" / "1"
    write_saved_model(build_model(), model)
    folders = ["--data-dir", str(tiny_mnist), "--out", str(tmp_path / "report"), "--card", str(tmp_path)]
    result = CliRunner().invoke(evaluate, [str(model), *folders, "--json"])
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert printed == json.loads((tmp_path / "report" / "report.json").read_text())
    assert printed["model"] == "bars/1"
    assert printed["mnist"]["examples"] == 40
    assert "40" in (tmp_path / "evaluation.md").read_text()
    with Image.open(tmp_path / "report" / "report.png") as picture:
        assert picture.width > 1000


@pytest.mark.data
def test_the_published_model_scores_as_its_record_says(data_dir: Path, repo_root: Path) -> None:
    """The figures of the model card are those of the file that is served."""
    import msgspec

    from service.contract import Manifest
    from training.assessment import answer_mnist
    from training.evaluate import score_answers

    folder = max((repo_root / "artifacts/models/digits").glob("[0-9]*"), key=lambda path: int(path.name))
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    assert manifest.training is not None
    answered = answer_mnist(load_classifier(folder), data_dir)
    scores = score_answers(answered.probabilities, answered.digits.labels)
    # Rounding may decide a near-tie differently from TensorFlow.
    assert scores.errors == pytest.approx(manifest.training.metrics["mnist_test_errors"], abs=1)
