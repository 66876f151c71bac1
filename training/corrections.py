"""Drawings that people have put right, as strokes to learn from beside the data sets.

Read from the file that the page saves, or from a folder of such files, as the server keeps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from service.contract import QUARANTINE, UNREADABLE_JSON, DatasetRecord, LabelledDrawing
from training.errors import DataError
from training.pools import CHUNK, Job, Pool, find_or_make, hash_bytes, hash_strokes, redraw_digits
from training.unipen import PenDigit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from training.config import Recipe

DRAWN_PER_EPOCH = 4
"""Times that an epoch shows each of them, every time drawn differently: a little more often than a recorded digit."""
NOBODY = 0
"""Stands for the writer, about whom nothing is known."""

decode_drawings = msgspec.json.Decoder(tuple[LabelledDrawing, ...]).decode


class Corrections(NamedTuple):
    """What is learnt beside the data sets, and where it comes from."""

    digits: list[PenDigit]
    """On the page's canvas, 0 to 280."""
    records: tuple[DatasetRecord, ...]


def load_corrections(paths: Sequence[Path], recipe: Recipe) -> Corrections:
    """Read files and folders in their order; of drawings with the same name the last one counts. Raises `DataError`."""
    if paths and not recipe.stroke_copies:
        raise DataError(f"recipe {recipe.name} learns from MNIST alone: choose one with strokes for --extra")
    drawings: dict[str, PenDigit] = {}
    records = []
    for path in paths:
        contents = dict(read_contents(path))
        found = {each.name: pen_digit(each) for file, content in contents.items() for each in parse(file, content)}
        drawings |= found
        records.append(describe(path, contents, len(found)))
    return Corrections(list(drawings.values()), tuple(records))


def read_contents(path: Path) -> Iterator[tuple[Path, bytes]]:
    """Read a file, or every .json file of a folder by name. Raises `DataError`."""
    if path.resolve().name == QUARANTINE:
        raise DataError(f"{path}: nobody has checked these: move those that are right to another folder and name it")
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{path}: holds no .json file: expected corrections as the page or the server saves them")
    for file in files:
        try:
            yield file, file.read_bytes()
        except OSError as error:
            raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def parse(file: Path, content: bytes) -> tuple[LabelledDrawing, ...]:
    """Read a list of drawings. Raises `DataError` where anything in it is not as it should be."""
    try:
        drawings = decode_drawings(content)
    except UNREADABLE_JSON as error:
        raise DataError(f"{file}: not corrections as the page saves them: {error}") from error
    if not drawings:
        raise DataError(f"{file}: holds no drawing")
    return drawings


def pen_digit(drawing: LabelledDrawing) -> PenDigit:
    """Make of a drawing what a recording would have given."""
    return PenDigit(int(drawing.label), NOBODY, tuple(np.array(stroke, np.float64) for stroke in drawing.strokes))


def describe(path: Path, contents: dict[Path, bytes], examples: int) -> DatasetRecord:
    """Say for `run.json` what was read; a folder's hash is that of its files, one after the other."""
    name = path.resolve().name
    digest = hash_bytes(b"".join(contents.values()))
    return DatasetRecord(name="Corrections", split="train", examples=examples, sha256={name: digest})


def make_correction_pools(
    recipe: Recipe, seed: int, digits: Sequence[PenDigit], report: Callable[[str], None]
) -> list[Pool]:
    """Make the pool of corrections, drawn as often as a recipe draws recorded digits; none without any."""
    if not digits:
        return []
    images = find_or_make(plan_corrections(recipe, seed, digits), report)
    labels = np.tile([digit.label for digit in digits], recipe.stroke_copies)
    per_epoch = min(len(labels), DRAWN_PER_EPOCH * len(digits))
    return [Pool(images, labels, np.arange(len(labels)), per_epoch)]


def plan_corrections(recipe: Recipe, seed: int, digits: Sequence[PenDigit]) -> Job:
    """Plan so many drawings of every correction."""
    calls = [
        (redraw_digits, (digits[start : start + CHUNK], (seed, 5, copy, start)))
        for copy in range(recipe.stroke_copies)
        for start in range(0, len(digits), CHUNK)
    ]
    return Job("corrections", (seed, recipe.stroke_copies, hash_strokes(digits)), calls)
