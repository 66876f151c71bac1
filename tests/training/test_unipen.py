from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.errors import DataError
from training.unipen import download_pen_file, load_pen_digits, parse_unipen

RECORDING = """.INCLUDE dene.doc
.HIERARCHY DIGIT

.SEGMENT DIGIT    0 ? "8"
.COMMENT 8 12  224
.PEN_DOWN
 267  333
 267  336
.PEN_UP
.DT 100
.PEN_DOWN
 100  400
.PEN_UP
.DT 100

.SEGMENT DIGIT    1 ? "2"
.COMMENT 2 26   54
.PEN_DOWN
 1 2
.PEN_UP
.DT 100
"""


def test_segments_give_label_writer_and_strokes_with_y_downwards() -> None:
    first, second = parse_unipen(RECORDING, Path("pen"))
    assert (first.label, first.writer, second.label, second.writer) == (8, 12, 2, 26)
    np.testing.assert_array_equal(first.strokes[0], [[267, 167], [267, 164]])
    assert [len(stroke) for stroke in first.strokes] == [2, 1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" 1 2\n.PEN_UP", " 1 2"),
        (" 1 2\n", " 1\n"),
        (" 1 2\n", " 1 x\n"),
        (" 1 2\n", ""),
        (".COMMENT 2 26   54", ""),
        ('? "2"', ""),
    ],
)
def test_a_damaged_digit_is_named(old: str, new: str) -> None:
    with pytest.raises(DataError, match="pen, digit 1"):
        parse_unipen(RECORDING.replace(old, new), Path("pen"))


def test_another_kind_of_file_is_refused() -> None:
    with pytest.raises(DataError, match="not the original recording"):
        parse_unipen("47,100,27,81,57,37,26,0,0,23,56,53,100,90,40,98, 8\n", Path("pen"))


def test_a_missing_recording_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"archive\.ics\.uci\.edu"):
        load_pen_digits(tmp_path)


@pytest.mark.tensorflow
def test_a_download_of_something_else_is_refused_and_removed(tmp_path: Path) -> None:
    (tmp_path / "pendigits-orig.tra").write_text(RECORDING)
    with pytest.raises(DataError, match="not the recording"):
        download_pen_file((tmp_path / "pendigits-orig.tra").as_uri(), tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.tra"))


@pytest.mark.data
def test_the_recording_has_thirty_writers(data_dir: Path) -> None:
    said: list[str] = []
    digits, record = load_pen_digits(data_dir, said.append)
    assert said == []
    assert record.examples == len(digits) == 7494
    assert len({digit.writer for digit in digits}) == 30
    points = np.concatenate([stroke for digit in digits for stroke in digit.strokes])
    assert points.min() >= 0
    assert points.max() <= 500


@pytest.mark.parametrize("lines", [1, 4], ids=["its end", "its last stroke"])
def test_a_last_digit_that_is_cut_short_is_refused(lines: int) -> None:
    """Cut where a stroke ends, so that what is left looks whole."""
    last = '.SEGMENT DIGIT 2-3 ? "7"\n.COMMENT 7 5 1\n' + 2 * ".PEN_DOWN\n 1 2\n.PEN_UP\n.DT 100\n"
    assert len(parse_unipen(RECORDING + last, Path("pen"))) == 3
    whole = (RECORDING + last).splitlines(keepends=True)
    with pytest.raises(DataError, match=r"cut short|1 of its strokes 2-3"):
        parse_unipen("".join(whole[:-lines]), Path("pen"))


def test_a_recording_need_not_say_when_strokes_end() -> None:
    assert len(parse_unipen(RECORDING.replace(".DT 100\n", ""), Path("pen"))) == 2


def test_another_recording_than_the_published_one_is_counted(tmp_path: Path) -> None:
    (tmp_path / "pendigits-orig.tra").write_text(RECORDING)
    said: list[str] = []
    load_pen_digits(tmp_path, said.append)
    assert ["2 digits of 2 writers" in line for line in said] == [True]
