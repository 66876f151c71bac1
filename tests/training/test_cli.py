from __future__ import annotations

import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from click.testing import CliRunner

from training.cli import evaluate, train
from training.config import RECIPES, find_recipe
from training.errors import DataError, Interrupted, ModelUnreadable, OutputUnwritable, UnknownRecipe


def modules_after(statement: str) -> set[str]:
    """The top-level packages that a fresh interpreter has loaded."""
    program = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    return set(output.split())


def test_the_commands_load_nothing_heavy_before_they_run() -> None:
    loaded = modules_after("import training.cli")
    assert loaded.isdisjoint({"tensorflow", "keras", "numpy", "scipy", "PIL", "matplotlib", "onnxruntime"})


def test_evaluating_an_artifact_needs_no_tensorflow() -> None:
    assert modules_after("import training.assessment, training.runners").isdisjoint({"tensorflow", "keras"})


@pytest.mark.parametrize("command", [train, evaluate], ids=["train", "evaluate"])
def test_help_names_the_data_folder(command: object) -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "LIVEDIGIT_DATA_DIR" in result.output


def test_an_unknown_recipe_is_answered_with_the_known_ones() -> None:
    result = CliRunner().invoke(train, ["--recipe", "soup"])
    assert isinstance(result.exception, UnknownRecipe)
    assert result.exception.exit_code == 2
    assert all(name in str(result.exception) for name in RECIPES)


def test_evaluating_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    result = CliRunner().invoke(evaluate, [str(tmp_path), "--data-dir", str(tmp_path)])
    assert isinstance(result.exception, ModelUnreadable)


def test_a_recipe_takes_another_number_of_epochs() -> None:
    assert find_recipe("baseline", 3).epochs == 3
    assert find_recipe("baseline").epochs == RECIPES["baseline"].epochs


def test_the_held_out_recipe_differs_only_in_what_it_learns_from() -> None:
    import msgspec

    whole, held_out = (msgspec.to_builtins(RECIPES[name]) for name in ("strokes", "strokes-held-out"))
    differing = {field for field in whole if whole[field] != held_out[field]}
    assert differing == {"name", "validation_share", "held_out_writers"}


@pytest.mark.parametrize("name", ["", "../digits", "a/b", "two words", ".hidden"])
def test_a_name_that_no_model_can_be_exported_under_is_a_usage_error(tmp_path: Path, name: str) -> None:
    result = CliRunner().invoke(train, ["--name", name, "--out", str(tmp_path), "--data-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert "--name" in result.output


def test_a_seed_that_keras_cannot_take_is_a_usage_error() -> None:
    assert CliRunner().invoke(train, ["--seed", str(2**32)]).exit_code == 2


def raise_in_python(number: signal.Signals) -> None:
    signal.raise_signal(number)


def raise_in_a_graph(number: signal.Signals) -> None:
    """As TensorFlow and Keras have it where they are interrupted amid building one."""
    try:
        signal.raise_signal(number)
    except (KeyboardInterrupt, SystemExit):
        raise SystemError("returned a result with an exception set") from None


@pytest.mark.tensorflow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("interrupt", [raise_in_python, raise_in_a_graph])
def test_an_interrupted_run_says_how_it_goes_on(
    tiny_mnist: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    interrupt: Callable[[signal.Signals], None],
    number: signal.Signals,
    status: int,
) -> None:
    # So that a handler that is missing fails the test and does not end it, and a shell's `&` changes nothing.
    before = signal.signal(number, lambda *_: None)
    try:
        monkeypatch.setattr("training.train.carry_out", lambda *_: interrupt(number))
        arguments = ["--recipe", "baseline", "--data-dir", str(tiny_mnist), "--out", str(tmp_path / "out")]
        result = CliRunner().invoke(train, arguments)
    finally:
        signal.signal(number, before)
    assert isinstance(result.exception, Interrupted)
    assert result.exception.exit_code == status
    assert str(result.exception).endswith("--version 1 --resume")


@pytest.mark.tensorflow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_passes_over_what_it_was_started_to_pass_over(
    tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """As a shell starts what is to run behind it."""

    def carry_on(*_: object) -> Mock:
        signal.raise_signal(number)
        return Mock(metrics={"mnist_test_accuracy": 1})

    before = signal.signal(number, signal.SIG_IGN)
    try:
        monkeypatch.setattr("training.train.carry_out", carry_on)
        arguments = ["--recipe", "baseline", "--data-dir", str(tiny_mnist), "--out", str(tmp_path / "out")]
        result = CliRunner().invoke(train, arguments)
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)
    assert result.exit_code == 0


@pytest.mark.tensorflow
def test_a_folder_for_versions_that_may_not_be_looked_into_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.cli.next_version", Mock(side_effect=PermissionError(errno.EACCES, "")))
    result = CliRunner().invoke(train, ["--data-dir", str(tmp_path), "--out", str(tmp_path)])
    assert isinstance(result.exception, OutputUnwritable)
    assert "--out" in str(result.exception)


@pytest.mark.parametrize("flag", [[], ["--numbers"]], ids=["digits", "numbers"])
def test_a_folder_for_results_that_cannot_be_made_is_named(repo_root: Path, tmp_path: Path, flag: list[str]) -> None:
    (tmp_path / "file").touch()
    arguments = [str(repo_root / "artifacts/models/digits/2"), "--out", str(tmp_path / "file" / "out"), *flag]
    result = CliRunner().invoke(evaluate, arguments)
    assert isinstance(result.exception, OutputUnwritable)
    assert "--out" in str(result.exception)


def test_figures_are_told_where_their_files_cannot_be_written(
    repo_root: Path, tiny_mnist: Path, tmp_path: Path
) -> None:
    # Nobody may write a folder as a file, be it root.
    (tmp_path / "report.json").mkdir()
    model = str(repo_root / "artifacts/models/digits/2")
    result = CliRunner().invoke(evaluate, [model, "--data-dir", str(tiny_mnist), "--out", str(tmp_path)])
    assert isinstance(result.exception, OutputUnwritable)
    assert "MNIST test  " in result.output


def test_a_record_for_the_card_that_cannot_be_read_is_named_before_the_work(
    repo_root: Path, tiny_mnist: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes((repo_root / "artifacts/models/digits/2/model.onnx").read_bytes())
    (tmp_path / "manifest.json").write_text("{")
    arguments = [str(tmp_path), "--data-dir", str(tiny_mnist), "--card", str(tmp_path)]
    result = CliRunner().invoke(evaluate, arguments)
    assert isinstance(result.exception, ModelUnreadable)
    assert result.output == ""


@pytest.mark.parametrize("flag", [[], ["--numbers"]], ids=["digits", "numbers"])
def test_a_recording_without_the_judging_writers_is_refused(repo_root: Path, tiny_data: Path, flag: list[str]) -> None:
    recording = tiny_data / "pendigits" / "pendigits-orig.tra"
    first_digits, _, _ = recording.read_text().partition(".COMMENT 0 5 1")
    recording.write_text(first_digits.rpartition(".SEGMENT")[0])
    arguments = [str(repo_root / "artifacts/models/digits/2"), "--data-dir", str(tiny_data), *flag]
    result = CliRunner().invoke(evaluate, arguments)
    assert isinstance(result.exception, DataError)
    assert "5, 10, 15, 20, 25, 30" in str(result.exception)
