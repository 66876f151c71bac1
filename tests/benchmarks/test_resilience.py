"""The scenarios in small: that they run, and that they can fail."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys

import pytest

from benchmarks.client import Fault, Outcome
from benchmarks.load import Tally
from benchmarks.report import Figure, at_least, at_most, exactly, make_report
from benchmarks.resilience.memory import MemoryWatch
from benchmarks.resilience.mutations import MAKERS, make_case, mend_checksums


def tally_of(*outcomes: Outcome) -> Tally:
    tally = Tally()
    for outcome in outcomes:
        tally.add(outcome)
    return tally


def test_a_tally_counts_what_was_lost_and_what_was_never_accepted():
    tally = tally_of(
        Outcome(200, 0.1, 1.0),
        Outcome(503, 0.2, 2.0),
        Outcome(0, 0.3, 3.0, Fault.REFUSED),
        Outcome(0, 0.4, 4.0, Fault.DROPPED),
        Outcome(0, 0.5, 5.0, Fault.LATE),
    )
    assert (tally.sent, tally.lost, tally.unlike(200, 503)) == (5, 2, 3)
    assert tally.latency_ms(1.0) == 200.0


def test_the_longest_gap_is_between_successes_and_the_ends():
    tally = tally_of(*(Outcome(200, 0.0, ended) for ended in (1.0, 2.0, 2.5)), Outcome(503, 0.0, 4.0))
    assert tally.longest_gap_s(1.5, 5.0) == 2.5
    assert Tally().longest_gap_s(0.0, 7.0) == 7.0


@pytest.mark.parametrize(
    ("figure", "passed"),
    [
        (exactly("x", 0, 0), True),
        (exactly("x", 1, 0), False),
        (at_least("x", 2, 3), False),
        (at_most("x", 2.0, 2.0), True),
        (at_most("x", math.inf, 2.0), False),
        (at_most("x", math.nan, 2.0), False),
        (Figure("x", 1), True),
    ],
)
def test_one_missed_target_fails_the_report(figure, passed):
    assert make_report("x", [exactly("met", 0, 0), figure]).passed is passed


@pytest.mark.parametrize(("samples", "passed"), [([100.0] * 10, True), ([100, 101, 102, 103, 106], False)])
def test_memory_that_grows_is_noticed(samples, passed):
    watch = MemoryWatch()
    watch.samples = samples
    assert all(figure.passed for figure in watch.figures()) is passed


def test_a_case_is_the_same_whatever_ran_before():
    cases = [make_case(7, number) for number in range(40)]
    assert [make_case(7, number) for number in reversed(range(40))] == cases[::-1]
    assert make_case(8, 0) != cases[0]
    assert {make_case(7, number).kind for number in range(200)} == set(MAKERS)


def test_every_case_is_one_whole_request():
    for number in range(300):
        head, found, body = make_case(3, number).request.partition(b"\r\n\r\n")
        assert found
        length = re.search(rb"^Content-Length: (\d+)\r?$", head, re.MULTILINE)
        assert len(body) == (int(length[1]) if length else 0)


def test_checksums_are_mended(encode_png):
    content = bytearray(encode_png)
    content[20] ^= 1
    assert mend_checksums(bytes(content)) != bytes(content)
    assert mend_checksums(encode_png) == encode_png
    assert mend_checksums(b"no png") == b"no png"


@pytest.fixture
def encode_png() -> bytes:
    from benchmarks.payloads import drawings, encode

    return encode(drawings()[0])


@pytest.mark.parametrize(
    "arguments",
    [
        ["soak", "--minutes", "0.01"],
        ["swaps", "--count", "6"],
        ["sigterm", "--rounds", "1"],
        ["fuzz", "--cases", "100"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_scenario_runs_and_writes_its_report(repo_root, tmp_path, arguments):
    file = tmp_path / "report.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "resilience", *arguments, "--json", str(file)],
        cwd=repo_root,
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(file.read_text())
    assert report["scenario"] == f"resilience {arguments[0]}"
    assert done.returncode == (0 if report["passed"] else 1), done.stderr
    # Speed and memory mean nothing in so short a run; what must not happen must not happen in it either.
    counts = {figure["name"]: figure for figure in report["figures"] if figure["target"] == "0"}
    assert counts
    assert all(figure["passed"] for figure in counts.values()), done.stdout
