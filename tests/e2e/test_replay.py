"""Drawings of real writers, drawn again on the real page."""

from __future__ import annotations

import random
import statistics
from pathlib import Path
from typing import Any

import pytest

from training.strokes import place_as_drawn
from training.unipen import load_pen_digits

pytestmark = [pytest.mark.browser, pytest.mark.data]

# A model that has seen MNIST alone reads about nine of ten: below this the page sends something else than is drawn.
MIN_ACCURACY = 0.75
SEED = 7
FEW = 20


@pytest.mark.timeout(3600)
def test_recorded_drawings_are_read_on_the_page(
    page: Any, data_dir: Path, request: pytest.FixtureRequest, record_property: Any, capsys: Any
) -> None:
    """`pytest tests/e2e/test_replay.py --replay=300` measures accuracy, and time from pen-up to answer on screen."""
    digits, _ = load_pen_digits(data_dir)
    chosen = random.Random(SEED).sample(digits, request.config.getoption("--replay", FEW))
    page.find("#debug-toggle").click()
    right, latencies = 0, []
    for digit in chosen:
        page.tab.keyboard.press("Escape")
        page.expect_blank()
        for stroke in place_as_drawn(digit):
            page.draw_stroke(stroke.tolist())
        page.wait_for("document.getElementById('latency').textContent !== ''")
        right += page.find("#digit").inner_text() == str(digit.label)
        latencies.append(float(page.find("#latency").inner_text().split()[1]))
    accuracy = right / len(chosen)
    p50, p95 = statistics.median(latencies), statistics.quantiles(latencies, n=20)[-1]
    with capsys.disabled():
        print(  # noqa: T201
            f"\n{len(chosen)} drawings: {accuracy:.1%} right, pen-up to answer p50 {p50:.0f} ms, p95 {p95:.0f} ms"
        )
    assert accuracy >= MIN_ACCURACY
