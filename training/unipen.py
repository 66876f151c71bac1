"""Pen-Based Recognition of Handwritten Digits: recorded strokes with their writers, read from UNIPEN.

Source: E. Alpaydin, Fevzi Alimoglu, UCI Machine Learning Repository, doi 10.24432/C5MG6K (CC BY 4.0);
the UNIPEN format, I. Guyon et al., 1994.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.contract import DatasetRecord
from training.data import download, find_packed, hash_file, read_unpacked
from training.errors import DataError

PEN_FILE = "pendigits-orig.tra"
PEN_URL = f"https://archive.ics.uci.edu/ml/machine-learning-databases/pendigits/{PEN_FILE}.Z"
PEN_SHA256 = "a66225d68d7d68591e62944df1ad33b3f5aa608e2df2505844b41f5568a80da4"
"""Of the recording when unpacked."""
PEN_DIGITS = 7494
TABLET_SIZE = 500
"""Side of the square in which the writers wrote, in the recording's units."""

Stroke = NDArray[np.float64]
"""(n, 2): x to the right, y downwards."""


class PenDigit(NamedTuple):
    """A digit as it was written."""

    label: int
    writer: int
    strokes: tuple[Stroke, ...]
    """In tablet units, 0 to 500 from the left and from the top."""


def load_pen_digits(
    data_dir: Path | None, report: Callable[[str], None] = print
) -> tuple[list[PenDigit], DatasetRecord]:
    """Read the 30 training writers from `data_dir` or its folder `pendigits`; None downloads the recording.

    Says how many digits were read where it is another recording, or a part of that one. Raises `DataError`.
    """
    path = find_pen_file(data_dir) if data_dir else download_pen_file()
    if path is None:
        raise DataError(
            f"{data_dir}: no {PEN_FILE}, {PEN_FILE}.gz or {PEN_FILE}.Z here or in its folder pendigits: "
            f"fetch {PEN_URL}, or name no folder to have everything downloaded"
        )
    content = read_unpacked(path)
    digits = parse_unipen(content.decode("ascii", errors="replace"), path)
    if hashlib.sha256(content).hexdigest() != PEN_SHA256:
        writers = len({digit.writer for digit in digits})
        report(f"{path}: {len(digits):,} digits of {writers} writers; not the published recording of {PEN_DIGITS:,}")
    record = DatasetRecord(
        name="Pen-Based Recognition of Handwritten Digits",
        split="train",
        examples=len(digits),
        sha256={path.name: hash_file(path)},
    )
    return digits, record


def choose_writers(digits: Sequence[PenDigit], writers: Sequence[int]) -> list[PenDigit]:
    """List the digits of some writers. Raises `DataError` where there is none."""
    chosen = [digit for digit in digits if digit.writer in writers]
    if not chosen:
        raise DataError(
            f"the pen strokes hold no digit by the writers {', '.join(map(str, writers))}, whom models are judged by: "
            f"use the whole of {PEN_FILE}"
        )
    return chosen


def find_pen_file(data_dir: Path) -> Path | None:
    """Find the recording in `data_dir` or its folder `pendigits`."""
    return next(
        (path for folder in (data_dir, data_dir / "pendigits") if (path := find_packed(folder, PEN_FILE))), None
    )


def download_pen_file(url: str = PEN_URL, cache_dir: Path | None = None) -> Path:
    """Fetch the recording into the cache where it is not yet there. Raises `DataError`."""
    path = download(url, None, "pendigits", cache_dir)
    if hashlib.sha256(read_unpacked(path)).hexdigest() != PEN_SHA256:
        path.unlink()
        raise DataError(f"{url}: not the recording that was expected: fetch it by other means and use --data-dir")
    return path


def parse_unipen(text: str, path: Path) -> list[PenDigit]:
    """Read every segment. Raises `DataError` where one is not whole."""
    segments = text.split(".SEGMENT DIGIT")[1:]
    if segments and ".DT" in text and ".DT" not in segments[-1].rpartition(".PEN_UP")[2]:
        raise DataError(f"{path}: cut short within the last digit, which no .DT ends: download the file again")
    digits = [parse_segment(segment, f"{path}, digit {number}") for number, segment in enumerate(segments)]
    if not digits:
        raise DataError(f"{path}: holds no .SEGMENT DIGIT: not the original recording of the pen digits")
    return digits


def parse_segment(segment: str, place: str) -> PenDigit:
    """Read a label, a writer, and the points between each .PEN_DOWN and .PEN_UP.

    A segment begins with the numbers of its strokes, such as `12` or `12-13`. Raises `DataError`.
    """
    numbers = re.match(r"\s*(\d+)(?:-(\d+))?\s", segment)
    label = re.search(r'\?\s*"(\d)"', segment)
    writer = re.search(r"\.COMMENT\s+\d+\s+(\d+)", segment)
    strokes = re.findall(r"\.PEN_DOWN\n(.*?)\.PEN_UP", segment, re.DOTALL)
    if not (label and writer and strokes) or segment.count(".PEN_DOWN") != len(strokes):
        raise DataError(f"{place}: cut short or damaged: download the file again")
    if numbers and len(strokes) <= int(numbers[2] or numbers[1]) - int(numbers[1]):
        raise DataError(
            f"{place}: {len(strokes)} of its strokes {numbers[0].strip()} are there: download the file again"
        )
    return PenDigit(int(label[1]), int(writer[1]), tuple(parse_points(points, place) for points in strokes))


def parse_points(text: str, place: str) -> Stroke:
    """Read points, and turn y, which UNIPEN counts upwards, downwards. Raises `DataError`."""
    try:
        points = np.array(text.split(), np.float64).reshape(-1, 2)
    except ValueError as error:
        raise DataError(f"{place}: a point is not two numbers: download the file again") from error
    if not len(points):
        raise DataError(f"{place}: a stroke without points: download the file again")
    return points * (1, -1) + (0, TABLET_SIZE)
