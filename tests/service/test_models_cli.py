from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.artifacts import choose_version
from service.cli import livedigit
from service.versions import list_versions


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(livedigit, ["models", *arguments])


def exit_code(result: Result) -> int | None:
    return getattr(result.exception, "exit_code", None)


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """Folders named like five versions."""
    for version in range(1, 6):
        (tmp_path / "digits" / str(version)).mkdir(parents=True)
    return tmp_path


def test_models_list_shows_versions_and_verdicts():
    rows = json.loads(invoke("list", "--json").output)
    assert rows[0]["name"] == "digits"
    assert [row["served"] for row in rows].count(True) == 1
    assert {row["parity"] for row in rows} == {"agree"}
    assert "digits" in invoke("list").output


def test_models_list_shows_a_broken_version_with_its_fault_and_never_as_served(models_dir, publish, spoil):
    spoil(publish(2))
    (publish(3) / "manifest.json").unlink()
    place = ("--models-dir", str(models_dir))
    rows = json.loads(invoke("list", "--json", *place).output)
    assert [(row["version"], row["served"]) for row in rows] == [(1, False), (2, False), (3, False)]
    assert rows[0]["fault"] == ""
    assert "sha256" in rows[1]["fault"]
    assert "manifest.json" in rows[2]["fault"]
    assert rows[0].keys() == rows[1].keys()
    lines = invoke("list", *place).output.splitlines()
    assert [line.partition(":")[0] for line in lines[-2:]] == ["digits 2", "digits 3"]


def test_models_list_goes_on_where_the_pin_names_no_version(models_dir):
    (models_dir / "digits/pinned").write_text("9")
    result = invoke("list", "--json", "--models-dir", str(models_dir))
    assert [(row["version"], row["served"]) for row in json.loads(result.stdout)] == [(1, False)]
    assert "not 9" in result.stderr


def test_models_check_accepts_a_sound_version_and_refuses_a_spoilt_one(published, models_dir):
    assert "intact" in invoke("check", str(published)).output
    (models_dir / "digits/1/model.onnx").write_bytes(b"")
    result = invoke("check", str(models_dir / "digits/1"))
    assert exit_code(result) == 4


def test_models_check_takes_a_version_that_is_a_link_and_one_under_foot(models_dir, tmp_path, monkeypatch):
    version = models_dir / "digits/1"
    monkeypatch.chdir(version)
    assert "intact" in invoke("check", ".").output
    version.symlink_to(version.rename(tmp_path / "stored"))
    assert "intact" in invoke("check", str(version)).output


def test_models_check_does_not_call_a_variant_s_answers_tensorflow_s(published, models_dir):
    assert "as TensorFlow did" in invoke("check", str(published)).output
    manifest = models_dir / "digits/1/manifest.json"
    variant = {"kind": "int8", "calibration_sha256": "0" * 64}
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"variant": variant}))
    assert "as this variant did" in invoke("check", str(models_dir / "digits/1")).output


def test_a_pin_decides_what_is_served_until_it_is_taken_back(versions):
    place = ("--models-dir", str(versions))
    assert "version 2 is pinned" in invoke("pin", "2", *place).output
    assert choose_version(versions, "digits") == 2
    assert "version 5 is the highest" in invoke("unpin", *place).output
    assert choose_version(versions, "digits") == 5


def test_a_version_that_is_not_there_cannot_be_pinned(versions):
    assert exit_code(invoke("pin", "9", "--models-dir", str(versions))) == 1
    assert choose_version(versions, "digits") == 5


def test_a_rollback_serves_the_version_before_and_again_the_one_before_that(versions):
    for expected in (4, 3, 2, 1):
        assert f"version {expected} is pinned" in invoke("rollback", "--models-dir", str(versions)).output
    assert exit_code(invoke("rollback", "--models-dir", str(versions))) == 1
    assert choose_version(versions, "digits") == 1


@pytest.fixture
def five_versions(models_dir: Path, publish: Callable[[int], Path]) -> Path:
    """Five versions that pass every check."""
    for version in range(2, 6):
        publish(version)
    return models_dir


def test_pruning_keeps_the_highest_and_the_one_to_serve(five_versions):
    folder, place = five_versions / "digits", ("--models-dir", str(five_versions))
    invoke("pin", "1", *place)
    assert (
        "versions 2, 3?" in CliRunner().invoke(livedigit, ["models", "prune", "--keep", "2", *place], input="n").output
    )
    assert list_versions(folder) == [1, 2, 3, 4, 5]
    invoke("prune", "--keep", "2", "--yes", *place)
    assert list_versions(folder) == [1, 4, 5]
    assert sorted(path.name for path in folder.iterdir()) == ["1", "4", "5", "pinned"]
    assert "nothing to delete" in invoke("prune", "--keep", "2", "--yes", *place).output


def test_of_a_version_that_is_a_link_only_the_link_is_deleted(five_versions, tmp_path):
    folder = five_versions / "digits"
    kept_elsewhere = (folder / "1").rename(tmp_path / "kept-elsewhere")
    (folder / "1").symlink_to(kept_elsewhere)
    invoke("prune", "--keep", "1", "--yes", "--models-dir", str(five_versions))
    assert [path.name for path in folder.iterdir()] == ["5"]
    assert (kept_elsewhere / "model.onnx").is_file()


def test_pruning_deletes_nothing_while_the_version_to_serve_is_broken(five_versions, spoil):
    """A server that has refused it goes on with an older one, which it needs for its next start."""
    spoil(five_versions / "digits/5")
    result = invoke("prune", "--keep", "1", "--yes", "--models-dir", str(five_versions))
    assert exit_code(result) == 4
    assert "nothing is deleted" in str(result.exception)
    assert list_versions(five_versions / "digits") == [1, 2, 3, 4, 5]


def test_pruning_does_not_count_a_broken_version_among_those_kept(five_versions, spoil):
    spoil(five_versions / "digits/4")
    place = ("--models-dir", str(five_versions))
    assert "nothing to delete" in invoke("prune", "--keep", "5", "--yes", *place).output
    invoke("prune", "--keep", "2", "--yes", *place)
    assert list_versions(five_versions / "digits") == [3, 4, 5]
