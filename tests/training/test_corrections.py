"""Corrections as the page saves them and as the server keeps them, read to be learnt from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from service.contract import CorrectionRequest
from service.corrections import open_corrections
from service.settings import Settings
from training.checkpoints import Progress, read_progress, write_progress
from training.cli import train as train_command
from training.config import BASELINE, STROKES, find_recipe
from training.corrections import DRAWN_PER_EPOCH, load_corrections, make_correction_pools
from training.errors import DataError, NothingToResume
from training.pools import Pool

ONE = {"name": "one", "label": "1", "strokes": [[[140, 40], [138.5, 240]]]}
RECIPE = msgspec.structs.replace(STROKES, stroke_copies=6)


def write(path: Path, *drawings: dict[str, Any]) -> Path:
    path.write_text(json.dumps(drawings))
    return path


def ignore(_: str) -> None:
    pass


def test_the_pages_file_is_read_whole(repo_root: Path, drawings: list[dict[str, Any]]) -> None:
    """The project's own drawings are such a file."""
    path = repo_root / "tests/fixtures/strokes/digits.json"
    corrections = load_corrections([path], RECIPE)
    assert [str(digit.label) for digit in corrections.digits] == [drawing["label"] for drawing in drawings]
    assert [stroke.tolist() for stroke in corrections.digits[3].strokes] == drawings[3]["strokes"]
    (record,) = corrections.records
    assert (record.name, record.examples) == ("Corrections", len(drawings))
    assert record.sha256 == {"digits.json": hashlib.sha256(path.read_bytes()).hexdigest()}


async def keep(folder: Path, *drawings: dict[str, Any]) -> None:
    store = open_corrections(Settings(feedback_dir=str(folder)))
    assert store
    for drawing in drawings:
        await store.keep(msgspec.convert(drawing, CorrectionRequest), None)
    store.close()


def test_the_servers_folder_is_read_once_a_person_has_moved_it(tmp_path: Path) -> None:
    import asyncio

    asyncio.run(keep(tmp_path / "feedback", ONE, ONE | {"label": "7"}, ONE | {"name": "two"}))
    with pytest.raises(DataError, match="nobody has checked"):
        load_corrections([tmp_path / "feedback/quarantine"], RECIPE)
    (tmp_path / "feedback/quarantine").rename(tmp_path / "checked")
    corrections = load_corrections([tmp_path / "checked"], RECIPE)
    assert [digit.label for digit in corrections.digits] == [7, 1], "the second thought counts"
    assert list(corrections.records[0].sha256) == ["checked"]


def test_several_are_read_in_their_order(tmp_path: Path) -> None:
    first = write(tmp_path / "a.json", ONE, ONE | {"name": "two", "label": "2"})
    second = write(tmp_path / "b.json", ONE | {"label": "9"})
    corrections = load_corrections([first, second], RECIPE)
    assert [digit.label for digit in corrections.digits] == [9, 2]
    assert [record.examples for record in corrections.records] == [2, 1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "truncated"),
        (b"\xff\xfe", "not corrections"),
        (b"{}", "array"),
        (b"[]", "no drawing"),
        (b"[" * 100_000, "not corrections"),
        (json.dumps([ONE | {"label": "10"}]).encode(), "label"),
        (json.dumps([ONE | {"label": 1}]).encode(), "label"),
        (json.dumps([ONE | {"strokes": []}]).encode(), "strokes"),
        (json.dumps([ONE | {"strokes": [[[1, 281]]]}]).encode(), r"\$\[0\]\.strokes"),
        (json.dumps([ONE | {"strokes": [[[1, float("nan")]]]}]).encode(), "malformed"),
        (json.dumps([ONE, {"name": "two", "label": "2"}]).encode(), r"\$\[1\]"),
    ],
)
def test_a_file_with_anything_wrong_is_refused_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "corrections.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        load_corrections([path], RECIPE)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_an_empty_folder_and_a_recipe_without_strokes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.json"):
        load_corrections([tmp_path], RECIPE)
    with pytest.raises(DataError, match="MNIST alone"):
        load_corrections([write(tmp_path / "a.json", ONE)], BASELINE)


def test_each_is_drawn_in_several_ways_and_shown_in_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = write(tmp_path / "a.json", ONE, ONE | {"name": "two", "label": "2"})
    (pool,) = make_correction_pools(RECIPE, 1, load_corrections([path], RECIPE).digits, ignore)
    assert pool.images.shape == (12, 28, 28)
    assert pool.labels.tolist() == [1, 2] * 6
    assert pool.per_epoch == 2 * DRAWN_PER_EPOCH
    assert len(np.unique(pool.images, axis=0)) == 12


def test_without_any_there_is_nothing_to_show() -> None:
    assert load_corrections([], BASELINE) == ([], ())
    assert make_correction_pools(RECIPE, 1, [], ignore) == []


def test_a_run_is_resumed_with_the_corrections_that_it_began_with(tmp_path: Path) -> None:
    extra = load_corrections([write(tmp_path / "a.json", ONE)], RECIPE).records
    begun = Progress(recipe=RECIPE, seed=1, extra=extra)
    write_progress(tmp_path, begun)
    assert read_progress(tmp_path, begun).extra == extra
    with pytest.raises(NothingToResume, match="--extra"):
        read_progress(tmp_path, Progress(recipe=RECIPE, seed=1))


def test_progress_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_bytes(b'{"recipe": {"name": "\xff"}}')
    with pytest.raises(NothingToResume, match=r"progress\.json: cannot be read"):
        read_progress(tmp_path, Progress(recipe=RECIPE, seed=1))


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_run_says_what_it_has_learnt_from(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from training import train as training

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # The recipe's own pools and the fit take long, and are tested elsewhere.
    digits = Pool(np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.int64), np.arange(1), 1)
    monkeypatch.setattr(training, "make_pools", lambda *_: [digits])
    learnt: list[Pool] = []

    def fit(_: object, pools: list[Pool], *arguments: Any) -> None:
        learnt.extend(pools)
        arguments[-1].history.append({})

    monkeypatch.setattr(training, "fit", fit)
    path = write(tmp_path / "corrections.json", ONE)
    recipe = msgspec.structs.replace(find_recipe("strokes", 1), batch_norm=False)
    order = training.Order(recipe, tiny_data, tmp_path / "out", "bars", 1, seed=7, extra=(path,))
    run = training.train(order, report=ignore)
    assert [record.name for record in run.datasets][2] == "Corrections"
    assert run.command.endswith(" --extra corrections.json")
    assert str(tmp_path) not in msgspec.json.encode(run).decode()
    first, corrections = learnt
    assert first is digits
    assert set(corrections.labels) == {1}
    assert corrections.images.any()


def test_the_command_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(train_command, ["--extra", str(tmp_path / "missing.json")])
    assert result.exit_code == 2
    assert "does not exist" in result.output
