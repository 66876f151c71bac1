"""Whole numbers composed of recorded digits, and the figures on reading them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from service.errors import UnreadableNumber
from service.numbers.geometry import Features
from service.numbers.reading import Model, Reading
from service.rendering import PEN_WIDTH
from training import cli, numbers_assessment
from training.numbers import (
    INTERLEAVED,
    MARGIN,
    NATURALLY,
    SEPARATED,
    SPACINGS,
    TOUCHING,
    ComposedNumber,
    compose_numbers,
    sample_points,
    shift_for_distance,
)
from training.numbers_assessment import (
    Answer,
    answer_number,
    assess_numbers,
    find_worst_numbers,
    measure_calibration,
    single_digits,
)
from training.numbers_fitting import NOTHING, Case, fit_weights
from training.unipen import PenDigit, load_pen_digits


@pytest.fixture
def digits(tiny_data: Path) -> list[PenDigit]:
    return load_pen_digits(tiny_data)[0]


def classify(tensors: np.ndarray) -> np.ndarray:
    """Takes everything for a 1, and is rather sure of it."""
    return np.tile(np.array([0.02, 0.82, *[0.02] * 8], np.float32), (len(tensors), 1))


def split(number: ComposedNumber) -> list[list[np.ndarray]]:
    places = range(len(number.text))
    return [
        [stroke for stroke, owner in zip(number.strokes, number.owners, strict=True) if owner == place]
        for place in places
    ]


@pytest.mark.parametrize("spacing", SPACINGS, ids=lambda spacing: spacing.name)
def test_a_number_is_the_same_each_time_by_one_writer_and_wholly_on_its_canvas(digits, spacing):
    numbers, again = (compose_numbers(digits, spacing, 12) for _ in range(2))
    assert [number.text for number in numbers] == [number.text for number in again]
    assert {number.writer for number in numbers} == {1, 2, 5, 10}
    for number in numbers:
        points = np.concatenate(number.strokes)
        assert spacing.lengths[0] <= len(number.text) <= spacing.lengths[1]
        assert points.min() >= MARGIN - 1e-6
        assert (points <= np.array([number.width, number.height]) - MARGIN + 1e-6).all()
        assert number.draw().shape == (int(np.ceil(number.height)), int(np.ceil(number.width)))


def distances(number: ComposedNumber) -> list[float]:
    """The least distance of the pen's lines of each digit and the next."""
    samples = [sample_points(strokes) for strokes in split(number)]
    return [
        float(np.linalg.norm(one[:, np.newaxis] - other, axis=2).min()) for one, other in itertools.pairwise(samples)
    ]


def test_ink_touches_where_it_should_and_nowhere_else(digits):
    touching = [gap for number in compose_numbers(digits, TOUCHING, 20) for gap in distances(number)]
    assert max(touching) < 1.1 * PEN_WIDTH
    for spacing in (SEPARATED, NATURALLY, INTERLEAVED):
        gaps = [gap for number in compose_numbers(digits, spacing, 20) for gap in distances(number)]
        assert min(gaps) > PEN_WIDTH


def test_a_digit_is_moved_as_near_as_wanted():
    bar, dot = [np.array([[0.0, 0.0], [0.0, 100.0]])], [np.array([[50.0, 40.0]])]
    assert shift_for_distance(bar, dot, 12.0) == pytest.approx(-38.0, abs=1e-3)


def test_only_digits_of_several_strokes_are_asked_about_alone():
    stroke = np.array([[0.0, 0.0], [100.0, 200.0]])
    digits = [PenDigit(7, 5, (stroke,) * count) for count in (1, 2, 3, 4)]
    assert [len(number.strokes) for number in single_digits(digits)] == [2, 3]


def composed(text: str) -> ComposedNumber:
    return ComposedNumber(text, 5, [np.array([[30.0, 30.0]])], (0,), 60.0, 60.0)


def test_a_refusal_is_a_wrong_answer_without_confidence():
    def refuse(number: ComposedNumber, model: Model) -> Reading:
        raise UnreadableNumber("no")

    answer = answer_number(composed("12"), "image", refuse, Model(classify))
    assert (answer.text, answer.confidence, answer.is_right) == ("", 0.0, False)


def test_calibration_compares_confidence_with_success():
    half = [Answer(composed("1"), "image", text, 0.5) for text in ("1", "7")]
    assert measure_calibration(half) == pytest.approx(0.0)
    sure = [Answer(composed("1"), "image", text, 1.0) for text in ("1", "7")]
    assert measure_calibration(sure) == pytest.approx(0.5)


def test_the_worst_are_the_most_confident_mistakes():
    answers = [Answer(composed("1"), "image", text, sure) for text, sure in (("1", 0.9), ("7", 0.3), ("4", 0.8))]
    assert [answer.text for answer in find_worst_numbers(answers, 5)] == ["4", "7"]


def test_an_assessment_holds_its_figures_against_the_targets(tiny_data, several_strokes):
    figures, answers = assess_numbers(Model(classify), "fake", tiny_data, lambda step: None, 6)
    assert figures.writers == (5, 10)
    assert len(figures.targets) == 6
    assert not all(target.met for target in figures.targets)
    assert len(answers) == sum(row.numbers for row in figures.scores)


@pytest.fixture
def several_strokes(tiny_data: Path) -> None:
    """A held-out writer's digit of two strokes, which the other tests of training need not have."""
    path = tiny_data / "pendigits/pendigits-orig.tra"
    strokes = ".PEN_DOWN\n 100 400\n 200 400\n.PEN_UP\n.DT 100\n.PEN_DOWN\n 150 450\n 150 200\n.PEN_UP\n.DT 100\n"
    path.write_text(path.read_text() + f'.SEGMENT DIGIT 0 ? "4"\n.COMMENT 4 5 1\n{strokes}')


def test_the_command_prints_the_table_and_keeps_figures_and_picture(
    tiny_data, several_strokes, repo_root, tmp_path, monkeypatch
):
    whole = numbers_assessment.assess_numbers
    monkeypatch.setattr(numbers_assessment, "assess_numbers", lambda *arguments: whole(*arguments, 4))
    model, out = repo_root / "artifacts/models/digits/2", tmp_path / "out"
    arguments: list[Any] = [model, "--numbers", "--data-dir", tiny_data, "--out", out]
    done = CliRunner().invoke(cli.evaluate, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0
    assert "touching pairs, image" in done.output
    # As its manifest says.
    assert "The model has learnt from these writers" in done.stderr
    assert {path.name for path in out.iterdir()} == {"numbers.json", "numbers.png"}


def test_whole_numbers_come_with_no_card(repo_root):
    arguments = [str(repo_root / "artifacts/models/digits/2"), "--numbers", "--all-writers"]
    assert CliRunner().invoke(cli.evaluate, arguments).exit_code == 2


def test_fitting_finds_the_feature_that_tells_right_from_wrong():
    generator = np.random.default_rng(0)
    cases = []
    for _ in range(50):
        features = generator.normal(size=(5, len(Features._fields)))
        right = int(features[:, 1].argmax())
        cases.append(Case(features, np.where(np.arange(5) == right, 0.0, NOTHING)))
    start = Features(*[0.0] * len(Features._fields))
    weights, surprise = fit_weights(cases, start)
    assert weights.certainty > 1
    assert max(abs(weight) for name, weight in weights._asdict().items() if name != "certainty") < weights.certainty / 3
    assert surprise < np.log(5) / 2
