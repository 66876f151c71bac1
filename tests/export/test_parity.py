"""The gates, on arrays made for the purpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from export import parity
from export.parity import EPS, NO_DIFFERENCES, GateResult

LOGITS = np.array([[4.0, 1.0, -2.0], [0.5, 3.0, 2.0]])


def test_equal_logits_pass_every_gate() -> None:
    single = LOGITS.astype(np.float32)
    results = [
        parity.judge_meaning("set", 1, LOGITS, LOGITS),
        parity.judge_rounding("set", 1, single, single, LOGITS),
        parity.judge_decision("set", 1, single, LOGITS, parity.rounding_bounds(LOGITS, 64))[0],
        parity.judge_probabilities("set", 1, parity.softmax(LOGITS).astype(np.float32), single),
    ]
    assert all(result.passed for result in results)


@pytest.mark.parametrize(("relative", "passed"), [(0.5, True), (2.0, False)])
def test_meaning_is_relative_to_the_largest_logit(relative: float, passed: bool) -> None:
    graph = LOGITS.copy()
    graph[0, 2] += 4.0 * relative * parity.MEANING_LIMIT
    result = parity.judge_meaning("set", 1, graph, LOGITS)
    assert result.passed is passed
    assert result.worst_row == 0


def test_rounding_past_the_limit_passes_where_tensorflow_rounds_as_much() -> None:
    truth = LOGITS
    rough = truth.copy()
    rough[:, 0] += 100 * EPS * parity.row_scale(truth)
    assert not parity.judge_rounding("set", 1, rough, truth, truth).passed
    assert parity.judge_rounding("set", 1, rough, rough, truth).passed


def test_no_rounding_of_tensorflow_s_excuses_another_function() -> None:
    other = LOGITS + 0.1
    assert not parity.judge_rounding("set", 1, other, other, LOGITS).passed


def test_a_label_turned_at_a_wide_margin_fails() -> None:
    turned = LOGITS[:, ::-1]
    result, ties = parity.judge_decision("set", 1, turned, LOGITS, parity.rounding_bounds(LOGITS, 64))
    assert not result.passed
    assert result.measured == 1
    assert ties == []


def test_a_label_turned_in_a_near_tie_is_listed_not_counted() -> None:
    truth = np.array([[1.0, 1.0 + EPS, 0.0]])
    bounds = parity.rounding_bounds(truth, 64)
    result, ties = parity.judge_decision("set", 7, np.array([[1.0 + EPS, 1.0, 0.0]]), truth, bounds)
    assert result.passed
    assert [(tie.row, tie.batch, tie.flipped) for tie in ties] == [(0, 7, True)]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_no_numbers_never_pass(wrong: float) -> None:
    broken = LOGITS.copy()
    broken[1, 1] = wrong
    assert not parity.judge_meaning("set", 1, broken, LOGITS).passed
    assert not parity.judge_rounding("set", 1, broken, LOGITS, LOGITS).passed
    assert not parity.judge_probabilities("set", 1, broken, LOGITS).passed


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_rows_that_are_no_numbers_are_counted(wrong: float) -> None:
    """JSON has no infinity: a report that held one could not be read back."""
    broken = LOGITS.copy()
    broken[1, 1] = wrong
    result = parity.judge_meaning("set", 1, broken, LOGITS)
    assert (result.measured, result.limit, result.worst_row) == (1.0, 0.0, 1)
    assert parity.worst([failing("meaning"), result], "meaning") is result
    assert "rows of infinity or not-a-number on set (1)" in parity.summarize([result], NO_DIFFERENCES)


def test_a_kernel_that_overflows_is_suspected() -> None:
    broken = np.where(LOGITS > 3, np.inf, LOGITS)
    results = [
        parity.judge_meaning("set", 1, LOGITS, LOGITS),
        parity.judge_rounding("set", 1, broken, LOGITS, LOGITS),
        parity.judge_probabilities("set", 1, parity.softmax(LOGITS), np.full_like(LOGITS, np.nan)),
    ]
    summary = parity.summarize(results, NO_DIFFERENCES)
    assert summary.startswith("Not in the graph")
    assert "rows of infinity or not-a-number" in summary


def test_a_second_softmax_is_seen() -> None:
    twice = parity.softmax(parity.softmax(LOGITS))
    assert not parity.judge_probabilities("set", 1, twice, LOGITS).passed


def test_logits_that_are_all_zero_are_compared_without_a_division_by_zero() -> None:
    zeros = np.zeros((2, 3))
    assert parity.judge_meaning("set", 1, zeros, zeros).passed
    assert not parity.judge_meaning("set", 1, zeros + 1e-6, zeros).passed


@given(arrays.arrays(np.float64, (3, 4), elements=st.floats(-40, 40)))
def test_errors_do_not_depend_on_the_scale_of_the_logits(logits: np.ndarray) -> None:
    """A power of two, so that the scaling itself rounds nothing; too near each other for a mask."""
    noisy = logits + 1e-3
    scaled = parity.relative_errors(noisy * 2.0**-20, logits * 2.0**-20)
    large = np.abs(logits).max(axis=1) > 1e-6
    assert np.allclose(scaled[large], parity.relative_errors(noisy, logits)[large], rtol=1e-9)


def test_a_masked_label_does_not_hide_the_others() -> None:
    """Relative to a mask of -1e9 all other logits are alike."""
    masked = np.concatenate([LOGITS, np.full((2, 1), -1e9)], axis=1)
    other = masked[:, [1, 0, 2, 3]]
    assert not parity.judge_meaning("set", 1, other, masked, parity.FOLDED_MEANING_LIMIT).passed
    assert not parity.judge_rounding("set", 1, other, masked, masked).passed
    assert not parity.judge_decision("set", 1, other, masked, parity.rounding_bounds(masked, 64))[0].passed


def test_a_masked_label_s_own_rounding_is_relative_to_the_mask() -> None:
    masked = np.concatenate([LOGITS, np.full((2, 1), -1e9)], axis=1)
    rounded = masked - np.array([0, 0, 0, 60.0])
    assert parity.judge_rounding("set", 1, rounded, masked, masked).passed


def test_a_label_far_behind_in_one_row_is_not_masked() -> None:
    """The sums behind a row of large logits round by the largest of them."""
    assert parity.row_scale(np.array([[50.0, -2000.0], [1.0, 2.0]])).tolist() == [2000.0, 2.0]


def failing(gate: parity.Gate) -> GateResult:
    return parity.judge(gate, "noise", 1, np.array([1.0]), 1e-9, "eps")


@pytest.mark.parametrize(
    ("gates", "begins"),
    [
        (("meaning", "rounding", "decision"), "Yes, a bug: in float64"),
        (("probabilities",), "Yes, a bug: the probabilities"),
        (("rounding",), "Not in the graph"),
        (("decision",), "Yes, a bug: labels differ"),
        ((), "They agree"),
    ],
)
def test_the_summary_answers_whether_it_is_a_bug(gates: tuple[parity.Gate, ...], begins: str) -> None:
    summary = parity.summarize([failing(gate) for gate in gates], NO_DIFFERENCES, "layer `conv`")
    assert summary.startswith(begins)
    assert summary.endswith(".")


def test_the_summary_names_the_first_layer() -> None:
    assert "layer `conv`" in parity.summarize([failing("meaning")], NO_DIFFERENCES, "layer `conv`")
