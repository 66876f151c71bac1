from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from training.calibration import (
    EVEN_VALIDATION,
    ODD_VALIDATION,
    Calibration,
    Judged,
    cross_doubt,
    cross_fit,
    halve,
    hash_sources,
    learn_calibration,
    number_validation,
    recall_calibration,
)
from training.config import RECIPES, STROKES
from training.corrections import Corrections
from training.data import Digits, load_mnist
from training.evaluate import calibration_error, softmax
from training.pools import Sources
from training.unipen import PenDigit, load_pen_digits

WRITERS = np.arange(6).repeat(500)
DIGIT = PenDigit(7, 1, (np.zeros((2, 2)),))


def ask(exaggeration: float, seed: int = 0) -> Judged:
    """Logits whose labels are as likely as they say once they are divided by the exaggeration."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (len(WRITERS), 10))
    labels = np.array([generator.choice(10, p=row / row.sum()) for row in softmax(logits).astype(np.float64)])
    return Judged((logits * exaggeration).astype(np.float32), labels, WRITERS)


def test_halves_share_no_writer_and_are_all() -> None:
    (first, second), swapped = halve(WRITERS)
    assert set(WRITERS[first]) == {0, 2, 4}
    assert set(WRITERS[second]) == {1, 3, 5}
    np.testing.assert_array_equal(swapped, (second, first))


def test_a_half_is_judged_with_what_the_other_teaches() -> None:
    """One half exaggerates and the other does not, so each is given the temperature that it does not need."""
    calm, loud = ask(1.0), ask(4.0)
    odd = WRITERS % 2 == 1
    logits = np.where(odd[:, np.newaxis], loud.logits, calm.logits)
    answers = cross_fit(logits, calm.labels, WRITERS)
    np.testing.assert_allclose(answers[~odd], softmax(calm.logits[~odd] / 4), atol=0.03)
    np.testing.assert_allclose(answers[odd], softmax(loud.logits[odd]), atol=0.03)


def test_exaggeration_is_found_and_taken_back() -> None:
    pens, validation = ask(3.0), ask(3.0, seed=1)
    learnt = learn_calibration(pens, validation._replace(writers=number_validation(len(WRITERS))))
    assert learnt.temperature == pytest.approx(3, rel=0.1)
    assert learnt.held_out_strokes_calibration_error < 0.03 < calibration_error(softmax(pens.logits), pens.labels)
    assert learnt.held_out_strokes_uncertain == pytest.approx(0.01, abs=0.005)
    assert learnt.held_out_strokes_worst_writer <= learnt.held_out_strokes_accuracy


def test_one_in_a_hundred_calibrated_answers_lies_under_the_threshold() -> None:
    pens, validation = ask(3.0), ask(3.0, seed=1)
    learnt = learn_calibration(pens, validation._replace(writers=number_validation(len(WRITERS))))
    confidence = softmax(pens.logits / learnt.temperature).max(1)
    assert np.mean(confidence < learnt.uncertain_threshold) == pytest.approx(0.01, abs=1 / len(WRITERS))


def test_pens_and_validation_digits_teach_the_temperature_together() -> None:
    pens, validation = ask(3.0), ask(1.5, seed=1)
    learnt = learn_calibration(pens, validation._replace(writers=number_validation(len(WRITERS))))
    assert 1.8 < learnt.temperature < 2.7


def test_the_calibration_error_is_that_under_the_other_halfs_temperature() -> None:
    """One half exaggerates and the other does not, in pens and validation digits alike."""
    odd = WRITERS % 2 == 1
    calm = ask(1.0)
    pens = calm._replace(logits=np.where(odd[:, np.newaxis], 4, 1).astype(np.float32) * calm.logits)
    validation = pens._replace(writers=np.where(odd, ODD_VALIDATION, EVEN_VALIDATION))
    learnt = learn_calibration(pens, validation)
    crossed = softmax(np.where(odd[:, np.newaxis], 4, 0.25).astype(np.float32) * calm.logits)
    assert learnt.held_out_strokes_calibration_error == pytest.approx(calibration_error(crossed, pens.labels), abs=0.02)
    assert learnt.held_out_strokes_uncertain > 0.1


def test_doubt_is_measured_with_the_other_halfs_threshold() -> None:
    answers = np.full((40, 10), 0.01, np.float32)
    answers[:, 0] = np.where(np.arange(40) % 2, 0.5, 0.9)
    assert cross_doubt(answers, np.arange(40) % 2) == 0.5


def test_validation_digits_fall_into_both_halves() -> None:
    writers = np.concatenate([number_validation(6), [5, 10, 15]])
    (first, _), _ = halve(writers)
    assert first[:6].tolist() == [True, False] * 3


def test_the_default_recipe_knows_what_its_held_out_form_has_taught() -> None:
    assert isinstance(recall_calibration(RECIPES["strokes"]), Calibration)


@pytest.mark.parametrize("recipe", [name for name in RECIPES if name != "strokes"])
def test_other_recipes_have_no_such_record(recipe: str) -> None:
    assert recall_calibration(RECIPES[recipe]) is None


@pytest.mark.parametrize(
    "change", [{"epochs": 1}, {"drawing_seed": 2}, {"pieces": 0}], ids=lambda change: next(iter(change))
)
def test_a_recipe_is_taught_nothing_by_a_run_that_was_fitted_otherwise(change: dict[str, int]) -> None:
    assert recall_calibration(msgspec.structs.replace(STROKES, **change)) is None


def use_record(sources: Sources, extra: int, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, float], list[str]]:
    """What the default recipe records of its calibration, and says about it, after learning from `sources`."""
    from training import train as training

    divided, said = [], []
    monkeypatch.setattr(training, "divide_logits", lambda _, temperature: divided.append(temperature))
    examples = training.Examples(sources, None, [], (), None, None)
    metrics = training.calibrate(None, STROKES, examples, Corrections([DIGIT] * extra, ()), said.append)
    assert divided == [metrics["temperature"]]
    return metrics, said


@pytest.mark.tensorflow
@pytest.mark.data
def test_a_run_on_the_recorded_data_has_the_recorded_figures(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist, _ = load_mnist(data_dir, "train")
    pen_digits, _ = load_pen_digits(data_dir)
    metrics, said = use_record(Sources(mnist, None, pen_digits, None), 0, monkeypatch)
    assert metrics == msgspec.structs.asdict(recall_calibration(STROKES))
    assert said == []


@pytest.mark.tensorflow
@pytest.mark.parametrize(("recorded", "extra"), [(True, 1), (False, 0)], ids=["corrections", "other data"])
def test_the_recorded_figures_are_not_those_of_a_run_that_learns_from_more_or_other_data(
    monkeypatch: pytest.MonkeyPatch, recorded: bool, extra: int
) -> None:
    from training import train as training

    sources = Sources(Digits(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64)), None, [DIGIT], None)
    if recorded:
        monkeypatch.setattr(training, "RECORDED_SOURCES", hash_sources(sources))
    metrics, said = use_record(sources, extra, monkeypatch)
    assert set(metrics) == {"temperature", "uncertain_threshold"}
    assert ["strokes-held-out" in line for line in said] == [True]


@pytest.mark.parametrize("change", ["image", "label", "writer", "stroke"])
def test_all_of_the_examples_tells_data_apart(change: str) -> None:
    images, labels, digit = np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64), DIGIT
    before = hash_sources(Sources(Digits(images, labels), None, [digit], None))
    changed = {
        "image": Sources(Digits(images + np.uint8(1), labels), None, [digit], None),
        "label": Sources(Digits(images, labels + 1), None, [digit], None),
        "writer": Sources(Digits(images, labels), None, [digit._replace(writer=2)], None),
        "stroke": Sources(Digits(images, labels), None, [digit._replace(strokes=(digit.strokes[0] + 1,))], None),
    }
    assert hash_sources(changed[change]) != before


@pytest.mark.tensorflow
def test_a_run_that_nobody_calibrates_says_so() -> None:
    from training.train import Examples, calibrate

    said: list[str] = []
    nothing = Examples(None, None, [], (), None, None)
    nobody = Corrections([], ())
    assert calibrate(None, msgspec.structs.replace(STROKES, epochs=1), nothing, nobody, said.append) == {}
    assert ["not calibrated" in line for line in said] == [True]
