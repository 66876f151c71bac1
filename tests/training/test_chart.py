from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from tests.training.test_describe import ALL
from training.chart import main


def write_report(path: Path, **changes: object) -> Path:
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(ALL, **changes)))
    return path


def test_the_same_reports_give_the_same_chart_with_their_names(tmp_path: Path) -> None:
    report = write_report(tmp_path / "report.json")
    pictures = []
    for name in ("a.svg", "b.svg"):
        result = CliRunner().invoke(main, [str(tmp_path / name), f"old={report}", f"new={report}"])
        assert result.exit_code == 0, result.output
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
    assert b"10 px pen" in pictures[0]


def test_a_report_without_strokes_is_refused(tmp_path: Path) -> None:
    report = write_report(tmp_path / "report.json", strokes=None)
    result = CliRunner().invoke(main, [str(tmp_path / "a.svg"), f"old={report}"])
    assert (result.exit_code, "no figures on pen strokes" in result.output) == (1, True)


@pytest.mark.parametrize("content", [b"[]", b'{"model": "\xff"}'])
def test_what_is_no_report_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "report.json").write_bytes(content)
    result = CliRunner().invoke(main, [str(tmp_path / "a.svg"), f"old={tmp_path / 'report.json'}"])
    assert (result.exit_code, "report.json: not a report" in result.output) == (1, True)


def test_a_report_without_a_name_is_a_usage_error(tmp_path: Path) -> None:
    report = write_report(tmp_path / "report.json")
    result = CliRunner().invoke(main, [str(tmp_path / "a.svg"), str(report)])
    assert (result.exit_code, "expected NAME=REPORT" in result.output) == (2, True)


def test_a_chart_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    report = write_report(tmp_path / "report.json")
    result = CliRunner().invoke(main, [str(tmp_path / "missing" / "a.svg"), f"old={report}"])
    assert (result.exit_code, "a.svg: cannot be written" in result.output) == (1, True)


def test_two_reports_of_one_name_are_a_usage_error(tmp_path: Path) -> None:
    """One of them would be missing from the chart."""
    report = write_report(tmp_path / "report.json")
    result = CliRunner().invoke(main, [str(tmp_path / "a.svg"), f"old={report}", f"old={report}"])
    assert (result.exit_code, "a different NAME for each report" in result.output) == (2, True)


def test_a_format_that_cannot_be_drawn_is_a_usage_error(tmp_path: Path) -> None:
    report = write_report(tmp_path / "report.json")
    result = CliRunner().invoke(main, [str(tmp_path / "a.doc"), f"old={report}"])
    assert (result.exit_code, "cannot be drawn as doc: expected one of" in result.output) == (2, True)
