from __future__ import annotations

import msgspec
import pytest

from service.contract import TrainingRun
from training.assessment import Assessment, StrokeFigures
from training.describe import describe
from training.disputed import DisputedFigures
from training.evaluate import Scores

GOOD, FAIR = Scores(1000, 4, 0.996, 0.0031), Scores(200, 3, 0.985, 0.0123)
STROKES = StrokeFigures(
    writers=(5, 10),
    plain=FAIR,
    as_drawn=FAIR,
    filling=GOOD,
    cross_fitted_calibration_error=0.0145,
    by_writer={5: 0.97, 10: 1.0},
    worst_writer=0.97,
    by_condition={"plain": FAIR, "10 px pen": GOOD},
    rejection={"all": 0.991, "taps": 0.999},
    pieces={"piece": 0.95},
)
ALL = Assessment(
    model="digits/3",
    mnist=GOOD,
    mnist_disputed=DisputedFigures(undisputed=Scores(985, 1, 0.999, 0.002), images=15, as_labelled=4, as_seen=6),
    mnist_worst=[],
    strokes=STROKES,
)


def record(held_out: tuple[int, ...], stroke_copies: int = 16) -> TrainingRun:
    return TrainingRun(
        schema_version=1,
        recipe="strokes",
        command="livedigit train --seed 5",
        created="2026-01-01T00:00:00Z",
        seed=5,
        epochs=1,
        duration_s=1.0,
        parameters=1,
        weights_sha256="0" * 64,
        labels=(),
        preprocessing=None,
        config={"held_out_writers": held_out, "stroke_copies": stroke_copies},
        datasets=(),
        metrics={},
        tools={},
    )


def test_a_card_names_use_data_figures_and_limits() -> None:
    text = describe(ALL, None)
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Intended use", "## Data", "## Evaluation", "## Known limits"]
    for said in ("CC BY 4.0", "99.60%", "99.90%", "98.50%", "10 px pen", "| 5 | 97.00% |", "0.9910", "0.9500", "1.45%"):
        assert said in text, said


@pytest.mark.parametrize(("held_out", "expected"), [((5, 10), True), ((), False)])
def test_writers_are_called_unseen_where_the_run_held_some_out(held_out: tuple[int, ...], expected: bool) -> None:
    text = describe(ALL, record(held_out))
    assert "livedigit train --seed 5" in text
    assert ("has not seen these writers" in text) == expected
    assert ("has learnt from these writers" in text) != expected


def test_writers_are_called_unseen_where_the_run_learnt_from_no_strokes() -> None:
    assert "has not seen these writers" in describe(ALL, record((), stroke_copies=0))


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    tables = [part for part in describe(ALL, None).split("\n\n") if part.startswith("|")]
    assert len(tables) == 4
    for table in tables:
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1


def test_figures_without_strokes_make_a_card_too() -> None:
    assert "Condition" not in describe(
        Assessment(model="a/1", mnist=GOOD, mnist_disputed=None, mnist_worst=[], strokes=None), None
    )


def test_writers_are_not_called_unseen_where_some_of_them_were_learnt_from() -> None:
    judged = msgspec.structs.replace(ALL, strokes=msgspec.structs.replace(STROKES, writers=(1, 5, 10)))
    assert "has not seen" not in describe(judged, record((5, 10)))


def test_no_writers_are_called_unseen_where_none_were_asked_about() -> None:
    text = describe(msgspec.structs.replace(ALL, strokes=None), record((5, 10)))
    assert "these writers" not in text
